"""Losses with the usual faults, and an encoder that nobody trains."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from quarry_runtime.modeling.encoder import Encoder
from quarry_runtime.modeling.encoders.auto import auto
from quarry_runtime.modeling.losses.infonce import InfoNCE, InfoNCEOptions
from quarry_runtime.modeling.losses.inputs import LossInputs
from quarry_runtime.modeling.registry import register_encoder, register_loss

infonce = InfoNCE(InfoNCEOptions(temperature=0.05))


@register_loss("not_a_number")
class NotANumber(nn.Module):
    """NaN, with a gradient."""

    def __init__(self, _options: Any) -> None:
        super().__init__()

    def forward(self, batch: LossInputs) -> torch.Tensor:
        return infonce(batch) * float("nan")


@register_loss("detached")
class Detached(nn.Module):
    """A loss whose gradient is 0 everywhere."""

    def __init__(self, _options: Any) -> None:
        super().__init__()

    def forward(self, batch: LossInputs) -> torch.Tensor:
        return infonce(batch) * 0 + 1


@register_loss("hungry")
class Hungry(nn.Module):
    """Takes memory by the number of queries: more than any machine has, from 3 queries on."""

    def __init__(self, _options: Any) -> None:
        super().__init__()

    def forward(self, batch: LossInputs) -> torch.Tensor:
        if len(batch.queries) >= 3 and torch.is_grad_enabled():
            torch.zeros(1 << 50, dtype=torch.uint8)
        return infonce(batch)


@register_loss("turned_round")
class TurnedRound(nn.Module):
    """Wants positives to be far and negatives to be near."""

    def __init__(self, _options: Any) -> None:
        super().__init__()

    def forward(self, batch: LossInputs) -> torch.Tensor:
        fields = {name: getattr(batch, name) for name in batch.__dataclass_fields__}
        return infonce(LossInputs(**{**fields, "queries": -batch.queries}))


@register_encoder("frozen")
def frozen(resolved: Any, spec: Any, dtype: str, options: Any) -> Encoder:
    """An encoder whose weights cannot be trained."""
    encoder: Any = auto(resolved, spec, dtype, options)
    encoder.named_parameters = lambda *_args, **_named: iter(())
    for parameter in encoder.transformer.parameters():
        parameter.requires_grad_(False)
    return encoder
