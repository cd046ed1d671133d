"""What every loss gets: vectors, labels, and which columns may count as negatives."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from quarry_runtime.modeling.formatting import Extras


class BatchExtras:
    """Further fields of this rank's records, as the `extras` of their sources ask for them.

    No dataclass: those are taken apart on the way through DDP and FSDP.
    """

    def __init__(self, queries: list[Extras], passages: list[Extras]) -> None:
        #: Q of them.
        self.queries = queries
        #: Q × P, query by query.
        self.passages = passages


@dataclass(frozen=True)
class AllQueries:
    """The queries of all ranks, for a loss that sets `needs_all_queries`; G of them, rank by rank.

    The passages of query g are the columns g × P to (g + 1) × P - 1 of `LossInputs.passages`.
    """

    #: [G, D], with gradient to the rank that each comes from.
    queries: Tensor
    #: float32 [G, P], as LossInputs.labels.
    labels: Tensor
    #: integer [G], as LossInputs.counts.
    counts: Tensor
    #: integer [G], as LossInputs.sources.
    sources: Tensor
    #: bool [G]: False where the loss is restricted to other sources.
    taking_part: Tensor
    #: bool [Q, G]: True where a query must not count as a negative of this rank's query's own first
    #: passage: it is relevant to both, or has a column already.
    mask: Tensor
    #: bool [Q, P, G]: the same for each of this rank's own passages: it is relevant to that query too,
    #: or stands in its group. Given to losses that set `own_columns_count = True`.
    own_mask: Tensor | None = None


@dataclass(frozen=True)
class LossInputs:
    """One rank's share of a micro-step, after encoding and gathering.

    Q: this rank's queries, P: passages of each, C: passages of all ranks, D: dimension. With cosine
    similarity the vectors already have length 1, so a loss only ever takes dot products. A loss
    returns the mean over the Q queries: then several ranks train as one with all queries would.

    Example:
        @register_loss("my_loss")
        class MyLoss(nn.Module):
            def __init__(self, options: None) -> None:
                super().__init__()

            def forward(self, batch: LossInputs) -> Tensor:
                scores_QP = batch.own_scores(temperature=0.05)
                return -scores_QP[:, 0].mean()
    """

    #: [Q, D], this rank's.
    queries: Tensor
    #: [C, D], of all ranks, rank by rank; of this rank alone where the loss sets
    #: `needs_all_passages = False`.
    passages: Tensor
    #: int64 [Q]: the column of each query's own first passage; its other P - 1 follow it.
    positive_columns: Tensor
    #: bool [Q, C]: True where a column must not count as a negative of the query. A passage in several
    #: columns counts in one; where the loss sets `own_columns_count = True`, in the query's own group
    #: if it stands there too.
    mask: Tensor
    #: float32 [Q, P]: the label of each of the query's own passages.
    labels: Tensor
    #: integer [Q]: how many of the query's own passages are real, 1 to P. Those behind them are
    #: paddings that repeat the first one: masked for every query, and to be left out of a loss over
    #: the query's own passages too (`is_real`).
    counts: Tensor
    #: integer [Q]: the part of the training data that each query comes from, 0 without a mix.
    sources: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    #: Given to losses that set `needs_all_queries = True`.
    everyone: AllQueries | None = None
    #: Further fields of this rank's own records; None where no source asks for any.
    extras: BatchExtras | None = None

    def __post_init__(self) -> None:
        if len(self.sources) != len(self.queries):
            object.__setattr__(self, "sources", torch.zeros_like(self.counts))

    def is_real(self) -> Tensor:
        """bool [Q, P]: True where an own passage is no padding."""
        places_P = torch.arange(self.labels.shape[1], device=self.counts.device)
        return places_P < self.counts.unsqueeze(1)

    def own_columns(self) -> Tensor:
        """int64 [Q, P]: the columns of each query's own passages."""
        offsets_P = torch.arange(self.labels.shape[1], device=self.labels.device)
        return self.positive_columns.unsqueeze(1) + offsets_P

    def own_passages(self) -> Tensor:
        """[Q, P, D]: the vectors of each query's own passages, paddings included."""
        return self.passages[self.own_columns()]

    def scores(self, temperature: float | Tensor = 1.0) -> Tensor:
        """float32 [Q, C]: dot products over the temperature, exact even under autocast."""
        # bfloat16 keeps 8 bits: at temperature 0.05 a score near 20 would be rounded to 0.125.
        with torch.autocast(self.queries.device.type, enabled=False):
            return self.queries.float() @ self.passages.float().T / temperature

    def own_scores(self, temperature: float | Tensor = 1.0) -> Tensor:
        """float32 [Q, P]: the same for each query's own passages only."""
        return paired_scores(self.queries, self.own_passages(), temperature)


def paired_scores(
    queries_ND: Tensor, passages_NPD: Tensor, temperature: float | Tensor = 1.0
) -> Tensor:
    """float32 [N, P]: dot products of each query with its P passages, over the temperature."""
    with torch.autocast(queries_ND.device.type, enabled=False):
        products_NP = (queries_ND.float().unsqueeze(1) * passages_NPD.float()).sum(-1)
        return products_NP / temperature
