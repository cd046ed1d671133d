"""What every loss gets: vectors, labels, and which columns may count as negatives."""

from __future__ import annotations

from dataclasses import dataclass

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
class LossInputs:
    """One rank's share of a micro-step, after encoding and gathering.

    Q: this rank's queries, P: passages of each, C: passages of all ranks, D: dimension. With cosine
    similarity the vectors already have length 1, so a loss only ever takes dot products.
    """

    #: [Q, D], this rank's.
    queries: Tensor
    #: [C, D], of all ranks, rank by rank.
    passages: Tensor
    #: int64 [Q]: the column of each query's own first passage; its other P - 1 follow it.
    positive_columns: Tensor
    #: bool [Q, C]: True where a column must not count as a negative of the query.
    mask: Tensor
    #: float32 [Q, P]: the label of each of the query's own passages.
    labels: Tensor
    #: integer [Q]: how many of the query's own passages are real, 1 to P. Those behind them are
    #: paddings that repeat the first one: masked for every query, and to be left out of a loss over
    #: the query's own passages too (`is_real`).
    counts: Tensor
    #: Further fields of this rank's own records; None where no source asks for any.
    extras: BatchExtras | None = None

    def is_real(self) -> Tensor:
        """bool [Q, P]: True where an own passage is no padding."""
        places_P = torch.arange(self.labels.shape[1], device=self.counts.device)
        return places_P < self.counts.unsqueeze(1)

    def scores(self, temperature: float) -> Tensor:
        """float32 [Q, C]: dot products over the temperature, exact even under autocast."""
        # bfloat16 keeps 8 bits: at temperature 0.05 a score near 20 would be rounded to 0.125.
        with torch.autocast(self.queries.device.type, enabled=False):
            return self.queries.float() @ self.passages.float().T / temperature
