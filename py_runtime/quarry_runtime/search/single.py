"""Keeps the best of one query on a CPU, where a block's scores cost less than the calls that look at them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quarry_runtime.search.keys import LOWEST, keys_of, score_of, scores_of_keys

# Found scores wait for a cut, which takes as long as looking at five blocks: for this many, or k.
_ROOM = 1_024
# Passages of a chunk whose maximum gives the first bound; see Sieve.
_LONGEST_CHUNK = 64


class Single:
    """Takes blocks of scores [1, N] into the list of one query's best.

    A block costs one comparison with the k-th score so far and one look for what reaches it; what
    was found is copied out and waits. Nothing is kept of a block otherwise, so blocks need not be
    gathered, which took longer than all the rest. The lists are numpy's: the dozen calls of torch
    that BestLists makes for a search of 100,000 passages took longer than the search.

    Shapes: N passages, M found scores, F <= K kept ones, K places.
    """

    def __init__(self, k: int) -> None:
        self._k = k
        self._keys_F = np.empty(0, np.int64)
        self._rows_F = np.empty(0, np.int32)
        self._bound = np.float32(-np.inf)
        #: Scores, rows and id ranks that reached the bound of their time.
        self._found: list[tuple[NDArray, NDArray, NDArray]] = []
        self._count = 0

    def take(
        self, scores_1N: NDArray[np.float32], rows_N: NDArray[np.int32], ranks_N: NDArray[np.int32]
    ) -> None:
        """Takes a block in; the arrays are not kept."""
        scores_N = scores_1N[0]
        if self._count == 0 and len(self._keys_F) < self._k:
            self._raise_bound(scores_N)
        columns_M = (scores_N >= self._bound).nonzero()[0]
        if len(columns_M) == 0:
            return
        self._found.append((scores_N[columns_M], rows_N[columns_M], ranks_N[columns_M]))
        self._count += len(columns_M)
        if self._count > max(_ROOM, self._k):
            self.cut()

    def cut(self) -> None:
        """Takes in what was found, and leaves the best k in no order."""
        if self._count == 0:
            return
        scores_M, rows_M, ranks_M = map(np.concatenate, zip(*self._found, strict=True))
        keys = np.concatenate((self._keys_F, keys_of(scores_M, ranks_M)))
        rows = np.concatenate((self._rows_F, rows_M))
        self._found.clear()
        self._count = 0
        if len(keys) > self._k:
            best_K = np.argpartition(keys, len(keys) - self._k)[-self._k :]
            keys, rows = keys[best_K], rows[best_K]
        self._keys_F, self._rows_F = keys, rows
        if len(keys) == self._k:
            self._bound = max(self._bound, score_of(keys.min()))

    def ordered(self) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Scores and rows, [1, K] each, best first."""
        self.cut()
        order_F = self._keys_F.argsort()[::-1]
        keys_K = np.full(self._k, LOWEST, np.int64)
        rows_1K = np.full((1, self._k), -1, np.int32)
        keys_K[: len(order_F)] = self._keys_F[order_F]
        rows_1K[0, : len(order_F)] = self._rows_F[order_F]
        return scores_of_keys(keys_K)[None], rows_1K

    def _raise_bound(self, scores_N: NDArray[np.float32]) -> None:
        """k chunks have a maximum of at least the k-th largest maximum: a bound of the k-th score."""
        length = min(_LONGEST_CHUNK, len(scores_N) // (2 * self._k))
        if length < 2:
            return
        count = len(scores_N) // length
        maxima_C = scores_N[: length * count].reshape(length, count).max(0)
        self._bound = np.partition(maxima_C, count - self._k)[count - self._k]
