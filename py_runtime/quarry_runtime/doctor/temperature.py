"""Whether the temperature fits the vectors: neither too high to learn, nor so low that all is decided."""

from __future__ import annotations

import math
from typing import Any

import torch

from quarry_runtime.doctor.findings import Finding
from quarry_runtime.modeling.losses.infonce import InfoNCE
from quarry_runtime.modeling.losses.inputs import LossInputs
from quarry_runtime.modeling.losses.temperature import Temperature

#: A perfect model must at least halve the loss of a random one.
_HALF = 0.5
#: Scores that spread more than this many nats leave the softmax with one winner and no gradient.
_SATURATED = 30.0


def temperature_of(loss: Any) -> float | None:
    """A loss's temperature, learnable or not; None for a loss that has none."""
    value = getattr(loss, "temperature", None)
    if isinstance(value, Temperature):
        value = value()
    if isinstance(value, torch.Tensor):
        return float(value.detach()) if value.numel() == 1 else None
    return float(value) if isinstance(value, int | float) else None


def lowest_loss(temperature: float, columns: float) -> float:
    """InfoNCE of vectors of length 1 that are as good as can be hoped for: positives at 1, others at 0."""
    return math.log1p((columns - 1) * math.exp(-1 / temperature))


def check_temperature(
    loss: Any, similarity: str, is_normalized: bool, inputs: LossInputs, columns: float | None
) -> Finding | None:
    """Judges temperature, similarity and length of vectors together.

    Args:
        loss: The loss module.
        similarity: The contract's.
        is_normalized: Whether the encoder itself gives vectors of length 1.
        inputs: Of a micro-step of step 0.
        columns: Columns of a query that count.
    """
    temperature = temperature_of(loss)
    if temperature is None:
        return None
    check = "temperature"
    spread = (
        float(inputs.scores(temperature).std(dim=1).mean()) if len(inputs.passages) > 1 else 0.0
    )
    has_length = similarity == "cosine" or is_normalized
    lengths = "vectors of length 1" if has_length else "vectors of any length"
    words = (
        f"{temperature:g} with {similarity} on {lengths}; scores of a query spread by {spread:.2g}"
    )
    facts = {"temperature": temperature, "spread": spread if math.isfinite(spread) else None}
    if not math.isfinite(spread) or spread > _SATURATED:
        return Finding(
            check=check,
            status="note",
            seen=f"{words}: one passage takes all of the softmax, the others get no gradient",
            todo="Set model.normalize true (or similarity cosine), or raise train.loss.temperature"
            f" to about {max(temperature * spread / 5, temperature):.2g}.",
            facts=facts,
        )
    if has_length and isinstance(loss, InfoNCE) and columns is not None and columns > 1:
        lowest, equal = lowest_loss(temperature, columns), math.log(columns)
        facts["lowestLoss"] = lowest
        if lowest > _HALF * equal:
            return Finding(
                check=check,
                status="note",
                seen=f"{words}: even perfect vectors would have a loss of {lowest:.2f} of {equal:.2f}",
                todo="Lower train.loss.temperature; 0.01 to 0.1 is usual for vectors of length 1.",
                facts=facts,
            )
    return Finding(check=check, status="ok", seen=words, facts=facts)
