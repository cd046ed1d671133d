"""Scoring and top-k together: Quarry against torch, faiss.knn and Trove's heap, and what the machine allows.

Usage: python score.py [--device cuda] [--quick] [--json] [--queries 1 32] [--passages 100000] [--k 10]
Vectors are random, of length 1 and in memory already. The product alone fills one buffer block by
block: nobody can be faster who scores every pair in float32. For one query reading the passages is
the limit. faiss.knn takes part on a CPU where faiss is installed.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from figures import Check, Report, device_words, parser, set_up
from rivals import Blocks, quarry_search, trove_heap, trove_topk
from timing import Rival, Rounds, alternate, scratch_bytes

CLOSE_TO_BEST = 1.1
DIMENSION = 384


def faiss_for(device: torch.device, threads: int) -> Any:
    """The faiss module, or None where it is missing or would not use this device."""
    if device.type != "cpu":
        return None
    try:
        import faiss  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    faiss.omp_set_num_threads(threads)
    return faiss


def make_rivals(
    queries_QD: torch.Tensor, passages_ND: torch.Tensor, blocks: Blocks, k: int, faiss: Any
) -> dict[str, Rival]:
    """Each does the whole work once when it is called."""
    parts = [passages_ND[low:high] for low, high in blocks.spans]
    buffer_QB = torch.empty(len(queries_QD), blocks.size, device=blocks.device)

    def product() -> None:
        for part_BD in parts:
            torch.mm(queries_QD, part_BD.T, out=buffer_QB[:, : len(part_BD)])

    rivals: dict[str, Rival] = {
        "quarry": lambda: quarry_search(queries_QD, parts, blocks, k),
        "torch": lambda: torch.topk(queries_QD @ passages_ND.T, k, dim=1),
        "product": product,
        "read": lambda: [part_BD.sum() for part_BD in parts],
    }
    if faiss is not None:
        plain, rows = queries_QD.numpy(), passages_ND.numpy()
        rivals["faiss"] = lambda: faiss.knn(plain, rows, k, metric=faiss.METRIC_INNER_PRODUCT)
    heap_type = trove_heap()
    if heap_type is not None:
        names = [str(query) for query in range(len(queries_QD))]
        rivals["trove"] = lambda: trove_topk(
            heap_type, (queries_QD @ part_BD.T for part_BD in parts), blocks, k, names
        )
    return rivals


def measure_cell(
    queries_QD: torch.Tensor,
    passages_ND: torch.Tensor,
    blocks: Blocks,
    k: int,
    options: argparse.Namespace,
    report: Report,
) -> int:
    """One cell of the grid; gives the bytes of Quarry's scratch memory."""
    rivals = make_rivals(
        queries_QD, passages_ND, blocks, k, faiss_for(blocks.device, options.threads)
    )
    _check(queries_QD, passages_ND, blocks, k)
    rounds = alternate(rivals, blocks.device, options.budget)
    scratch = scratch_bytes(rivals["quarry"], blocks.device)
    queries, passages = len(queries_QD), len(passages_ND)
    opponents = [name for name in ("torch", "faiss") if name in rivals]
    best = min(opponents, key=rounds.seconds)
    checks = [
        Check(
            f"× {'faiss.knn' if name == 'faiss' else name}'s time",
            rounds.ratio("quarry", name),
            most=CLOSE_TO_BEST if name == best else None,
        )
        for name in opponents
    ]
    if "trove" in rivals:
        faster = rounds.ratio("trove", "quarry")
        checks.append(Check("× as fast as Trove's heap", faster, least=1))
    own = f"{rounds.seconds('quarry') * 1e3:.1f} ms, {_limit(rounds, queries, passages)}"
    report.checked("score", f"search {passages:,} × {queries} × {k}", checks, own)
    report.numbers(
        part="score",
        queries=queries,
        passages=passages,
        k=k,
        dimension=DIMENSION,
        block=blocks.size,
        seconds={name: rounds.seconds(name) for name in rivals},
        rounds=rounds.count("quarry"),
        scratchBytes=scratch,
    )
    return scratch


def _limit(rounds: Rounds, queries: int, passages: int) -> str:
    took, product = rounds.seconds("quarry"), rounds.seconds("product")
    if queries == 1:
        size = passages * DIMENSION * 4 / 1e9
        read = rounds.seconds("read")
        return f"{size / took:.1f} GB/s; reading alone {size / read:.1f}, product alone {size / product:.1f}"
    work = 2 * queries * passages * DIMENSION / 1e9
    times = rounds.ratio("quarry", "product")
    return f"{work / took:.0f} GFLOP/s; product alone {work / product:.0f} ({times:.2f} × its time)"


def _check(queries_QD: torch.Tensor, passages_ND: torch.Tensor, blocks: Blocks, k: int) -> None:
    """A fast wrong answer is worth nothing; products of other shapes differ in their last bits."""
    parts = [passages_ND[low:high] for low, high in blocks.spans]
    found, rows = quarry_search(queries_QD, parts, blocks, k)
    best = torch.topk(queries_QD @ passages_ND.T, k, dim=1).values.cpu()
    chosen_QKD = passages_ND[rows[:4].long().to(passages_ND.device)]
    exact = torch.einsum("qd,qkd->qk", queries_QD[:4], chosen_QKD).cpu()
    if not torch.allclose(found, best, atol=1e-5) or not torch.allclose(
        found[:4], exact, atol=1e-5
    ):
        raise RuntimeError("Quarry's search and torch differ")


def main() -> None:
    options, device = set_up(parser(__doc__ or ""))
    report = Report(options)
    scratch: dict[tuple[int, int], dict[int, int]] = {}
    for passages in options.passages:
        blocks = Blocks(passages, options.block, device)
        generator = torch.Generator(device).manual_seed(passages)
        passages_ND = torch.empty(passages, DIMENSION, device=device)
        for low, high in blocks.spans:
            part_BD = torch.randn(high - low, DIMENSION, generator=generator, device=device)
            passages_ND[low:high] = torch.nn.functional.normalize(part_BD, dim=1)
        for queries in options.queries:
            queries_QD = torch.nn.functional.normalize(
                torch.randn(queries, DIMENSION, generator=generator, device=device), dim=1
            )
            for k in options.k:
                report.note(f"search of {passages:,} × {queries} × {k}, {options.device}")
                found = measure_cell(queries_QD, passages_ND, blocks, k, options, report)
                scratch.setdefault((queries, k), {})[passages] = found
    report.bounded("score", "scratch memory of a search", scratch)
    report.numbers(
        part="score", device=device_words(device, options.threads), torch=torch.__version__
    )
    report.close()


main()
