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
        transformer: Any = getattr(own, "transformer", None)
        if hasattr(transformer, "peft_config"):
            merge_adapter(transformer)


def set_dtype(encoder: Encoder, dtype: torch.dtype) -> None:
    """Casts the transformers, and all of a plugin's module; the small modules after a transformer
    stay in float32, as they are loaded."""
    for own in encoders_of(encoder):
        getattr(own, "transformer", own).to(dtype)
