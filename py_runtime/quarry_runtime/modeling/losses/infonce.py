"""InfoNCE: each query has to pick its own positive among its own passages and those of others."""

from __future__ import annotations

from typing import Annotated

import msgspec
import torch
from torch import Tensor, nn

from quarry_runtime.errors import ConfigError
from quarry_runtime.modeling.losses.inputs import LossInputs
from quarry_runtime.modeling.losses.temperature import Temperature, TemperatureOptions
from quarry_runtime.modeling.registry import register_loss

#: Stands for minus infinity: a row without any negative then has a gradient of 0 instead of NaN.
_LOWEST = -1e30


class InfoNCEOptions(TemperatureOptions, frozen=True, kw_only=True):
    """Options of infonce."""

    in_batch_negatives: Annotated[
        bool,
        msgspec.Meta(
            description="Whether passages of other queries are negatives; false leaves a query's own."
        ),
    ] = True
    gather_across_devices: Annotated[
        bool,
        msgspec.Meta(
            description="Whether passages of other ranks are negatives; false leaves the rank's own."
        ),
    ] = True
    symmetric: Annotated[
        bool,
        msgspec.Meta(
            description="Each positive has to pick its query as well; the mean of both directions."
        ),
    ] = False
    min_positive_label: Annotated[
        float | None,
        msgspec.Meta(
            description="Own passages with this label or a higher one are positives too; default: the first one only."
        ),
    ] = None
    false_negative_score: Annotated[
        float | None,
        msgspec.Meta(description="Negatives whose similarity is above this are left out."),
    ] = None
    false_negative_margin: Annotated[
        float | None,
        msgspec.Meta(
            description="Negatives more similar than the positive plus this are left out; below 0 also those near it."
        ),
    ] = None
    false_negative_ratio: Annotated[
        Annotated[float, msgspec.Meta(gt=0)] | None,
        msgspec.Meta(
            description="Negatives more similar than this share of the positive's similarity are left out, e.g. 0.95.",
        ),
    ] = None


@register_loss("infonce", InfoNCEOptions)
class InfoNCE(nn.Module):
    """Contrastive loss with in-batch and explicit negatives, gathered across ranks.

    Mean over the queries of -log(exp(s+) / (exp(s+) + Σ exp(s-))), s = similarity / temperature
    (arXiv 1807.03748). Every column is a negative but the query's own positives, those of
    `batch.mask`, and those that the options take for false negatives. A query with several
    positives has the mean over them, each against the negatives alone.

    `symmetric` adds the mean over the same positives, each against the queries of the batch for which
    it is no positive: those of `batch.everyone`'s masks are left out.

    False negatives are told by the model's own similarities, before the temperature and without
    gradient: falseNegativeMargin 0.1 is the rule of Qwen3-Embedding (arXiv 2506.05176), and with the
    guide's similarities in their place, margin -m and ratio 1 - m are the absolute and the relative
    margin m of GISTEmbed (arXiv 2402.16829).

    Raises:
        ConfigError: `symmetric` without in-batch negatives.
    """

    def __init__(self, options: InfoNCEOptions) -> None:
        super().__init__()
        if options.symmetric and not options.in_batch_negatives:
            raise ConfigError(
                "infonce: symmetric compares a positive with the batch's queries, which inBatchNegatives: false"
                " takes away.",
                hint="Leave one of them out.",
            )
        self.options = options
        self.temperature = Temperature(options)
        self.compares_queries = options.in_batch_negatives
        self.needs_all_passages = options.in_batch_negatives and options.gather_across_devices
        self.needs_all_queries = options.symmetric
        # Copies of what a label calls positive must not stay as negatives in other groups; and without
        # these groups an own passage counts although it stands in one of them.
        self.own_columns_count = (
            options.min_positive_label is not None or not options.in_batch_negatives
        )

    def forward(self, batch: LossInputs) -> Tensor:
        options = self.options
        temperature = self.temperature()
        own_QP = batch.own_scores()
        is_positive_QP = self._positives(batch)
        limits_Q1 = self._limits(own_QP[:, :1].detach())
        # The mask may cover the positives themselves, as it covers copies of them.
        excluded_QP = batch.mask.gather(1, batch.own_columns()) | is_positive_QP
        if options.in_batch_negatives:
            scores_QC = batch.scores()
            excluded_QC = batch.mask.scatter(1, batch.own_columns(), excluded_QP)
        else:
            scores_QC, excluded_QC = own_QP, excluded_QP
        losses_QP = _against(own_QP, scores_QC, excluded_QC, limits_Q1, temperature)
        shares_QP = is_positive_QP / is_positive_QP.sum(1, keepdim=True)
        loss = (losses_QP * shares_QP).sum(1).mean()
        if not options.symmetric:
            return loss
        # The other direction: N of each query's own passages, the first one or all, pick their query.
        everyone = batch.everyone
        assert everyone is not None
        mask_QNG = everyone.mask.unsqueeze(1) if everyone.own_mask is None else everyone.own_mask
        passages_QND = batch.own_passages()[:, : mask_QNG.shape[1]]
        passages_RD = passages_QND.flatten(0, 1)  # R = Q × N
        with torch.autocast(passages_RD.device.type, enabled=False):
            backward_RG = passages_RD.float() @ everyone.queries.float().T
        own_queries_Q11 = (batch.positive_columns // batch.labels.shape[1])[:, None, None]
        own_queries_QN1 = own_queries_Q11.expand(*passages_QND.shape[:2], 1)
        excluded_RG = mask_QNG.scatter(2, own_queries_QN1, True).flatten(0, 1)
        positives_QN = own_QP[:, : passages_QND.shape[1]]
        limits_R1 = None
        if limits_Q1 is not None:
            limits_R1 = limits_Q1.expand_as(positives_QN).reshape(-1, 1)
        losses_R1 = _against(
            positives_QN.reshape(-1, 1), backward_RG, excluded_RG, limits_R1, temperature
        )
        losses_QN = losses_R1.view_as(positives_QN)
        shares_QN = shares_QP[:, : positives_QN.shape[1]]
        return (loss + (losses_QN * shares_QN).sum(1).mean()) / 2

    def _positives(self, batch: LossInputs) -> Tensor:
        """bool [Q, P]: the first passage, and those that the labels call positive."""
        is_positive_QP = torch.zeros_like(batch.labels, dtype=torch.bool)
        if self.options.min_positive_label is not None:
            is_positive_QP = (batch.labels >= self.options.min_positive_label) & batch.is_real()
        is_positive_QP[:, 0] = True
        return is_positive_QP

    def _limits(self, positives_Q1: Tensor) -> Tensor | None:
        """The similarity above which a negative is taken for a false one, or None."""
        options, limits = self.options, []
        if options.false_negative_score is not None:
            limits.append(torch.full_like(positives_Q1, options.false_negative_score))
        if options.false_negative_margin is not None:
            limits.append(positives_Q1 + options.false_negative_margin)
        if options.false_negative_ratio is not None:
            limits.append(positives_Q1 - positives_Q1.abs() * (1 - options.false_negative_ratio))
        return torch.stack(limits).amin(0) if limits else None


def _against(
    positives_QP: Tensor,
    others_QC: Tensor,
    excluded_QC: Tensor,
    limits_Q1: Tensor | None,
    temperature: float | Tensor,
) -> Tensor:
    """[Q, P]: -log of each positive's share among itself and the others that are not excluded."""
    if limits_Q1 is not None:
        excluded_QC = excluded_QC | (others_QC.detach() > limits_Q1)
    negatives_QC = (others_QC / temperature).masked_fill(excluded_QC, _LOWEST)
    return nn.functional.softplus(
        negatives_QC.logsumexp(1, keepdim=True) - positives_QP / temperature
    )
