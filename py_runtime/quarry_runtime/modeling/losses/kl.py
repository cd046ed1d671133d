"""KL divergence between graded labels and scores over each query's own passages."""

from __future__ import annotations

from typing import Annotated

import msgspec
import torch
from torch import Tensor, nn

from quarry_runtime.modeling.losses.inputs import LossInputs
from quarry_runtime.modeling.registry import register_loss


class KLOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of kl."""

    temperature: Annotated[
        float, msgspec.Meta(gt=0, description="Divides the similarities; lower is sharper.")
    ] = 0.05
    label_temperature: Annotated[
        float,
        msgspec.Meta(gt=0, description="Divides the labels before they become shares by softmax."),
    ] = 1.0


@register_loss("kl", KLOptions)
class KL(nn.Module):
    """Pulls the softmax of a query's own scores towards the softmax of its labels."""

    #: Only own passages count, so nothing is gathered across ranks.
    needs_all_passages = False

    def __init__(self, options: KLOptions) -> None:
        super().__init__()
        self.temperature = options.temperature
        self.label_temperature = options.label_temperature

    def forward(self, batch: LossInputs) -> Tensor:
        """Mean over the queries of KL(softmax(labels / label_temperature) || softmax(scores))."""
        offsets_P = torch.arange(batch.labels.shape[1], device=batch.labels.device)
        columns_QP = batch.positive_columns.unsqueeze(1) + offsets_P
        scores_QP = batch.scores(self.temperature).gather(1, columns_QP)
        targets_QP = torch.softmax(batch.labels.float() / self.label_temperature, dim=1)
        return nn.functional.kl_div(
            torch.log_softmax(scores_QP, dim=1), targets_QP, reduction="batchmean"
        )
