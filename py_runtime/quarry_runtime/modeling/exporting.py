"""What an export does to an encoder before it is saved: merging an adapter, another number format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quarry_runtime.guard.adapters import merge as merge_adapter
from quarry_runtime.modeling.adapters import encoders_of

if TYPE_CHECKING:
    import torch

    from quarry_runtime.modeling.encoder import Encoder


def merge(encoder: Encoder) -> None:
    """Puts every adapter into the weights of its transformer; vectors stay what they are."""
    for own in encoders_of(encoder):
        if hasattr(own.transformer, "peft_config"):
            merge_adapter(own.transformer)


def set_dtype(encoder: Encoder, dtype: torch.dtype) -> None:
    """Casts the transformers; the small modules after them stay in float32, as they are loaded."""
    for own in encoders_of(encoder):
        transformer: Any = own.transformer
        transformer.to(dtype)
