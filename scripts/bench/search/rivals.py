"""The ways to keep the k best of each query: Quarry's, one torch.topk, Trove's heap, a plain heap.

Shapes: Q queries, N passages, B passages of a block, K places, D dimensions.
"""

from __future__ import annotations

import heapq
import importlib.util
import logging
import os
import sys
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "py_runtime"))

from quarry_runtime.search.exact import ExactSearch  # noqa: E402
from quarry_runtime.search.topk import RunningTopK  # noqa: E402

# Scores that the plain heap is timed on; it is linear in the number of queries, which are all alike.
NAIVE_SCORES = 2_000_000


class Blocks:
    """Passages in blocks, with what each rival wants to know of a block: rows, ranks, ids."""

    def __init__(self, count: int, size: int, device: torch.device) -> None:
        self.count, self.size, self.device = count, size, device
        self.spans = [(low, min(low + size, count)) for low in range(0, count, size)]
        self.all_rows = np.arange(count, dtype=np.int32)
        self.all_ranks = np.random.default_rng(1).permutation(self.all_rows)
        rows, ranks = (
            torch.from_numpy(each).to(device) for each in (self.all_rows, self.all_ranks)
        )
        self.rows = [rows[low:high] for low, high in self.spans]
        self.ranks = [ranks[low:high] for low, high in self.spans]
        self.ids = [[str(row) for row in range(low, high)] for low, high in self.spans]


def trove_heap() -> type[Any] | None:
    """Trove's FastResultHeapq: of the installed package, or of the file that $TROVE_HEAP names; else None.

    The file is for machines where the package cannot be installed; it needs torch alone.
    """
    file = os.environ.get("TROVE_HEAP")
    if file:
        return _load_heap(Path(file))
    spec = importlib.util.find_spec("trove")
    if spec is None or spec.origin is None:
        return None
    # The class alone: the package's own imports take seconds and change torch's settings.
    return _load_heap(Path(spec.origin).parent / "containers" / "result_heapq_fast.py")


def _load_heap(file: Path) -> type[Any]:
    package, logs = types.ModuleType("trove_part"), types.ModuleType("trove_part.logging_utils")
    package.__path__ = []
    logs.get_logger_with_config = lambda name: (logging.getLogger(name), None)  # type: ignore[attr-defined]
    inner = types.ModuleType("trove_part.containers")
    inner.__path__ = []
    sys.modules.update(
        {package.__name__: package, logs.__name__: logs, inner.__name__: inner},
    )
    spec = importlib.util.spec_from_file_location("trove_part.containers.fast", file)
    if spec is None or spec.loader is None:
        raise RuntimeError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.FastResultHeapq


def quarry_topk(
    blocks_QB: list[torch.Tensor], blocks: Blocks, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Quarry's running top-k over blocks of scores; scores and rows [Q, K] in order."""
    best = RunningTopK(blocks_QB[0].shape[0], k, blocks.device)
    for scores_QB, rows_B, ranks_B in zip(blocks_QB, blocks.rows, blocks.ranks, strict=True):
        best.add_finite(scores_QB, rows_B, ranks_B)
    scores, rows = best.snapshot()
    return torch.from_numpy(scores), torch.from_numpy(rows)


def quarry_search(
    queries_QD: torch.Tensor, parts: list[torch.Tensor], blocks: Blocks, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Quarry's search over passages [B, D] in blocks; scores and rows [Q, K] in order."""
    search = ExactSearch(queries_QD, k)
    for part_BD, (low, high) in zip(parts, blocks.spans, strict=True):
        search.add(part_BD, blocks.all_rows[low:high], blocks.all_ranks[low:high])
    scores, rows = search.snapshot()
    return torch.from_numpy(scores), torch.from_numpy(rows)


def trove_topk(
    heap_type: type[Any],
    blocks_QB: Iterable[torch.Tensor],
    blocks: Blocks,
    k: int,
    queries: list[str],
) -> torch.Tensor:
    """Trove's heap over the same blocks; scores [Q, K]."""
    heap = heap_type(topk=k)
    for scores_QB, ids in zip(blocks_QB, blocks.ids, strict=True):
        heap(scores=scores_QB, qids=queries, docids=ids, is_first_query_batch=True)
    heap.update_topk_records()
    return heap.topk_docs_so_far["scores"][0]


class NaiveHeap:
    """heapq over every single score, of as many queries as make 2 million scores.

    `factor` says by what its seconds are multiplied to stand for all queries.
    """

    def __init__(self, scores_QN: torch.Tensor, k: int) -> None:
        queries, passages = scores_QN.shape
        self.sampled = max(1, min(queries, NAIVE_SCORES // passages))
        self.factor = queries / self.sampled
        self._scores_SN, self._k = scores_QN[: self.sampled], k

    def __call__(self) -> list[list[tuple[float, int]]]:
        found = []
        for line in self._scores_SN:
            heap: list[tuple[float, int]] = []
            for row, score in enumerate(line.tolist()):
                if len(heap) < self._k:
                    heapq.heappush(heap, (score, row))
                else:
                    heapq.heappushpop(heap, (score, row))
            found.append(sorted(heap, reverse=True))
        return found
