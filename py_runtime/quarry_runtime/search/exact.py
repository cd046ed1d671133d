"""Exact search: passages in, scores by a similarity, the best of each query out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from quarry_runtime.errors import ConfigError
from quarry_runtime.search.finite import are_finite, refuse
from quarry_runtime.search.products import PANEL, dot_into, dots_of_one, new_dots
from quarry_runtime.search.single import Single
from quarry_runtime.search.topk import Numbers, RunningTopK
from quarry_runtime.search.tracked import Places, TrackedPairs

#: Scores [Q, N] of queries [Q, D] and passages [N, D], all float32.
Similarity = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

# Queries that are scored and sifted together: on a CPU more would push each other out of the cache, on a
# GPU fewer are many calls.
_QUERIES = {"cpu": 1_024, "cuda": 16_384}
# Scores of a strip on a CPU: few enough to stay in the last cache until they are sifted, so many that the
# calls which sift them are a small part.
_STRIP_SCORES = 2 * 1024 * 1024
# Memory for scores. On a GPU one wide product is best.
_SCORE_BYTES = {"cpu": 64 * 1024 * 1024, "cuda": 256 * 1024 * 1024}
# Up to so many queries the scores of a unit are cheaper to check than its vectors.
_FEW_QUERIES = 64
# Products of numbers below this sum up to something finite.
_SAFE = 1e37


class ExactSearch:
    """Scores each unit of passages against every query, and keeps the best k.

    Scores depend on the unit alone, and the result on the scores alone: neither the order of units,
    nor what came before, nor the number of workers shows in them.

    Memory, whatever the number of passages: the queries, what RunningTopK takes, and scores of at
    most 64 MiB (256 MiB on a GPU).

    Shapes: Q queries, D dimensions, N passages of a unit, K places.

    Example:
        search = ExactSearch(queries_QD, k=100)
        search.add(passages_ND, rows_N, ranks_N)
        scores_QK, rows_QK = search.snapshot()
    """

    def __init__(
        self,
        queries_QD: torch.Tensor,
        k: int,
        similarity: Similarity | None = None,
        tracked: TrackedPairs | None = None,
    ) -> None:
        """
        Args:
            queries_QD: float32, finite, on the device that scores.
            k: Places.
            similarity: None is the dot product. Scores of a pair must depend on the pair alone.
            tracked: Pairs whose scores are filled in on the way.
        """
        self._queries_QD = queries_QD.contiguous()
        self._k = k
        self._similarity = similarity
        self._tracked = tracked
        device = queries_QD.device
        # One query on a CPU: a unit of 12 MB takes 0.5 ms, and each call out of a cold cache some microseconds.
        is_alone = len(queries_QD) == 1 and device.type == "cpu" and similarity is None
        self._alone = (self._queries_QD[0].numpy(), Single(k)) if is_alone else None
        size = _QUERIES[device.type]
        starts = range(0, 0 if is_alone else len(queries_QD), size)
        self._blocks = [
            (first, RunningTopK(min(size, len(queries_QD) - first), k, device, len(starts)))
            for first in starts
        ]
        self._score_count = _SCORE_BYTES[device.type] // 4
        self._scratch = torch.empty(0, device=device)

    def add(
        self, passages_ND: torch.Tensor, rows_N: NDArray[np.int32], ranks_N: NDArray[np.int32]
    ) -> None:
        """Scores a unit and takes it in.

        Args:
            passages_ND: On the queries' device, of any floating dtype; scores are float32.
            rows_N: Row numbers.
            ranks_N: Id ranks, each different.

        Raises:
            DataError: NaN or infinity in vectors or scores, the rows named; nothing of the unit is
                taken in.
        """
        query_count, count = len(self._queries_QD), len(passages_ND)
        if query_count == 0 or count == 0:
            return
        if self._alone is not None:
            self._add_alone(*self._alone, passages_ND, rows_N, ranks_N)
            return
        rows, ranks = rows_N, ranks_N
        if passages_ND.device.type != "cpu":
            rows, ranks = (torch.tensor(each, device=passages_ND.device) for each in (rows, ranks))
        places = None if self._tracked is None else self._tracked.find(rows_N)
        is_small = query_count * count <= self._score_count
        is_cheap = query_count <= _FEW_QUERIES or passages_ND.device.type != "cpu"
        if is_small and (is_cheap or self._similarity is not None):
            scores_QN = self._scores(self._queries_QD, passages_ND)
            # A user's similarity may make a number of what is none.
            is_fine = are_finite(scores_QN) and (
                self._similarity is None or are_finite(passages_ND)
            )
            if not is_fine:
                if not are_finite(passages_ND):
                    refuse(passages_ND.T, rows, "vectors")
                refuse(scores_QN, rows)
            for first, best in self._blocks:
                block = scores_QN[first : first + best.query_count]
                self._take(best, first, 0, block, rows, ranks, places)
            return
        self._check(passages_ND, rows)
        for first, best, start, scores_QS in self._strips(passages_ND):
            strip = slice(start, start + scores_QS.shape[1])
            self._take(best, first, start, scores_QS, rows[strip], ranks[strip], places)

    def _add_alone(
        self,
        query_D: NDArray[np.float32],
        best: Single,
        passages_ND: torch.Tensor,
        rows_N: NDArray[np.int32],
        ranks_N: NDArray[np.int32],
    ) -> None:
        scores_N = dots_of_one(query_D, passages_ND)
        # A finite overflow of the squares is sorted out by the second look.
        with np.errstate(over="ignore"):
            squares = scores_N.dot(scores_N)
        if not math.isfinite(squares) and not np.isfinite(scores_N).all():
            if not are_finite(passages_ND):
                refuse(passages_ND.T, rows_N, "vectors")
            refuse(torch.from_numpy(scores_N)[None], rows_N)
        best.take(scores_N, rows_N, ranks_N)
        if self._tracked is not None:
            self._tracked.take(self._tracked.find(rows_N), torch.from_numpy(scores_N)[None])

    @cached_property
    def _largest_query(self) -> float:
        return float(self._queries_QD.abs().max()) if self._queries_QD.numel() else 0.0

    def snapshot(self) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Scores and rows, [Q, K] each, in final order; padded with -inf and -1."""
        if self._alone is not None:
            return self._alone[1].ordered()
        if not self._blocks:
            return np.empty((0, self._k), np.float32), np.empty((0, self._k), np.int32)
        parts = [best.snapshot() for _, best in self._blocks]
        scores, rows = zip(*parts, strict=True)
        return np.concatenate(scores), np.concatenate(rows)

    def _take(
        self,
        best: RunningTopK,
        first: int,
        start: int,
        scores_QN: torch.Tensor,
        rows_N: Numbers,
        ranks_N: Numbers,
        places: Places | None,
    ) -> None:
        best.add_finite(scores_QN, rows_N, ranks_N)
        if self._tracked is not None and places is not None:
            end = start + scores_QN.shape[1]
            here = places.within(first, first + best.query_count, start, end)
            self._tracked.take(here, scores_QN)

    def _strips(
        self, passages_ND: torch.Tensor
    ) -> Iterator[tuple[int, RunningTopK, int, torch.Tensor]]:
        """(first query, top-k, first column, scores) of one strip after the other: all of a block's
        before the next one's, so that no two blocks wait for their first columns at once.
        """
        block = min(_QUERIES[passages_ND.device.type], len(self._queries_QD))
        # By the number of queries alone: products of other widths may differ in their last bits.
        if passages_ND.device.type == "cpu":
            size = max(PANEL, _STRIP_SCORES // block // PANEL * PANEL)
        else:
            size = self._score_count // block
        for first, best in self._blocks:
            queries_BD = self._queries_QD[first : first + best.query_count]
            for start in range(0, len(passages_ND), size):
                yield (
                    first,
                    best,
                    start,
                    self._scores(queries_BD, passages_ND[start : start + size]),
                )

    def _scores(self, queries_QD: torch.Tensor, passages_ND: torch.Tensor) -> torch.Tensor:
        """Scores [Q, N], in memory that the next call writes over."""
        shape = len(queries_QD), len(passages_ND)
        if self._similarity is not None:
            scores_QN = self._similarity(queries_QD, passages_ND.float())
            if scores_QN.shape != shape:
                raise ConfigError(
                    f"The similarity gives scores {list(scores_QN.shape)} for"
                    f" {shape[0]} queries and {shape[1]} passages.",
                    hint="It must return one score for each pair: [queries, passages].",
                )
            return scores_QN.float()
        new_QN = new_dots(queries_QD, passages_ND)
        if new_QN is not None:
            return new_QN
        if self._scratch.numel() < shape[0] * shape[1]:
            self._scratch = torch.empty(shape[0] * shape[1], device=queries_QD.device)
        scores_QN = self._scratch[: shape[0] * shape[1]].view(shape)
        dot_into(scores_QN, queries_QD, passages_ND)
        return scores_QN

    def _check(self, passages_ND: torch.Tensor, rows_N: Numbers) -> None:
        """Refuses a unit before any of it is taken in."""
        least, most = torch.aminmax(passages_ND)
        largest = max(abs(least.item()), abs(most.item()))
        if not math.isfinite(largest):
            refuse(passages_ND.T, rows_N, "vectors")
        size = passages_ND.shape[1]
        if self._similarity is None and self._largest_query * largest * size < _SAFE:
            return
        for _, _, start, scores_QS in self._strips(passages_ND):
            if not are_finite(scores_QS):
                refuse(scores_QS, rows_N[start : start + scores_QS.shape[1]])
