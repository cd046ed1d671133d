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
        """Mean over the queries of KL(softmax(labels / label_temperature) || softmax(scores)).

        Paddings have share 0 in both. Passages that are masked as in-batch negatives take part: of
        an own passage this loss asks for its label, whatever it is to other queries.
        """
        offsets_P = torch.arange(batch.labels.shape[1], device=batch.labels.device)
        columns_QP = batch.positive_columns.unsqueeze(1) + offsets_P
        scores_QP = batch.scores(self.temperature).gather(1, columns_QP)
        is_padding_QP = ~batch.is_real()
        lowest = float("-inf")
        labels_QP = (batch.labels.float() / self.label_temperature).masked_fill(
            is_padding_QP, lowest
        )
        log_shares_QP = torch.log_softmax(scores_QP.masked_fill(is_padding_QP, lowest), dim=1)
        # 0 instead of -inf, for a share of 0 times -inf is NaN.
        return nn.functional.kl_div(
            log_shares_QP.masked_fill(is_padding_QP, 0.0),
            torch.softmax(labels_QP, dim=1),
            reduction="batchmean",
        )
