"""MarginMSE: the distance between positive and negative that a teacher saw."""

from __future__ import annotations

from typing import Annotated

import msgspec
from torch import Tensor, nn

from quarry_runtime.modeling.losses.inputs import LossInputs
from quarry_runtime.modeling.registry import register_loss


class MarginMSEOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of margin_mse."""

    scale: Annotated[
        float,
        msgspec.Meta(
            gt=0,
            description="Multiplies the similarities: a teacher's margins of 10 are out of a cosine's reach.",
        ),
    ] = 1.0


@register_loss("margin_mse", MarginMSEOptions)
class MarginMSE(nn.Module):
    """Squared difference between the model's and the labels' margin, over own negatives.

    Mean over the queries of the mean over its other passages k of
    ((s_0 - s_k) - (label_0 - label_k))², s = similarity × scale (arXiv 2010.02666). Labels are a
    teacher's scores, as `scored(…)` gives them; a query of one passage has loss 0.
    """

    needs_all_passages = False

    def __init__(self, options: MarginMSEOptions) -> None:
        super().__init__()
        self.scale = options.scale

    def forward(self, batch: LossInputs) -> Tensor:
        is_padding_QP = ~batch.is_real()
        # A padding's label may be anything.
        labels_QP = batch.labels.float().masked_fill(is_padding_QP, 0.0)
        errors_QP = batch.own_scores(1 / self.scale) - labels_QP
        squares_QP = (errors_QP[:, :1] - errors_QP).square().masked_fill(is_padding_QP, 0.0)
        # The first place, compared with itself, adds 0.
        return (squares_QP.sum(1) / (batch.counts - 1).clamp_min(1)).mean()
