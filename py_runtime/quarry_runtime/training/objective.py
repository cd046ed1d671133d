"""What training minimises: one loss or several by weight, some for some sources only."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from quarry_runtime.modeling.loss_check import checked_loss
from quarry_runtime.modeling.losses.inputs import AllQueries, BatchExtras, LossInputs
from quarry_runtime.training.gather import gather_constant, gather_rows
from quarry_runtime.training.mask import cut_to_rank, masked, no_rivals


@dataclass(frozen=True)
class Term:
    """One loss and how it takes part."""

    #: LossInputs → mean over its queries.
    loss: Callable[[LossInputs], Tensor]
    weight: float = 1.0
    #: Numbers of the sources whose queries it sees; None for all.
    sources: tuple[int, ...] | None = None
    #: Leading dimensions that it is computed on, each with its weight; None for whole vectors.
    dimensions: Sequence[tuple[int, float]] | None = None


class Objective(nn.Module):
    """Vectors and labels of a micro-step in, one number out.

    The loss of a query is the weighted sum of the losses of its source; the objective is the mean
    over the queries. A loss that is restricted to sources therefore weighs as much as they have of
    the batch, on one rank as on many.

    Args:
        terms: At least one.
        is_unit: Whether vectors have length 1, and are to have it again after they were cut short
            for Matryoshka (arXiv 2205.13147).
    """

    def __init__(self, terms: Sequence[Term], is_unit: bool = False) -> None:
        super().__init__()
        self.terms = list(terms)
        self.is_unit = is_unit
        for number, term in enumerate(self.terms):
            # Under its own number, so that parameters of a loss are trained, moved and saved.
            if isinstance(term.loss, nn.Module):
                self.add_module(str(number), term.loss)

    @property
    def compares_queries(self) -> bool:
        """Whether some loss looks at more than a query's own passages, of all ranks or of this one."""
        return any(
            getattr(term.loss, "needs_all_passages", True)
            or getattr(term.loss, "compares_queries", False)
            for term in self.terms
        )

    def forward(
        self,
        queries_QD: Tensor,
        passages_BD: Tensor,
        positive_columns: Tensor,
        mask: Tensor,
        labels: Tensor,
        counts: Tensor,
        sources: Tensor | None = None,
        extras: BatchExtras | None = None,
    ) -> Tensor:
        """A scalar; arguments as LossInputs has them, `passages_BD` of this rank alone.

        Args:
            mask: As the orchestrator sends it, reasons as bits; or bool.

        Raises:
            ConfigError: a loss gave something else than a scalar with gradient.
        """
        own = LossInputs(
            *(queries_QD, passages_BD, positive_columns.long(), mask, labels, counts),
            sources=torch.zeros_like(counts) if sources is None else sources,
            extras=extras,
        )
        views = _Views(own)
        total = queries_QD.new_zeros(())
        for term in self.terms:
            batch = views.of(term.loss)
            share = 1.0
            if term.sources is not None:
                chosen_Q = _is_from(term.sources, batch.sources)
                count = int(chosen_Q.sum())
                # Whatever went into the batch stays in the graph: a rank without such a query must
                # not leave the others waiting for its part of a collective.
                total = total + 0.0 * self._sum_of_all(batch)
                if count == 0:
                    continue
                share = count / len(chosen_Q)
                batch = _restricted(batch, chosen_Q, term.sources)
            total = total + term.weight * share * self._on_dimensions(term, batch)
        return total

    def _on_dimensions(self, term: Term, batch: LossInputs) -> Tensor:
        if term.dimensions is None:
            return checked_loss(term.loss(batch), term.loss)
        losses = [
            weight * checked_loss(term.loss(self._cut(batch, size)), term.loss)
            for size, weight in term.dimensions
        ]
        return torch.stack(losses).sum()

    def _cut(self, batch: LossInputs, size: int) -> LossInputs:
        def cut(vectors_ND: Tensor) -> Tensor:
            cut_ND = vectors_ND[:, :size]
            return nn.functional.normalize(cut_ND, dim=-1) if self.is_unit else cut_ND

        everyone = batch.everyone
        return replace(
            batch,
            queries=cut(batch.queries),
            passages=cut(batch.passages),
            everyone=None if everyone is None else replace(everyone, queries=cut(everyone.queries)),
        )

    def _sum_of_all(self, batch: LossInputs) -> Tensor:
        inputs = [batch.queries, batch.passages, *self.parameters()]
        if batch.everyone is not None:
            inputs.append(batch.everyone.queries)
        return torch.stack([each.float().sum() for each in inputs]).sum()


class _Views:
    """The inputs as each loss wants them; what several want is gathered once."""

    def __init__(self, own: LossInputs) -> None:
        self._given = own
        self._made: dict[tuple[bool, bool, bool], LossInputs] = {}
        self._gathered: Tensor | None = None

    def of(self, loss: Any) -> LossInputs:
        key = (
            bool(getattr(loss, "needs_all_passages", True)),
            bool(getattr(loss, "needs_all_queries", False)),
            bool(getattr(loss, "own_columns_count", False)),
        )
        if key not in self._made:
            self._made[key] = self._make(*key)
        return self._made[key]

    def _make(self, is_global: bool, has_everyone: bool, own_columns_count: bool) -> LossInputs:
        batch = self._all_ranks() if is_global else _own_only(self._given)
        bits_QC = batch.mask
        own_QP = batch.own_columns()
        counted = own_QP if own_columns_count else None
        batch = replace(batch, mask=masked(bits_QC, not is_global, counted))
        if not has_everyone:
            return batch
        mask_QC = masked(bits_QC, not is_global)
        gather = gather_constant if is_global else _same
        labels_GP = gather(batch.labels)
        group_size = batch.labels.shape[1]
        # Of each passage only the first of its group is asked for its queries.
        mask_GG = gather(mask_QC[:, ::group_size])
        own_G = batch.positive_columns // group_size
        everyone = AllQueries(
            queries=gather_rows(batch.queries) if is_global else batch.queries,
            labels=labels_GP,
            counts=gather(batch.counts),
            sources=gather(batch.sources),
            taking_part=torch.ones(len(labels_GP), dtype=torch.bool, device=labels_GP.device),
            mask=mask_GG[:, own_G].T,
            own_mask=(
                gather(no_rivals(bits_QC))[:, own_QP].permute(1, 2, 0)
                if own_columns_count
                else None
            ),
        )
        return replace(batch, everyone=everyone)

    def _all_ranks(self) -> LossInputs:
        if self._gathered is None:
            self._gathered = gather_rows(self._given.passages)
        return replace(self._given, passages=self._gathered)


def _own_only(batch: LossInputs) -> LossInputs:
    """As if this rank were alone: its own passages, and its own columns of the mask."""
    return replace(
        batch,
        positive_columns=batch.positive_columns - batch.positive_columns[:1],
        mask=cut_to_rank(batch.mask, batch.positive_columns, len(batch.passages)),
    )


def _restricted(batch: LossInputs, chosen_Q: Tensor, sources: tuple[int, ...]) -> LossInputs:
    everyone = batch.everyone
    if everyone is not None:
        taking_part = _is_from(sources, everyone.sources)
        own_mask = None if everyone.own_mask is None else everyone.own_mask[chosen_Q]
        mask = everyone.mask[chosen_Q]
        everyone = replace(everyone, taking_part=taking_part, mask=mask, own_mask=own_mask)
    return replace(
        batch,
        queries=batch.queries[chosen_Q],
        positive_columns=batch.positive_columns[chosen_Q],
        mask=batch.mask[chosen_Q],
        labels=batch.labels[chosen_Q],
        counts=batch.counts[chosen_Q],
        sources=batch.sources[chosen_Q],
        everyone=everyone,
        extras=None if batch.extras is None else _chosen(batch.extras, chosen_Q.tolist()),
    )


def _chosen(extras: BatchExtras, is_chosen: list[bool]) -> BatchExtras:
    per_query = len(extras.passages) // len(extras.queries)
    return BatchExtras(
        list(itertools.compress(extras.queries, is_chosen)),
        [each for n, each in enumerate(extras.passages) if is_chosen[n // per_query]],
    )


def _is_from(sources: tuple[int, ...], of: Tensor) -> Tensor:
    return torch.isin(of, torch.tensor(sources, device=of.device, dtype=of.dtype))


def _same(rows: Tensor) -> Tensor:
    return rows
