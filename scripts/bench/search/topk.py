"""The update of the running top-k alone, given scores: Quarry against torch.topk, Trove's heap and a plain heap.

Usage: python topk.py [--device cuda] [--quick] [--json] [--queries 1 32] [--passages 100000] [--k 10]
Needs torch and what Quarry's workers need; Trove's heap takes part where its package is installed or
$TROVE_HEAP names its file. Scores are independent and normal; blocks lie in memory of their own, as
a product leaves them.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from figures import Check, Report, device_words, parser, set_up
from rivals import Blocks, NaiveHeap, quarry_topk, trove_heap, trove_topk
from timing import Rival, Rounds, alternate, scratch_bytes

CLOSE_TO_TORCH = 1.1
PAPER_LEAST = 16


def measure_cell(
    blocks_QB: list[torch.Tensor],
    blocks: Blocks,
    k: int,
    heap_type: type[Any] | None,
    options: argparse.Namespace,
    report: Report,
) -> int:
    """One cell of the grid; gives the bytes of Quarry's scratch memory."""
    rounds, naive = _race(blocks_QB, blocks, k, heap_type, options.budget)
    # The full matrix is gone by now: it does not count as scratch.
    scratch = scratch_bytes(lambda: quarry_topk(blocks_QB, blocks, k), blocks.device)
    queries, passages = blocks_QB[0].shape[0], blocks.count

    checks = [
        Check("× one torch.topk's time", rounds.ratio("quarry", "torch"), most=CLOSE_TO_TORCH)
    ]
    if heap_type is not None:
        faster = rounds.ratio("trove", "quarry")
        checks.append(Check("× as fast as Trove's heap", faster, least=1))
    sampled = "" if naive.factor == 1 else f" ({naive.sampled} queries, extrapolated)"
    faster = rounds.ratio("naive", "quarry") * naive.factor
    checks.append(Check(f"× as fast as a plain heapq{sampled}", faster, least=PAPER_LEAST))
    rate = queries * passages * 4 / rounds.seconds("quarry") / 1e9
    own = f"{rounds.seconds('quarry') * 1e3:.2f} ms, {rate:.1f} GB/s"
    report.checked("topk", f"update {passages:,} × {queries} × {k}", checks, own)
    seconds = {name: rounds.seconds(name) for name in rounds.names}
    seconds["naive"] *= naive.factor
    report.numbers(
        part="topk",
        queries=queries,
        passages=passages,
        k=k,
        block=blocks.size,
        seconds=seconds,
        rounds=rounds.count("quarry"),
        scratchBytes=scratch,
    )
    return scratch


def _race(
    blocks_QB: list[torch.Tensor],
    blocks: Blocks,
    k: int,
    heap_type: type[Any] | None,
    budget_s: float,
) -> tuple[Rounds, NaiveHeap]:
    scores_QN = torch.cat(blocks_QB, 1)
    names = [str(query) for query in range(len(scores_QN))]
    naive = NaiveHeap(scores_QN, k)
    rivals: dict[str, Rival] = {
        "quarry": lambda: quarry_topk(blocks_QB, blocks, k),
        "torch": lambda: torch.topk(scores_QN, k, dim=1),
        "naive": naive,
    }
    if heap_type is not None:
        rivals["trove"] = lambda: trove_topk(heap_type, blocks_QB, blocks, k, names)
    _check(scores_QN, blocks_QB, blocks, k)
    return alternate(rivals, blocks.device, budget_s), naive


def _check(scores_QN: torch.Tensor, blocks_QB: list[torch.Tensor], blocks: Blocks, k: int) -> None:
    """A fast wrong answer is worth nothing."""
    wanted = torch.topk(scores_QN, k, dim=1).values.cpu()
    found, rows = quarry_topk(blocks_QB, blocks, k)
    at_rows = scores_QN.gather(1, rows.long().to(scores_QN.device)).cpu()
    if not torch.equal(found, wanted) or not torch.equal(at_rows, wanted):
        raise RuntimeError("Quarry's running top-k and torch.topk differ")


def main() -> None:
    options, device = set_up(parser(__doc__ or ""))
    report = Report(options)
    heap_type = trove_heap()
    if heap_type is None:
        report.note("Trove is not installed here and $TROVE_HEAP is not set: its heap is left out")
    scratch: dict[tuple[int, int], dict[int, int]] = {}
    for passages in options.passages:
        blocks = Blocks(passages, options.block, device)
        for queries in options.queries:
            generator = torch.Generator(device).manual_seed(queries)
            blocks_QB = [
                torch.randn(queries, high - low, generator=generator, device=device)
                for low, high in blocks.spans
            ]
            for k in options.k:
                report.note(f"top-k of {passages:,} × {queries} × {k}, {options.device}")
                found = measure_cell(blocks_QB, blocks, k, heap_type, options, report)
                scratch.setdefault((queries, k), {})[passages] = found
            del blocks_QB
    report.bounded("topk", "scratch memory of the update beyond the scores", scratch)
    report.numbers(
        part="topk", device=device_words(device, options.threads), torch=torch.__version__
    )
    report.close()


main()
