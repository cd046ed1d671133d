"""The default encoder: any transformers model, with its checkpoint's pooling and prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quarry_runtime.modeling.registry import register_encoder

if TYPE_CHECKING:
    from quarry_runtime.modeling.contract import Resolved
    from quarry_runtime.modeling.encoder import Encoder
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
    from torch import nn

    from quarry_runtime.guard.load import load_transformer, load_weights
    from quarry_runtime.guard.own_state import load_own_state
    from quarry_runtime.modeling.encoder import Dense, Encoder
    from quarry_runtime.modeling.layout import OWN_STATE
    from quarry_runtime.modeling.options import create

    model_type = str(resolved.config.get("model_type"))
    code_revision = spec.revision if spec.trust_remote_code else None
    transformer, tokenizer = load_transformer(
        resolved.transformer, resolved.checkpoint, model_type, dtype, code_revision
    )
    dense = nn.ModuleList()
    for layer in resolved.dense:
        dense.append(Dense(layer.in_features, layer.out_features, layer.has_bias, layer.activation))
        load_weights(dense[-1], layer.folder / "model.safetensors")
    contract = resolved.contract(dtype, spec)
    if kind is None:
        return Encoder(transformer, tokenizer, resolved, contract, dense)
    encoder = create(kind, options, transformer, tokenizer, resolved, contract, dense)
    load_own_state(encoder, resolved.path / OWN_STATE, encoder.held)
    return encoder
