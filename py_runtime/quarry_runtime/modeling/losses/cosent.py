"""CoSENT: pairs with a higher label have a higher similarity, over all pairs of the batch."""

from __future__ import annotations

from typing import Annotated

import msgspec
import torch
from torch import Tensor, nn

from quarry_runtime.modeling.losses.inputs import LossInputs, paired_scores
from quarry_runtime.modeling.losses.temperature import Temperature, TemperatureOptions
from quarry_runtime.modeling.registry import register_loss


class CoSENTOptions(TemperatureOptions, frozen=True, kw_only=True):
    """Options of cosent."""

    gather_across_devices: Annotated[
        bool,
        msgspec.Meta(
            description="Whether pairs of other ranks are compared; false leaves the rank's own."
        ),
    ] = True


@register_loss("cosent", CoSENTOptions)
class CoSENT(nn.Module):
    """Ranks all pairs (query, own passage) of the batch by their labels.

    log(1 + Σ exp((s_a - s_b) / temperature)) over all pairs a, b with label_a < label_b, s the
    similarity (doi 10.1109/TASLP.2024.3402087). Pairs of different queries are compared as well, so
    labels must mean the same for every query. The sum runs over the pairs of all ranks: each rank
    computes the same loss.
    """

    needs_all_queries = True

    #: Also where nothing is gathered over ranks.
    compares_queries = True

    def __init__(self, options: CoSENTOptions) -> None:
        super().__init__()
        self.temperature = Temperature(options)
        self.needs_all_passages = options.gather_across_devices

    def forward(self, batch: LossInputs) -> Tensor:
        everyone = batch.everyone
        assert everyone is not None
        group_count, group_size = everyone.labels.shape
        passages_GPD = batch.passages.unflatten(0, (group_count, group_size))
        scores_GP = paired_scores(everyone.queries, passages_GPD, self.temperature())
        places_P = torch.arange(group_size, device=scores_GP.device)
        is_meant_GP = places_P < everyone.counts.unsqueeze(1)
        is_meant_GP &= everyone.taking_part.unsqueeze(1)
        # From the highest label to the lowest: those above a pair are then a piece from the front.
        labels_N, order_N = everyone.labels[is_meant_GP].float().sort(descending=True)
        scores_N = scores_GP[is_meant_GP][order_N]
        above_N = torch.searchsorted(-labels_N, -labels_N)
        best_N = torch.logcumsumexp(-scores_N, 0)
        has_any_N = above_N > 0
        terms_M = scores_N[has_any_N] + best_N[above_N[has_any_N] - 1]
        return torch.cat([scores_N.new_zeros(1), terms_M]).logsumexp(0)
