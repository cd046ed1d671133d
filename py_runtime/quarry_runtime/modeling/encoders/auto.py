"""The default encoder: any transformers model, with its checkpoint's pooling and prompts."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from quarry_runtime.modeling.registry import register_encoder

if TYPE_CHECKING:
    from quarry_runtime.modeling.encoder import Encoder
    from quarry_runtime.modeling.resolved import Resolved
    from quarry_runtime.protocol.messages import ModelSpec


@register_encoder("auto")
def auto(
    resolved: Resolved,
    spec: ModelSpec,
    dtype: str,
    options: Any,
    kind: type[Encoder] | None = None,
) -> Encoder:
    """Any transformers encoder or decoder, followed as its checkpoint says."""
    # torch comes with it: seconds that listing the encoders need not pay.
    from quarry_runtime.modeling.towers import Towers

    if resolved.query is None:
        return _one(resolved, spec, dtype, options, kind)
    passage = _one(dataclasses.replace(resolved, query=None), spec, dtype, options, kind)
    query = _one(resolved.query, spec, dtype, options, kind)
    # Behaves as one.
    return Towers(query, passage, resolved.contract(dtype, spec))  # type: ignore[return-value]


def _one(
    resolved: Resolved, spec: ModelSpec, dtype: str, options: Any, kind: type[Encoder] | None
) -> Encoder:
    from torch import nn

    from quarry_runtime.guard.adapters import attach
    from quarry_runtime.guard.load import load_transformer, load_weights
    from quarry_runtime.guard.own_state import load_own_state
    from quarry_runtime.modeling.encoder import Encoder
    from quarry_runtime.modeling.head import build
    from quarry_runtime.modeling.layout import OWN_STATE, NormalizeSpec
    from quarry_runtime.modeling.options import create

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
    contract = resolved.contract(dtype, spec)
    if kind is None:
        return Encoder(transformer, tokenizer, resolved, contract, head)
    encoder = create(kind, options, transformer, tokenizer, resolved, contract, head)
    load_own_state(encoder, resolved.own / OWN_STATE, encoder.held)
    return encoder
