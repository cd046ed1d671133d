"""The exact best k passages of each query, kept on the device while units come in."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from quarry_runtime.search.dense import Dense
from quarry_runtime.search.finite import are_finite, refuse
from quarry_runtime.search.lists import BestLists
from quarry_runtime.search.sieve import Sieve
from quarry_runtime.search.single import Single

# Lists are first filled from so many columns a place: the k-th score is then close to its last value.
_COLUMNS_PER_PLACE = 8
_FIRST_COLUMNS = 4_096
# Later, blocks wait until so many scores are together: a look costs 70 µs of calls. One that brings
# a quarter of it is looked at alone, for copying is not free either.
_SMALL_SCORES = 128 * 1024
# A GPU's torch.topk wants wide blocks.
_DENSE_COLUMNS_PER_PLACE = 64
_DENSE_COLUMNS = 65_536
# No more memory than this for what waits, however many queries there are; blocks of queries share it.
_WAITING_BYTES = 256 * 1024 * 1024

#: Row numbers or id ranks [N]; numpy's on a CPU only, where slices of them cost a fifth of a tensor's.
Numbers = torch.Tensor | NDArray[np.int32]
#: Scores [Q, N], rows [N] and id ranks [N]: numpy arrays on a CPU, tensors elsewhere.
_Block = tuple[Any, Any, Any]


class RunningTopK:
    """Scores in, the best k out: by score descending, then id rank descending, whatever the order
    they came in.

    Memory, whatever the number of passages: lists of 12 * Q * (2 k + 64) bytes, scores that wait of
    at most 256 MiB (shared with `sharers` like this one) or 4 * Q * k bytes, and masks of 1 MiB or
    64 * Q bytes.

    Shapes: Q queries, K places, N passages of a block. Padding has score -inf and row -1.

    Example:
        best = RunningTopK(query_count=2, k=10)
        best.add(scores_QN, rows_N, ranks_N)
        scores_QK, rows_QK = best.snapshot()
    """

    def __init__(
        self, query_count: int, k: int, device: torch.device | str = "cpu", sharers: int = 1
    ) -> None:
        self.query_count = query_count
        self.k = k
        self._device = torch.device(device)
        self._is_on_cpu = self._device.type == "cpu"
        self._taker = self._choose_taker()
        if self._is_on_cpu:
            first = max(_FIRST_COLUMNS, _COLUMNS_PER_PLACE * k)
            wanted = max(first, self._columns(_SMALL_SCORES))
        else:
            wanted = first = max(_DENSE_COLUMNS, _DENSE_COLUMNS_PER_PLACE * k)
        # Fewer than k could not give a bound; the lists take more than these anyway.
        self._room = max(1, k, min(wanted, _WAITING_BYTES // (4 * max(query_count * sharers, 1))))
        #: So many columns are taken when they come alone, and so many when they waited.
        self._enough_alone = min(self._room, first)
        self._enough = self._room
        self._waiting: _Block | None = None
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
        if not are_finite(scores_QN):
            refuse(scores_QN, rows_N)
        self.add_finite(scores_QN, rows_N, ranks_N)

    def add_finite(self, scores_QN: torch.Tensor, rows_N: Numbers, ranks_N: Numbers) -> None:
        """As add, of scores that are known to be finite."""
        if isinstance(self._taker, Single):
            # Its blocks need not wait.
            self._taker.take(scores_QN.numpy()[0], _as_numpy(rows_N), _as_numpy(ranks_N))
            return
        block: _Block = (scores_QN, rows_N, ranks_N)
        if self._is_on_cpu:
            block = scores_QN.numpy(), _as_numpy(rows_N), _as_numpy(ranks_N)
        columns, start = len(rows_N), 0
        while start < columns:
            if self._waiting_columns == 0 and columns - start >= self._enough_alone:
                # The rest of a block as well: columns that went on waiting would hold every later block up.
                rest = slice(start, columns)
                self._take((block[0][:, rest], block[1][rest], block[2][rest]))
                return
            start += self._wait(block, start, columns)
            if self._waiting_columns >= self._enough:
                self._take_waiting()

    def snapshot(self) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Scores and rows, [Q, K] each, in final order; a copy that later units do not touch."""
        self._take_waiting()
        return self._taker.ordered()

    def _choose_taker(self) -> Single | Sieve | Dense:
        if self._is_on_cpu and self.query_count == 1:
            return Single(self.k)
        lists = BestLists(self.query_count, self.k, self._device)
        return Sieve(lists) if self._is_on_cpu else Dense(lists)

    def _columns(self, scores: int) -> int:
        return -(-scores // max(1, self.query_count))

    def _wait(self, block: _Block, start: int, end: int) -> int:
        """Copies what fits of the columns from `start` on to those that wait; gives their number."""
        if self._waiting is None:
            self._waiting = self._make_room()
        first = self._waiting_columns
        count = min(end - start, self._room - first)
        scores_QR, rows_R, ranks_R = self._waiting
        here, there = slice(first, first + count), slice(start, start + count)
        scores_QR[:, here] = block[0][:, there]
        rows_R[here] = block[1][there]
        ranks_R[here] = block[2][there]
        self._waiting_columns += count
        return count

    def _make_room(self) -> _Block:
        if self._is_on_cpu:
            numbers = np.empty((2, self._room), np.int32)
            return np.empty((self.query_count, self._room), np.float32), numbers[0], numbers[1]
        numbers_2R = torch.empty((2, self._room), dtype=torch.int32, device=self._device)
        shape = (self.query_count, self._room)
        return torch.empty(shape, device=self._device), numbers_2R[0], numbers_2R[1]

    def _take_waiting(self) -> None:
        if self._waiting is None or self._waiting_columns == 0:
            return
        scores_QR, rows_R, ranks_R = self._waiting
        used = slice(0, self._waiting_columns)
        self._take((scores_QR[:, used], rows_R[used], ranks_R[used]))
        self._waiting_columns = 0

    def _take(self, block: _Block) -> None:
        assert not isinstance(self._taker, Single)
        self._taker.take(*block)
        if isinstance(self._taker, Sieve):
            self._enough = min(self._room, self._columns(_SMALL_SCORES))
            if self._enough < self._room:
                # So much never waits again.
                self._room, self._waiting = self._enough, None
            self._enough_alone = min(self._enough, self._columns(_SMALL_SCORES // 4))


def _as_numpy(numbers_N: Numbers) -> NDArray[np.int32]:
    # Not np.asarray, which takes ten times as long over a tensor.
    return numbers_N.numpy() if isinstance(numbers_N, torch.Tensor) else numbers_N
