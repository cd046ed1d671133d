"""Listwise softmax cross-entropy over each query's own passages, with graded labels as shares."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import torch
from torch import Tensor, nn

from quarry_runtime.modeling.losses.inputs import LossInputs
from quarry_runtime.modeling.losses.temperature import Temperature, TemperatureOptions
from quarry_runtime.modeling.registry import register_loss


class ListwiseOptions(TemperatureOptions, frozen=True, kw_only=True):
    """Options of listwise."""

    targets: Annotated[
        Literal["proportional", "softmax"],
        msgspec.Meta(
            description="How labels become shares: in proportion (softmax cross-entropy) or by softmax (ListNet)."
        ),
    ] = "proportional"


@register_loss("listwise", ListwiseOptions)
class Listwise(nn.Module):
    """Cross-entropy between the shares of the labels and the softmax of the scores.

    Mean over the queries of -Σ t log softmax(similarity / temperature) over own passages, with
    t = label / Σ labels (arXiv 1911.09798; labels below 0 count as 0, and a query whose labels are
    all 0 teaches nothing) or t = softmax(labels) (ListNet: kl plus a constant).
    """

    needs_all_passages = False

    def __init__(self, options: ListwiseOptions) -> None:
        super().__init__()
        self.temperature = Temperature(options)
        self.targets = options.targets

    def forward(self, batch: LossInputs) -> Tensor:
        is_padding_QP = ~batch.is_real()
        scores_QP = batch.own_scores(self.temperature())
        log_shares_QP = torch.log_softmax(scores_QP.masked_fill(is_padding_QP, float("-inf")), 1)
        labels_QP = batch.labels.float()
        if self.targets == "softmax":
            targets_QP = torch.softmax(labels_QP.masked_fill(is_padding_QP, float("-inf")), 1)
        else:
            targets_QP = proportional(labels_QP.masked_fill(is_padding_QP, 0.0))
        # 0 instead of -inf, for a share of 0 times -inf is NaN.
        return -(targets_QP * log_shares_QP.masked_fill(is_padding_QP, 0.0)).sum(1).mean()


def proportional(labels_QP: Tensor) -> Tensor:
    """[Q, P]: each label's share of its row's sum; all 0 where the sum is."""
    positive_QP = labels_QP.clamp_min(0)
    sums_Q1 = positive_QP.sum(1, keepdim=True)
    return positive_QP / sums_Q1.masked_fill(sums_Q1 == 0, 1.0)
