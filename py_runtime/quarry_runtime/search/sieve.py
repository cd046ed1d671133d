"""Sifts blocks of scores on a CPU: nearly all are compared with the k-th score once, and left."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from quarry_runtime.search.keys import keys_of
from quarry_runtime.search.lists import BestLists

# Scores looked at in one go: they and their mask stay in a core's cache.
_STRIP_SCORES = 256 * 1024
# Chunks whose maxima give a first bound of the k-th score; more than this gain little.
_MOST_CHUNK_ROWS = 64


class Sieve:
    """Takes blocks of scores [Q, N] into lists of the best.

    numpy's comparison and flatnonzero take 0.2 ns a score where torch.topk takes 1.6 to 7: after
    the first blocks hardly a score reaches the k-th one.
    """

    def __init__(self, lists: BestLists) -> None:
        self._lists = lists
        self._k, self._width = lists.k, lists.k + lists.room
        self._keys = lists.keys_QW.numpy().reshape(-1)
        self._rows = lists.rows_QW.numpy().reshape(-1)
        query_count = len(lists.keys_QW)
        self._starts_Q = np.arange(query_count) * self._width
        self._fill_Q = np.zeros(query_count, np.int64)
        self._bound_Q = np.full(query_count, -np.inf, np.float32)
        self._mask = np.empty(0, bool)

    def take(
        self, scores_QN: NDArray[np.float32], rows_N: NDArray[np.int32], ranks_N: NDArray[np.int32]
    ) -> None:
        """Takes a block in; the arrays are not kept."""
        if np.isneginf(self._bound_Q).any():
            self._raise_bound(scores_QN)
        strip = max(64, _STRIP_SCORES // max(1, len(scores_QN)))
        for start in range(0, scores_QN.shape[1], strip):
            part = slice(start, start + strip)
            self._take_strip(scores_QN[:, part], rows_N[part], ranks_N[part])

    def cut(self) -> None:
        """Leaves the best k of each list in its first k slots."""
        used = int(self._fill_Q.max(initial=0))
        np.maximum(self._bound_Q, self._lists.cut(used).numpy(), out=self._bound_Q)
        if used > self._k:
            self._fill_Q[:] = self._k

    def _take_strip(
        self, scores_QN: NDArray[np.float32], rows_N: NDArray[np.int32], ranks_N: NDArray[np.int32]
    ) -> None:
        found, counts_Q = self._reaching(scores_QN)
        if len(found) == 0:
            return
        if (self._fill_Q + counts_Q).max() > self._width:
            self.cut()
            self._raise_bound(scores_QN)
            found, counts_Q = self._reaching(scores_QN)
            if (self._fill_Q + counts_Q).max() > self._width:
                half = len(rows_N) // 2
                self._take_strip(scores_QN[:, :half], rows_N[:half], ranks_N[:half])
                self._take_strip(scores_QN[:, half:], rows_N[half:], ranks_N[half:])
                return
        queries = np.repeat(np.arange(len(scores_QN)), counts_Q)
        columns = found - queries * scores_QN.shape[1]
        # The n-th candidate of a query goes n slots behind the end of its list.
        first_Q = np.cumsum(counts_Q) - counts_Q
        slots = np.arange(len(found)) + (self._starts_Q + self._fill_Q - first_Q)[queries]
        self._keys[slots] = keys_of(scores_QN[queries, columns], ranks_N[columns])
        self._rows[slots] = rows_N[columns]
        self._fill_Q += counts_Q

    def _reaching(self, scores_QN: NDArray[np.float32]) -> tuple[NDArray, NDArray]:
        """Flat positions of the scores that reach their query's bound, and how many a query has."""
        if self._mask.size < scores_QN.size:
            self._mask = np.empty(scores_QN.size, bool)
        mask_QN = self._mask[: scores_QN.size].reshape(scores_QN.shape)
        np.greater_equal(scores_QN, self._bound_Q[:, None], out=mask_QN)
        found = np.flatnonzero(mask_QN)
        borders = np.arange(len(scores_QN) + 1) * scores_QN.shape[1]
        return found, np.diff(np.searchsorted(found, borders))

    def _raise_bound(self, scores_QN: NDArray[np.float32]) -> None:
        """k chunks have a maximum of at least the k-th largest maximum: a bound of the k-th score."""
        chunk = min(_MOST_CHUNK_ROWS, scores_QN.shape[1] // (2 * self._k))
        if chunk < 2:
            return
        chunks = scores_QN.shape[1] // chunk
        scores = torch.from_numpy(scores_QN[:, : chunk * chunks])
        maxima = scores.reshape(len(scores), chunk, chunks).amax(1)
        bound_Q = torch.topk(maxima, self._k, sorted=False).values.amin(1).numpy()
        np.maximum(self._bound_Q, bound_Q, out=self._bound_Q)
