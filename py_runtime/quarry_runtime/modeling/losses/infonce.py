"""InfoNCE: each query has to pick its own positive among the passages of the whole micro-step."""

from __future__ import annotations

from typing import Annotated

import msgspec
import torch
from torch import Tensor, nn

from quarry_runtime.modeling.losses.inputs import LossInputs
from quarry_runtime.modeling.registry import register_loss


def infonce(batch: LossInputs, temperature: float) -> Tensor:
    """Mean over the queries of -log softmax(scores)[positive] (arXiv 1807.03748).

    Every column is a negative but those of `batch.mask`. The mask may cover the positive itself, as
    it covers copies of it elsewhere in the batch; the positive's own column always takes part.
    """
    scores_QC = batch.scores(temperature)
    positives_Q1 = batch.positive_columns.unsqueeze(1)
    excluded_QC = batch.mask.scatter(
        1, positives_Q1, torch.zeros_like(positives_Q1, dtype=torch.bool)
    )
    scores_QC = scores_QC.masked_fill(excluded_QC, float("-inf"))
    return nn.functional.cross_entropy(scores_QC, batch.positive_columns)


class InfoNCEOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of infonce."""

    temperature: Annotated[
        float, msgspec.Meta(gt=0, description="Divides the similarities; lower is sharper.")
    ] = 0.05


@register_loss("infonce", InfoNCEOptions)
class InfoNCE(nn.Module):
    """Contrastive loss with in-batch and explicit negatives, gathered across ranks."""

    def __init__(self, options: InfoNCEOptions) -> None:
        super().__init__()
        self.temperature = options.temperature

    def forward(self, batch: LossInputs) -> Tensor:
        return infonce(batch, self.temperature)


class ScaledOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of MultipleNegativesRankingLoss."""

    scale: Annotated[
        float, msgspec.Meta(gt=0, description="Multiplies the similarities: 1 / temperature.")
    ] = 20.0


@register_loss("MultipleNegativesRankingLoss", ScaledOptions)
class MultipleNegativesRankingLoss(InfoNCE):
    """infonce under its name in sentence-transformers, with scale = 1 / temperature."""

    def __init__(self, options: ScaledOptions) -> None:
        super().__init__(InfoNCEOptions(temperature=1 / options.scale))
