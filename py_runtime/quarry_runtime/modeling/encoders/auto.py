"""The default encoder: any transformers model, with its checkpoint's pooling and prompts."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from quarry_runtime.modeling.registry import register_encoder

if TYPE_CHECKING:
    from quarry_runtime.modeling.encoder import Encoder
    from quarry_runtime.modeling.resolved import Resolved
    from quarry_runtime.modeling.towers import Towers
    from quarry_runtime.protocol.messages import ModelSpec


@register_encoder("auto")
def auto(resolved: Resolved, spec: ModelSpec, dtype: str, _options: Any) -> Encoder | Towers:
    """Any transformers encoder or decoder, followed as its checkpoint says."""
    # torch comes with it: seconds that listing the encoders need not pay.
    from quarry_runtime.modeling.towers import Towers

    if resolved.query is None:
        return _one(resolved, spec, dtype)
    passage = _one(dataclasses.replace(resolved, query=None), spec, dtype)
    return Towers(_one(resolved.query, spec, dtype), passage, resolved.contract(dtype, spec))


def _one(resolved: Resolved, spec: ModelSpec, dtype: str) -> Encoder:
    from torch import nn

    from quarry_runtime.guard.adapters import attach
    from quarry_runtime.guard.load import load_transformer, load_weights
    from quarry_runtime.modeling.encoder import Encoder
    from quarry_runtime.modeling.head import build
    from quarry_runtime.modeling.layout import NormalizeSpec

    transformer, tokenizer = load_transformer(
        resolved.transformer,
        resolved.checkpoint,
        str(resolved.config.get("model_type")),
        dtype,
        spec.revision if spec.trust_remote_code else None,
        resolved.tokenizer,
        spec.quantization,
    )
    if resolved.adapter is not None:
        adapter = resolved.adapter
        attach(transformer, adapter.folder, adapter.base, resolved.checkpoint)
    head = nn.ModuleList()
    for module in resolved.head:
        head.append(build(module))
        if not isinstance(module, NormalizeSpec):
            load_weights(head[-1], module.folder / "model.safetensors")
    return Encoder(transformer, tokenizer, resolved, resolved.contract(dtype, spec), head)
