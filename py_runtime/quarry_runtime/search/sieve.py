"""Sifts blocks of scores on a CPU: nearly all are compared with the k-th score once, and left."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from quarry_runtime.search.keys import keys_of
from quarry_runtime.search.lists import BestLists

# Scores whose mask is made in one go.
_STRIP_SCORES = 2 * 1024 * 1024
# Passages of a chunk; only chunks whose maximum reaches the bound are looked at score by score.
_CHUNK = 64
# That pays where fewer than one chunk in so many has such a maximum.
_RARE = 20
# Chunks whose maxima give a first bound of the k-th score; longer ones gain little.
_LONGEST_CHUNK = 64


class Sieve:
    """Takes blocks of scores [Q, N] into lists of the best.

    A look at a score costs 0.1 to 0.3 ns where torch.topk takes 1.6 to 6: after the first blocks
    hardly one reaches the k-th score.

    Shapes: Q queries, N passages, C chunks of passages, M found scores.
    """

    def __init__(self, lists: BestLists) -> None:
        self._lists = lists
        self._k, self._width = lists.k, lists.k + lists.room
        self._keys = lists.keys_QW.numpy().reshape(-1)
        self._rows = lists.rows_QW.numpy().reshape(-1)
        query_count = len(lists.keys_QW)
        self._numbers_Q = np.arange(query_count)
        self._fill_Q = np.zeros(query_count, np.int64)
        self._bound_Q = np.full(query_count, -np.inf, np.float32)
        self._has_bound = False
        self._seen = 0
        self._mask = np.empty(0, bool)

    def take(
        self, scores_QN: NDArray[np.float32], rows_N: NDArray[np.int32], ranks_N: NDArray[np.int32]
    ) -> None:
        """Takes a block in; the arrays are not kept."""
        count, seen = len(rows_N), self._seen
        if not self._has_bound:
            self._raise_bound(scores_QN)
            # The bound is then about as good as if the block had been seen before.
            seen = count if self._has_bound else 0
        # Scores in order of any kind reach the bound more often than these odds say: slower, as right.
        is_rare = _CHUNK * self._k * _RARE < seen and count >= _CHUNK
        whole = count // _CHUNK * _CHUNK if is_rare else 0
        if whole > 0:
            self._put(scores_QN[:, :whole], rows_N, ranks_N, is_rare=True)
        strip = max(_CHUNK, _STRIP_SCORES // max(1, len(scores_QN)))
        for start in range(whole, count, strip):
            part = slice(start, start + strip)
            self._put(scores_QN[:, part], rows_N[part], ranks_N[part], is_rare=False)
        self._seen += count

    def cut(self) -> None:
        """Leaves the best k of each list in its first k slots."""
        used = int(self._fill_Q.max(initial=0))
        np.maximum(self._bound_Q, self._lists.cut(used).numpy(), out=self._bound_Q)
        self._has_bound = not np.isneginf(self._bound_Q).any()
        if used > self._k:
            self._fill_Q[:] = self._k

    def ordered(self) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Scores and rows, [Q, K] each, best first; a copy."""
        self.cut()
        return self._lists.ordered()

    def _put(
        self,
        scores_QN: NDArray[np.float32],
        rows_N: NDArray[np.int32],
        ranks_N: NDArray[np.int32],
        *,
        is_rare: bool,
    ) -> None:
        reaching = self._reaching_rarely if is_rare else self._reaching
        queries_M, columns_M = reaching(scores_QN)
        if len(queries_M) == 0:
            return
        counts_Q = np.bincount(queries_M, minlength=len(scores_QN))
        if (self._fill_Q + counts_Q).max() > self._width:
            self.cut()
            self._raise_bound(scores_QN)
            queries_M, columns_M = self._reaching(scores_QN)
            counts_Q = np.bincount(queries_M, minlength=len(scores_QN))
        if (self._fill_Q + counts_Q).max() > self._width:
            half = scores_QN.shape[1] // 2
            for part in (slice(0, half), slice(half, scores_QN.shape[1])):
                self._put(scores_QN[:, part], rows_N[part], ranks_N[part], is_rare=False)
            return
        # The n-th candidate of a query goes n slots behind the end of its list.
        first_Q = np.cumsum(counts_Q) - counts_Q
        slots_M = np.repeat(self._numbers_Q * self._width + self._fill_Q - first_Q, counts_Q)
        slots_M += np.arange(len(slots_M))
        self._keys[slots_M] = keys_of(
            _picked(scores_QN, queries_M, columns_M), ranks_N.take(columns_M)
        )
        self._rows[slots_M] = rows_N.take(columns_M)
        self._fill_Q += counts_Q
        # Now rather than when the next one like it finds no room: it would have to be looked at twice.
        if (self._fill_Q + counts_Q).max() > self._width:
            self.cut()

    def _reaching(self, scores_QN: NDArray[np.float32]) -> tuple[NDArray, NDArray]:
        """Queries, ascending, and columns of the scores that reach their query's bound."""
        if self._mask.size < scores_QN.size:
            self._mask = np.empty(scores_QN.size, bool)
        mask_QN = self._mask[: scores_QN.size].reshape(scores_QN.shape)
        np.greater_equal(scores_QN, self._bound_Q[:, None], out=mask_QN)
        found_M = np.flatnonzero(mask_QN)
        queries_M = found_M // scores_QN.shape[1]
        return queries_M, found_M - queries_M * scores_QN.shape[1]

    def _reaching_rarely(self, scores_QN: NDArray[np.float32]) -> tuple[NDArray, NDArray]:
        """As _reaching, of whole chunks of which few reach the bound."""
        count = scores_QN.shape[1] // _CHUNK
        scores_QCN = scores_QN.reshape(len(scores_QN), count, _CHUNK)
        maxima_QC = torch.from_numpy(scores_QCN).amax(2).numpy()
        chunks = np.flatnonzero(maxima_QC >= self._bound_Q[:, None])
        queries = chunks // count
        chunks -= queries * count
        found_M = np.flatnonzero(scores_QCN[queries, chunks] >= self._bound_Q[queries, None])
        places_M = found_M // _CHUNK
        return queries[places_M], chunks[places_M] * _CHUNK + found_M % _CHUNK

    def _raise_bound(self, scores_QN: NDArray[np.float32]) -> None:
        """k chunks have a maximum of at least the k-th largest maximum: a bound of the k-th score."""
        length = min(_LONGEST_CHUNK, scores_QN.shape[1] // (2 * self._k))
        if length < 2:
            return
        count = scores_QN.shape[1] // length
        scores = torch.from_numpy(scores_QN[:, : length * count])
        maxima_QC = scores.view(len(scores), length, count).amax(1)
        place = count - self._k
        bound_Q = np.partition(maxima_QC.numpy(), place, axis=1)[:, place]
        np.maximum(self._bound_Q, bound_Q, out=self._bound_Q)
        self._has_bound = not np.isneginf(self._bound_Q).any()


def _picked(
    scores_QN: NDArray[np.float32], queries_M: NDArray, columns_M: NDArray
) -> NDArray[np.float32]:
    if not scores_QN.flags.c_contiguous:
        return scores_QN[queries_M, columns_M]
    # A third of the time.
    return scores_QN.reshape(-1).take(queries_M * scores_QN.shape[1] + columns_M)
