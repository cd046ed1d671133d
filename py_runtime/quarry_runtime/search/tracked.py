"""Scores of named pairs of query and passage, wherever they rank."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from quarry_runtime.errors import ProtocolError


class TrackedPairs:
    """Picks the scores of the pairs out of the blocks that go by; -inf stands for those unseen."""

    def __init__(self, count: int, device: torch.device | str = "cpu") -> None:
        self._count = count
        self._queries_T: NDArray[np.int32] | None = None
        self._rows_T = np.empty(0, np.int32)
        self._scores_T = torch.full((count,), -torch.inf, device=device)

    def take(self, queries_T: NDArray[np.int32], rows_T: NDArray[np.int32]) -> None:
        """The pairs, ascending by passage row.

        Raises:
            ProtocolError: another number of pairs than the task names, or rows out of order.
        """
        if len(queries_T) != self._count or len(rows_T) != self._count:
            raise ProtocolError(f"{len(queries_T)} tracked pairs came, not {self._count}.")
        if (np.diff(rows_T) < 0).any():
            raise ProtocolError("Tracked pairs do not ascend by passage row.")
        self._queries_T, self._rows_T = queries_T.copy(), rows_T.copy()

    def note(self, scores_QN: torch.Tensor, rows_N: NDArray[np.int32]) -> None:
        """Keeps the scores of the pairs whose passages are in this block."""
        if self._queries_T is None:
            raise ProtocolError("A unit came before the tracked pairs.")
        first_N = np.searchsorted(self._rows_T, rows_N, "left")
        count_N = np.searchsorted(self._rows_T, rows_N, "right") - first_N
        columns = np.repeat(np.arange(len(rows_N)), count_N)
        if len(columns) == 0:
            return
        # The i-th pair of a column lies i places behind its first one.
        steps = np.arange(len(columns)) - np.repeat(np.cumsum(count_N) - count_N, count_N)
        pairs = first_N[columns] + steps
        device = scores_QN.device
        queries = torch.from_numpy(self._queries_T[pairs].astype(np.int64)).to(device)
        found = scores_QN[queries, torch.from_numpy(columns).to(device)]
        self._scores_T[torch.from_numpy(pairs).to(device)] = found

    def scores(self) -> NDArray[np.float32]:
        """Scores [T] so far, a copy."""
        return self._scores_T.cpu().numpy().copy()
