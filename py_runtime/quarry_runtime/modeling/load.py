"""From a model spec to an encoder on a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quarry_runtime.guard.device import pick_dtype
from quarry_runtime.modeling.contract import resolve
from quarry_runtime.modeling.registry import find, load_plugins
from quarry_runtime.protocol.messages import ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from quarry_runtime.modeling.encoder import Encoder


def load_encoder(
    spec: ModelSpec, device: str, dtype: str | None = None, for_training: bool = False
) -> Encoder:
    """Loads a model as its spec says; Towers, where queries have an encoder of their own.

    Args:
        spec: Which checkpoint, and what to do differently from what it says.
        device: As torch names it, e.g. "cpu" or "cuda:0".
        dtype: Overrides the spec's; "auto" is bfloat16 on a GPU that has it, else float32.
        for_training: Keeps parameters in float32 (mixed precision is the trainer's) with gradients,
            in training mode; with `spec.adapter` only an adapter's, and the others in its dtype.

    Raises:
        ConfigError, EnvironmentFault, IntegrityError: a model that is not there or not whole.
    """
    # Here and not above: it takes the seconds of torch.
    from quarry_runtime.guard.quantize import quantized_on
    from quarry_runtime.modeling.build import build_encoder, needs_trial, try_encoder

    load_plugins(spec.plugins)
    entry = find("encoder", spec.encoder)
    options = entry.parse(spec.encoder_options)
    resolved = resolve(spec)
    base = spec.adapter.base_dtype if spec.adapter else "float32"
    chosen = base if for_training else pick_dtype(dtype or spec.dtype, device)
    # In training the device is "cpu" here, and Trainer moves the model to where it trains.
    with quantized_on(None if for_training else device):
        encoder = build_encoder(entry, resolved, spec, chosen, options)
    if for_training:
        from quarry_runtime.modeling.adapters import prepare_training

        prepare_training(encoder, spec)
        freeze_unused(encoder)
    else:
        encoder.requires_grad_(False)
    if spec.quantization is None:
        encoder.to(device)
    elif not for_training:
        _move_rest(encoder, device)
    encoder.train(for_training)
    if needs_trial(entry, encoder):
        try_encoder(encoder, entry, device, for_training)
    return encoder


def load_to_encode(spec: ModelSpec, device: str, dtype: str | None = None) -> Encoder:
    """As `load_encoder`, with a text encoded: a model that can do none is refused before any work.

    Raises:
        ConfigError: as `load_encoder`, and a model that fails on any text, or gives vectors of
            another size than its files say.
    """
    from quarry_runtime.modeling.build import needs_trial, try_model

    encoder = load_encoder(spec, device, dtype)
    # One of a plugin has been tried already.
    if not needs_trial(find("encoder", spec.encoder), encoder):
        try_model(encoder, device)
    return encoder


def _move_rest(encoder: Encoder, device: str) -> None:
    """Moves the modules after the pooling: what is quantised lies where it was loaded to."""
    from quarry_runtime.modeling.adapters import encoders_of

    for own in encoders_of(encoder):
        for name, module in own.named_children():
            if name != "transformer":
                module.to(device)


def freeze_unused(encoder: nn.Module) -> None:
    """Freezes the pooler of BERT's family: it never gets a gradient, DDP would wait for one."""
    for name, parameter in encoder.named_parameters():
        parts = name.split(".")
        if "pooler" in parts and "transformer" in parts[: parts.index("pooler")]:
            parameter.requires_grad_(False)
