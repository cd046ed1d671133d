"""Quarry's infonce with the benchmark's clock in it; a plugin of the measured experiment."""

import sys
from pathlib import Path

from torch import Tensor

from quarry_runtime.modeling.losses.infonce import InfoNCE, InfoNCEOptions
from quarry_runtime.modeling.losses.inputs import LossInputs
from quarry_runtime.modeling.registry import register_loss

sys.path.append(str(Path(__file__).parent))
from gate import Gate


@register_loss("gated_infonce", InfoNCEOptions)
class GatedInfoNCE(InfoNCE):
    """infonce; tells the gate each loss."""

    def __init__(self, options: InfoNCEOptions) -> None:
        super().__init__(options)
        self._gate = Gate()

    def forward(self, batch: LossInputs) -> Tensor:
        loss = super().forward(batch)
        self._gate.tick(loss.item())
        return loss
