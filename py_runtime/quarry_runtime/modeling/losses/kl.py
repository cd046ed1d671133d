"""KL divergence between graded labels and scores over each query's own passages."""

from __future__ import annotations

from typing import Annotated

import msgspec
import torch
from torch import Tensor, nn

from quarry_runtime.modeling.losses.inputs import LossInputs
from quarry_runtime.modeling.losses.temperature import Temperature, TemperatureOptions
from quarry_runtime.modeling.registry import register_loss


class KLOptions(TemperatureOptions, frozen=True, kw_only=True):
    """Options of kl."""

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
        self.temperature = Temperature(options)
        self.label_temperature = options.label_temperature

    def forward(self, batch: LossInputs) -> Tensor:
        """Mean over the queries of KL(softmax(labels / label_temperature) || softmax(scores)).

        Paddings have share 0 in both. Passages that are masked as in-batch negatives take part: of
        an own passage this loss asks for its label, whatever it is to other queries.
        """
        is_padding_QP = ~batch.is_real()
        lowest = float("-inf")
        scores_QP = batch.own_scores(self.temperature()).masked_fill(is_padding_QP, lowest)
        labels_QP = (batch.labels.float() / self.label_temperature).masked_fill(
            is_padding_QP, lowest
        )
        # 0 instead of -inf, for a share of 0 times -inf is NaN.
        return nn.functional.kl_div(
            torch.log_softmax(scores_QP, dim=1).masked_fill(is_padding_QP, 0.0),
            torch.softmax(labels_QP, dim=1),
            reduction="batchmean",
        )
