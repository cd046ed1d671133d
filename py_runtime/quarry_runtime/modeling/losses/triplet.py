"""Triplet loss: a query is nearer to its positive than to each own negative, by a margin."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import torch
from torch import Tensor, nn

from quarry_runtime.modeling.losses.inputs import LossInputs
from quarry_runtime.modeling.registry import register_loss


class TripletOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of triplet."""

    margin: Annotated[
        float, msgspec.Meta(gt=0, description="By how much a negative has to be farther away.")
    ] = 0.2
    distance: Annotated[
        Literal["cosine", "euclidean", "manhattan"],
        msgspec.Meta(description="What is measured: 1 - cosine, or the distance of the vectors."),
    ] = "cosine"


@register_loss("triplet", TripletOptions)
class Triplet(nn.Module):
    """Hinge over triplets of query, positive and own negative.

    Mean over the queries of the mean over its other passages k of
    max(0, margin + d(query, positive) - d(query, passage k)) (arXiv 1703.07737). The vectors are
    those that are compared, so with cosine similarity they have length 1 for every distance.
    """

    needs_all_passages = False

    def __init__(self, options: TripletOptions) -> None:
        super().__init__()
        self.options = options

    def forward(self, batch: LossInputs) -> Tensor:
        distances_QP = self._distances(batch)
        hinges_QP = (self.options.margin + distances_QP[:, :1] - distances_QP).clamp_min(0)
        is_negative_QP = batch.is_real()
        is_negative_QP[:, 0] = False
        sums_Q = hinges_QP.masked_fill(~is_negative_QP, 0.0).sum(1)
        return (sums_Q / (batch.counts - 1).clamp_min(1)).mean()

    def _distances(self, batch: LossInputs) -> Tensor:
        with torch.autocast(batch.queries.device.type, enabled=False):
            queries_Q1D = batch.queries.float().unsqueeze(1)
            passages_QPD = batch.own_passages().float()
            if self.options.distance == "cosine":
                return 1 - nn.functional.cosine_similarity(queries_Q1D, passages_QPD, dim=-1)
            difference_QPD = queries_Q1D - passages_QPD
            if self.options.distance == "manhattan":
                return difference_QPD.abs().sum(-1)
            # The root has no slope at 0: equal vectors would have a gradient of NaN.
            return difference_QPD.square().sum(-1).clamp_min(1e-24).sqrt()
