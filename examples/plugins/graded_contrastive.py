"""A loss of one's own: the weakly supervised contrastive loss, whose soft targets are graded labels."""

from typing import Annotated

import msgspec
import torch
from torch import nn

from quarry_runtime.modeling.losses.inputs import LossInputs
from quarry_runtime.modeling.registry import register_loss


class Options(msgspec.Struct):
    temperature: Annotated[float, msgspec.Meta(gt=0, description="Divides the similarities.")] = (
        0.05
    )


@register_loss("graded_contrastive", Options)
class GradedContrastive(nn.Module):
    """Cross-entropy between a query's graded labels and its scores over all passages."""

    #: A graded passage counts in the query's own group, and not as another query's with label 0.
    own_columns_count = True

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.temperature = options.temperature

    def forward(self, batch: LossInputs) -> torch.Tensor:
        places_P = torch.arange(batch.labels.shape[1], device=batch.labels.device)
        own_QP = batch.positive_columns.unsqueeze(1) + places_P
        # A query's own passages take part whatever their label; paddings do not.
        masked_QC = batch.mask.scatter(1, own_QP, ~batch.is_real())
        scores_QC = batch.scores(self.temperature).masked_fill(masked_QC, -1e9)
        targets_QP = batch.labels.clamp_min(0) * batch.is_real()
        targets_QP = targets_QP / targets_QP.sum(1, keepdim=True).clamp_min(1e-9)
        return -(targets_QP * scores_QC.log_softmax(1).gather(1, own_QP)).sum(1).mean()
