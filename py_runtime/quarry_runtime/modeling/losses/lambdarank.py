"""LambdaRank: pairs of a query's own passages in the order of their grades, weighted by nDCG."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quarry_runtime.modeling.losses.inputs import LossInputs
from quarry_runtime.modeling.losses.temperature import Temperature, TemperatureOptions
from quarry_runtime.modeling.registry import register_loss


class LambdaRankOptions(TemperatureOptions, frozen=True, kw_only=True):
    """Options of lambdarank."""


@register_loss("lambdarank", LambdaRankOptions)
class LambdaRank(nn.Module):
    """Logistic loss of each pair of own passages, times what swapping them would change of nDCG.

    Mean over the queries of Σ |G_a - G_b| |1 / D_a - 1 / D_b| log(1 + exp(-(s_a - s_b))) over pairs
    with label_a > label_b, where s = similarity / temperature, G = (2^label - 1) / the best DCG and
    D = log2(1 + rank) at the present scores (LambdaRank as the LambdaLoss framework has it, doi
    10.1145/3269206.3271784). Labels are grades of 0 and more.
    """

    needs_all_passages = False

    def __init__(self, options: LambdaRankOptions) -> None:
        super().__init__()
        self.temperature = Temperature(options)

    def forward(self, batch: LossInputs) -> Tensor:
        is_padding_QP = ~batch.is_real()
        scores_QP = batch.own_scores(self.temperature())
        labels_QP = batch.labels.float().masked_fill(is_padding_QP, 0.0)
        with torch.no_grad():
            discounts_P = torch.arange(labels_QP.shape[1], device=labels_QP.device).add(2).log2()
            gains_QP = labels_QP.exp2() - 1
            best_Q1 = (gains_QP.sort(1, descending=True).values / discounts_P).sum(1, keepdim=True)
            gains_QP = gains_QP / best_Q1.masked_fill(best_Q1 <= 0, 1.0)
            order_QP = scores_QP.masked_fill(is_padding_QP, float("-inf")).argsort(
                dim=1, descending=True, stable=True
            )
            ranks_QP = order_QP.argsort(1)
            inverse_QP = 1 / discounts_P[ranks_QP]
            weights_QPP = _differences(gains_QP).abs() * _differences(inverse_QP).abs()
            is_pair_QPP = _differences(labels_QP) > 0
            is_pair_QPP &= ~(is_padding_QP.unsqueeze(2) | is_padding_QP.unsqueeze(1))
            weights_QPP = weights_QPP.masked_fill(~is_pair_QPP, 0.0)
        losses_QPP = nn.functional.softplus(-_differences(scores_QP))
        return (weights_QPP * losses_QPP).sum((1, 2)).mean()


def _differences(values_QP: Tensor) -> Tensor:
    """[Q, P, P]: row minus column."""
    return values_QP.unsqueeze(2) - values_QP.unsqueeze(1)
