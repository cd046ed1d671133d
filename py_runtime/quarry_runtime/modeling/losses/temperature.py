"""The temperature of a loss: a fixed number, or a parameter that is trained and saved."""

from __future__ import annotations

import math
from typing import Annotated

import msgspec
import torch
from torch import Tensor, nn

#: A learned temperature does not sink below 1 / 100 (CLIP, arXiv 2103.00020), unless it began there.
_MOST_SCALE = 100.0


class TemperatureOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of every loss that divides similarities by a temperature."""

    temperature: Annotated[
        float, msgspec.Meta(gt=0, description="Divides the similarities; lower is sharper.")
    ] = 0.05
    learnable_temperature: Annotated[
        bool,
        msgspec.Meta(
            description="Trains the temperature along with the model, from the one given on."
        ),
    ] = False


class Temperature(nn.Module):
    """Gives the temperature: a float when it is fixed, a tensor [1] when it is learned.

    What is trained is log(1 / temperature), so that the temperature stays above 0 and a step changes
    it by a share of itself.
    """

    def __init__(self, options: TemperatureOptions) -> None:
        super().__init__()
        self._fixed = options.temperature
        start = -math.log(options.temperature)
        self._most = max(math.log(_MOST_SCALE), start)
        # Of one dimension: FSDP cannot shard a parameter of none.
        self.log_scale = (
            nn.Parameter(torch.tensor([start])) if options.learnable_temperature else None
        )

    def forward(self) -> float | Tensor:
        if self.log_scale is None:
            return self._fixed
        return torch.exp(-self.log_scale)

    def keep_in_bounds(self) -> None:
        """Takes back what a step of the optimiser took too far; the Trainer calls it after each.

        A bound in the forward pass would leave no gradient to come back by.
        """
        if self.log_scale is not None:
            with torch.no_grad():
                self.log_scale.clamp_(max=self._most)
