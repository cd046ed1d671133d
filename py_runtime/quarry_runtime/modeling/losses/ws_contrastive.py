"""Weakly supervised contrastive loss: graded labels as soft targets over all columns of the batch."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import torch
from torch import Tensor, nn

from quarry_runtime.modeling.losses.inputs import LossInputs
from quarry_runtime.modeling.losses.listwise import proportional
from quarry_runtime.modeling.losses.temperature import Temperature, TemperatureOptions
from quarry_runtime.modeling.registry import register_loss


class WSContrastiveOptions(TemperatureOptions, frozen=True, kw_only=True):
    """Options of ws_contrastive."""

    targets: Annotated[
        Literal["proportional", "softmax"],
        msgspec.Meta(
            description="How labels become shares: in proportion, or by softmax over all columns, others at label 0."
        ),
    ] = "proportional"
    gather_across_devices: Annotated[
        bool,
        msgspec.Meta(
            description="Whether passages of other ranks are negatives; false leaves the rank's own."
        ),
    ] = True


@register_loss("ws_contrastive", WSContrastiveOptions)
class WSContrastive(nn.Module):
    """Contrastive loss whose target is not one passage but the grades of all own passages.

    Mean over the queries of -Σ t log softmax(similarity / temperature) over every column but those
    of `batch.mask`; own passages always take part. Passages of other queries have label 0. With
    `targets: "softmax"` this is Trove's own way to spread labels over the batch (arXiv 2511.01857),
    up to the entropy of the targets, which has no gradient.
    """

    #: Also where nothing is gathered over ranks.
    compares_queries = True
    #: A graded passage would count a second time with label 0, where another query has it too.
    own_columns_count = True

    def __init__(self, options: WSContrastiveOptions) -> None:
        super().__init__()
        self.temperature = Temperature(options)
        self.targets = options.targets
        self.needs_all_passages = options.gather_across_devices

    def forward(self, batch: LossInputs) -> Tensor:
        own_QP, is_padding_QP = batch.own_columns(), ~batch.is_real()
        excluded_QC = batch.mask.scatter(1, own_QP, is_padding_QP)
        labels_QP = batch.labels.float().masked_fill(is_padding_QP, 0.0)
        lowest = float("-inf")
        if self.targets == "softmax":
            labels_QC = torch.zeros_like(batch.mask, dtype=torch.float32)
            labels_QC = labels_QC.scatter(1, own_QP, labels_QP).masked_fill(excluded_QC, lowest)
            targets_QC = torch.softmax(labels_QC, 1)
        else:
            targets_QC = torch.zeros_like(batch.mask, dtype=torch.float32)
            targets_QC = targets_QC.scatter(1, own_QP, proportional(labels_QP))
        scores_QC = batch.scores(self.temperature()).masked_fill(excluded_QC, lowest)
        log_shares_QC = torch.log_softmax(scores_QC, 1).masked_fill(excluded_QC, 0.0)
        return -(targets_QC * log_shares_QC).sum(1).mean()
