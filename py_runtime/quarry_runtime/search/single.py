"""Keeps the best of one query on a CPU, where a block's scores cost less than the calls that look at them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quarry_runtime.search.keys import keys_of, score_of
from quarry_runtime.search.lists import BestLists

# Found scores wait for a cut, which takes as long as looking at five blocks: for this many, or k.
_ROOM = 1_024
# Passages of a chunk whose maximum gives the first bound; see Sieve.
_LONGEST_CHUNK = 64


class Single:
    """Takes blocks of scores [1, N] into the list of one query's best.

    A block costs one comparison with the k-th score so far and one look for what reaches it; what
    was found is copied out and waits. Nothing is kept of a block otherwise, so blocks need not be
    gathered, which took longer than all the rest.

    Shapes: N passages, M found scores, K places.
    """

    def __init__(self, lists: BestLists) -> None:
        self._k = lists.k
        self._keys = lists.keys_QW.numpy()[0, : lists.k]
        self._rows = lists.rows_QW.numpy()[0, : lists.k]
        self._bound = np.float32(-np.inf)
        self._fill = 0
        #: Scores, rows and id ranks that reached the bound of their time.
        self._found: list[tuple[NDArray, NDArray, NDArray]] = []
        self._count = 0

    def take(
        self, scores_1N: NDArray[np.float32], rows_N: NDArray[np.int32], ranks_N: NDArray[np.int32]
    ) -> None:
        """Takes a block in; the arrays are not kept."""
        scores_N = scores_1N[0]
        if self._fill < self._k and self._count == 0:
            self._raise_bound(scores_N)
        columns_M = (scores_N >= self._bound).nonzero()[0]
        if len(columns_M) == 0:
            return
        self._found.append((scores_N[columns_M], rows_N[columns_M], ranks_N[columns_M]))
        self._count += len(columns_M)
        if self._count > max(_ROOM, self._k):
            self.cut()

    def cut(self) -> None:
        """Leaves the best k in the first k slots of the list, in no order."""
        if self._count == 0:
            return
        scores_M, rows_M, ranks_M = map(np.concatenate, zip(*self._found, strict=True))
        keys = np.concatenate((self._keys[: self._fill], keys_of(scores_M, ranks_M)))
        rows = np.concatenate((self._rows[: self._fill], rows_M))
        self._found.clear()
        self._count = 0
        if len(keys) > self._k:
            best_K = np.argpartition(keys, len(keys) - self._k)[-self._k :]
            keys, rows = keys[best_K], rows[best_K]
        self._fill = len(keys)
        self._keys[: self._fill], self._rows[: self._fill] = keys, rows
        if self._fill == self._k:
            self._bound = max(self._bound, score_of(keys.min()))

    def _raise_bound(self, scores_N: NDArray[np.float32]) -> None:
        """k chunks have a maximum of at least the k-th largest maximum: a bound of the k-th score."""
        length = min(_LONGEST_CHUNK, len(scores_N) // (2 * self._k))
        if length < 2:
            return
        count = len(scores_N) // length
        maxima_C = scores_N[: length * count].reshape(length, count).max(0)
        self._bound = np.partition(maxima_C, count - self._k)[count - self._k]
