"""The exact best k passages of each query, kept on the device while units come in."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from quarry_runtime.errors import DataError
from quarry_runtime.search.dense import Dense
from quarry_runtime.search.lists import BestLists
from quarry_runtime.search.sieve import Sieve

# Lists are first filled from so many columns a place: the k-th score is then close to its last value.
_COLUMNS_PER_PLACE = 8
_FIRST_COLUMNS = 4_096
# Later, blocks of fewer scores than this wait for others: a look at one costs some 20 µs.
_SMALL_SCORES = 128 * 1024
# A GPU's torch.topk wants wide blocks.
_DENSE_COLUMNS_PER_PLACE = 64
_DENSE_COLUMNS = 65_536
# No more memory than this for what waits, however many queries there are.
_WAITING_BYTES = 256 * 1024 * 1024


class RunningTopK:
    """Scores in, the best k out: by score descending, then id rank descending, whatever the order
    they came in.

    Memory, whatever the number of passages: lists of 12 * Q * (2 k + 64) bytes, at most 256 MiB of
    scores that wait, and 1 MiB or 64 * Q bytes of masks.

    Shapes: Q queries, K places, N passages of a block. Padding has score -inf and row -1.

    Example:
        best = RunningTopK(query_count=2, k=10)
        best.add(scores_QN, rows_N, ranks_N)
        scores_QK, rows_QK = best.snapshot()
    """

    def __init__(self, query_count: int, k: int, device: torch.device | str = "cpu") -> None:
        self.query_count = query_count
        self.k = k
        self._device = torch.device(device)
        self._lists = BestLists(query_count, k, self._device)
        self._is_on_cpu = self._device.type == "cpu"
        self._taker = Sieve(self._lists) if self._is_on_cpu else Dense(self._lists)
        if self._is_on_cpu:
            wanted = max(_FIRST_COLUMNS, _COLUMNS_PER_PLACE * k)
        else:
            wanted = max(_DENSE_COLUMNS, _DENSE_COLUMNS_PER_PLACE * k)
        self._block_columns = max(1, min(wanted, _WAITING_BYTES // (4 * max(query_count, 1))))
        self._seen_columns = 0
        self._waiting: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None
        self._waiting_columns = 0

    def add(self, scores_QN: torch.Tensor, rows_N: torch.Tensor, ranks_N: torch.Tensor) -> None:
        """Takes a unit's scores in; the tensors may be written to afterwards.

        Args:
            scores_QN: float32, finite.
            rows_N: int32 row numbers.
            ranks_N: int32 id ranks, each different.

        Raises:
            DataError: NaN or infinity among the scores, with the rows named; nothing of the block
                is taken in.
        """
        if scores_QN.numel() == 0:
            return
        # One pass without a temporary: any NaN or infinity makes the sum not finite; a finite
        # overflow is sorted out below.
        if not math.isfinite(scores_QN.sum().item()) and not bool(scores_QN.isfinite().all()):
            _refuse(scores_QN, rows_N)
        columns = scores_QN.shape[1]
        if self._waiting_columns == 0 and columns >= self._enough_columns():
            self._take(scores_QN, rows_N, ranks_N)
            return
        start = 0
        while start < columns:
            start += self._wait(scores_QN[:, start:], rows_N[start:], ranks_N[start:])
            if self._waiting_columns >= self._enough_columns():
                self._take_waiting()

    def snapshot(self) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Scores and rows, [Q, K] each, in final order; a copy that later units do not touch."""
        self._take_waiting()
        self._taker.cut()
        scores_QK, rows_QK = self._lists.ordered()
        return scores_QK.cpu().numpy(), rows_QK.cpu().numpy()

    def _enough_columns(self) -> int:
        if not self._is_on_cpu or self._seen_columns < self._block_columns:
            return self._block_columns
        return min(self._block_columns, -(-_SMALL_SCORES // self.query_count))

    def _wait(self, scores_QN: torch.Tensor, rows_N: torch.Tensor, ranks_N: torch.Tensor) -> int:
        """Copies what fits to the scores that wait; gives the number of columns."""
        if self._waiting is None:
            shape = (self.query_count, self._block_columns)
            numbers = torch.empty((2, self._block_columns), dtype=torch.int32, device=self._device)
            self._waiting = (torch.empty(shape, device=self._device), numbers[0], numbers[1])
        start = self._waiting_columns
        count = min(scores_QN.shape[1], self._block_columns - start)
        for kept, given in zip(self._waiting, (scores_QN, rows_N, ranks_N), strict=True):
            kept[..., start : start + count] = given[..., :count]
        self._waiting_columns += count
        return count

    def _take_waiting(self) -> None:
        if self._waiting is None or self._waiting_columns == 0:
            return
        scores_QB, rows_B, ranks_B = (kept[..., : self._waiting_columns] for kept in self._waiting)
        self._take(scores_QB, rows_B, ranks_B)
        self._waiting_columns = 0

    def _take(self, scores_QN: torch.Tensor, rows_N: torch.Tensor, ranks_N: torch.Tensor) -> None:
        if isinstance(self._taker, Dense):
            self._taker.take(scores_QN, rows_N, ranks_N)
        else:
            self._taker.take(scores_QN.numpy(), rows_N.numpy(), ranks_N.numpy())
        self._seen_columns += scores_QN.shape[1]


def _refuse(scores_QN: torch.Tensor, rows_N: torch.Tensor) -> None:
    broken_N = ~torch.isfinite(scores_QN).all(0)
    rows = rows_N[broken_N].tolist()
    some = ", ".join(str(row) for row in rows[:10]) + (", …" if len(rows) > 10 else "")
    raise DataError(
        f"The scores of {len(rows)} passage(s) hold NaN or infinity: rows {some}.",
        hint="Try dtype float32 (float16 overflows), or look at these texts and the checkpoint.",
        rows=rows,
    )
