"""Keeps the best of one query on a CPU, where a block's scores cost less than the calls that look at them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Found scores wait for a cut, which takes as long as looking at five blocks: for this many, or k.
_ROOM = 1_024
# Passages of a chunk whose maximum gives the first bound; see Sieve.
_LONGEST_CHUNK = 64


class Single:
    """Takes blocks of scores [N] into the list of one query's best.

    A block costs one comparison with the k-th score so far and one look for what reaches it; what
    was found is copied out and waits. Nothing is kept of a block otherwise, so blocks need not be
    gathered, which took longer than all the rest. 100,000 scores take 0.4 ms, most of it calls whose
    code no cache holds: each one left out shows. So there are no keys here: what ties with the k-th
    score stays in the list, and id ranks are compared once, at the end.

    Shapes: N passages, M found scores, K places.
    """

    def __init__(self, k: int) -> None:
        self._k = k
        self._most = k + max(_ROOM, k)
        self._bound = -np.inf
        #: Scores, rows and id ranks that reached the bound of their time.
        self._found: list[tuple[NDArray, NDArray, NDArray]] = []
        self._count = 0

    def take(
        self, scores_N: NDArray[np.float32], rows_N: NDArray[np.int32], ranks_N: NDArray[np.int32]
    ) -> None:
        """Takes a block in; the arrays are not kept."""
        if self._count == 0:
            self._raise_bound(scores_N)
        columns_M = (scores_N >= self._bound).nonzero()[0]
        count = len(columns_M)
        if count == 0:
            return
        self._found.append((scores_N[columns_M], rows_N[columns_M], ranks_N[columns_M]))
        self._count += count
        if self._count > self._most:
            self._cut()

    def ordered(self) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Scores and rows, [1, K] each, best first."""
        scores_1K = np.full((1, self._k), -np.inf, np.float32)
        rows_1K = np.full((1, self._k), -1, np.int32)
        if self._count > 0:
            scores_M, rows_M, ranks_M = self._cut()
            order_F = np.lexsort((ranks_M, scores_M))[: -self._k - 1 : -1]
            # -0.0 counts as 0.0.
            scores_1K[0, : len(order_F)] = scores_M[order_F] + np.float32(0)
            rows_1K[0, : len(order_F)] = rows_M[order_F]
        return scores_1K, rows_1K

    def _cut(self) -> tuple[NDArray, NDArray, NDArray]:
        """Leaves the best k and what ties with the last of them, in no order."""
        scores_M, rows_M, ranks_M = map(np.concatenate, zip(*self._found, strict=True))
        if len(scores_M) > self._k:
            place = len(scores_M) - self._k
            self._bound = np.partition(scores_M, place)[place]
            kept = (scores_M >= self._bound).nonzero()[0]
            if len(kept) > self._most // 2:
                # So many ties that they would fill the list: the ranks decide now.
                kept = np.lexsort((ranks_M, scores_M))[-self._k :]
            scores_M, rows_M, ranks_M = scores_M[kept], rows_M[kept], ranks_M[kept]
        self._found = [(scores_M, rows_M, ranks_M)]
        self._count = len(scores_M)
        return scores_M, rows_M, ranks_M

    def _raise_bound(self, scores_N: NDArray[np.float32]) -> None:
        """k chunks have a maximum of at least the k-th largest maximum: a bound of the k-th score."""
        length = min(_LONGEST_CHUNK, len(scores_N) // (2 * self._k))
        if length < 2:
            return
        count = len(scores_N) // length
        maxima_C = scores_N[: length * count].reshape(length, count).max(0)
        self._bound = np.partition(maxima_C, count - self._k)[count - self._k]
