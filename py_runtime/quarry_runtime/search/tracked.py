"""Scores of named pairs of query and passage, kept also where they are outside the top-k."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True)
class Places:
    """Where pairs lie in a unit: numbers of the pairs, their queries and columns, [M] each."""

    pairs: NDArray[np.int64]
    queries: NDArray[np.int64]
    columns: NDArray[np.int64]

    def within(self, first_query: int, end_query: int, first: int, end: int) -> Places:
        """The pairs of a range of queries and columns, counted from where these start."""
        is_in = (self.queries >= first_query) & (self.queries < end_query)
        is_in &= (self.columns >= first) & (self.columns < end)
        return Places(
            self.pairs[is_in], self.queries[is_in] - first_query, self.columns[is_in] - first
        )


class TrackedPairs:
    """Fills in the score of each pair when its passage comes by.

    Memory: 12 bytes a pair.

    Example:
        tracked = TrackedPairs(queries_T, rows_T, torch.device("cpu"))
        search = ExactSearch(queries_QD, k=100, tracked=tracked)
        search.add(passages_ND, rows_N, ranks_N)
        tracked.snapshot()  # float32 [T], -inf where the passage has not come
    """

    def __init__(
        self, queries_T: NDArray[np.int32], rows_T: NDArray[np.int32], device: torch.device
    ) -> None:
        """
        Args:
            queries_T: Numbers of queries.
            rows_T: Rows of passages, ascending; a pair may stand there more than once.
            device: Where scores come from.
        """
        self._queries_T = queries_T
        self._rows_T = rows_T
        # A score is finite, so -inf can mean none.
        self._scores_T = torch.full((len(rows_T),), -torch.inf, device=device)

    def find(self, rows_N: NDArray[np.int32]) -> Places:
        """The pairs among the passages of a unit, in any order of rows."""
        first_N = np.searchsorted(self._rows_T, rows_N, side="left")
        counts_N = np.searchsorted(self._rows_T, rows_N, side="right") - first_N
        columns = np.repeat(np.arange(len(rows_N)), counts_N)
        # The n-th pair of a row is n places after the row's first one.
        starts_N = first_N - (np.cumsum(counts_N) - counts_N)
        pairs = np.arange(len(columns)) + np.repeat(starts_N, counts_N)
        return Places(pairs, self._queries_T[pairs].astype(np.int64), columns)

    def take(self, places: Places, scores_QN: torch.Tensor) -> None:
        """Copies the scores of the pairs at these places."""
        if len(places.pairs) == 0:
            return
        device = scores_QN.device
        queries, columns, pairs = (
            torch.from_numpy(numbers).to(device)
            for numbers in (places.queries, places.columns, places.pairs)
        )
        self._scores_T[pairs] = scores_QN[queries, columns]

    def snapshot(self) -> NDArray[np.float32]:
        """Scores [T] of what has come by so far, -inf for the rest; later units do not touch it."""
        return self._scores_T.cpu().numpy().copy()
