"""When building a FAISS index pays: seconds to build and to search, and what the results lose, by corpus size.

Usage: python crossover.py [--quick] [--json] [--passages 10000 100000] [--queries 1 32 1024] [--hnsw-most 100000]
Vectors are MiniLM's of real collections, multiplied by noisy mixtures (vectors.py). Exact is Quarry's
own search. Each index gets the cheapest setting that finds 95 % of the exact best 100.
"""

from __future__ import annotations

import math
import time
from statistics import median
from typing import Any

import faiss  # pyright: ignore[reportMissingImports]
import numpy as np
import torch
from crossover_model import list_count
from figures import Figure, Report, parser, set_up
from numpy.typing import NDArray
from rivals import Blocks, quarry_search
from vectors import RealVectors, more_passages, more_queries, real_vectors

K = 100
WANTED_RECALL = 0.95
PROBES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
EFFORTS = (100, 150, 200, 300, 400, 600, 800)
HNSW_LINKS, HNSW_EFFORT = 32, 80
# Queries on which settings are tried out.
TRIED = 256


def build(kind: str, passages_ND: NDArray[np.float32]) -> tuple[Any, float]:
    """An index over the passages, and the seconds it took."""
    count, dimension = passages_ND.shape
    begin = time.perf_counter()
    if kind == "flat":
        index = faiss.IndexFlatIP(dimension)
    elif kind == "ivf":
        quantizer = faiss.IndexFlatIP(dimension)
        metric = faiss.METRIC_INNER_PRODUCT
        index = faiss.IndexIVFFlat(quantizer, dimension, list_count(count), metric)
        index.train(passages_ND)
    else:
        index = faiss.IndexHNSWFlat(dimension, HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = HNSW_EFFORT
    index.add(passages_ND)
    return index, time.perf_counter() - begin


def tune(kind: str, index: Any, queries_QD: NDArray[np.float32], exact_QK: NDArray) -> str:
    """Sets the least effort that reaches the wanted recall, or the most there is; says which."""
    if kind == "flat":
        return ""
    options = PROBES if kind == "ivf" else EFFORTS
    for effort in options:
        if kind == "ivf":
            index.nprobe = min(effort, index.nlist)
        else:
            index.hnsw.efSearch = effort
        if recall(index.search(queries_QD, K)[1], exact_QK) >= WANTED_RECALL:
            break
    return f"nlist {index.nlist}, nprobe {index.nprobe}" if kind == "ivf" else f"efSearch {effort}"


def recall(rows_QK: NDArray, exact_QK: NDArray) -> float:
    """The share of the exact best K that was found."""
    found = [len(np.intersect1d(a, b)) for a, b in zip(rows_QK, exact_QK, strict=True)]
    return float(np.mean(found)) / exact_QK.shape[1]


def ndcg(rows_QK: NDArray, real: RealVectors) -> float:
    """nDCG@10 over the judged queries, with the collections' own judgements."""
    scored = []
    for query, relevant in real.qrels.items():
        gains = [relevant.get(int(row), 0) for row in rows_QK[query][:10]]
        best = sorted(relevant.values(), reverse=True)[:10]
        ideal = sum(gain / math.log2(at + 2) for at, gain in enumerate(best))
        scored.append(sum(gain / math.log2(at + 2) for at, gain in enumerate(gains)) / ideal)
    return float(np.mean(scored))


def exact_search(
    queries_QD: NDArray[np.float32], passages_ND: torch.Tensor, blocks: Blocks
) -> NDArray:
    """Rows [Q, K] by Quarry's own search."""
    parts = [passages_ND[low:high] for low, high in blocks.spans]
    return quarry_search(torch.from_numpy(queries_QD), parts, blocks, K)[1].numpy()


def seconds_of(action: Any, budget_s: float) -> float:
    """The median of three calls and more, until the budget is spent; the first one does not count."""
    action()
    taken: list[float] = []
    begin = time.perf_counter()
    while len(taken) < 3 or (len(taken) < 15 and time.perf_counter() - begin < budget_s):
        start = time.perf_counter()
        action()
        taken.append(time.perf_counter() - start)
    return median(taken)


def main() -> None:
    made = parser(__doc__ or "")
    made.set_defaults(passages=[10_000, 30_000, 100_000, 300_000], queries=[1, 32, 1_024])
    made.add_argument("--hnsw-most", type=int, default=100_000, help="largest corpus for HNSW")
    options, _ = set_up(made)
    if options.quick:
        options.passages = [5_000, 10_000, 20_000]
    faiss.omp_set_num_threads(options.threads)
    report = Report(options)
    report.note("vectors of the real collections")
    real = real_vectors(options.threads, 500 if options.quick else None)
    # As many as are searched at once, and all judged ones.
    queries_QD = more_queries(real, max(*options.queries, len(real.queries_QD)))
    for count in options.passages:
        passages_ND = more_passages(real, count)
        # Memory of torch's own is aligned as that of an encoder's vectors is.
        own_ND = torch.from_numpy(passages_ND).clone()
        blocks = Blocks(count, options.block, own_ND.device)
        exact_QK = exact_search(queries_QD, own_ND, blocks)
        exact = {
            number: seconds_of(
                lambda part=queries_QD[:number], of=own_ND, by=blocks: exact_search(part, of, by),
                options.budget,
            )
            for number in options.queries
        }
        for kind in ("flat", "ivf", "hnsw"):
            if kind == "hnsw" and count > options.hnsw_most:
                continue
            report.note(f"{kind} of {count:,}")
            index, built = build(kind, passages_ND)
            setting = tune(kind, index, queries_QD[:TRIED], exact_QK[:TRIED])
            searched = {
                number: seconds_of(
                    lambda part=queries_QD[:number], of=index: of.search(part, K), options.budget
                )
                for number in options.queries
            }
            rows_QK = index.search(queries_QD, K)[1]
            found = recall(rows_QK, exact_QK)
            loss = ndcg(rows_QK, real) - ndcg(exact_QK, real)
            most = max(options.queries)
            saved = (exact[most] - searched[most]) / most
            pays = f"{built / saved:,.0f}" if saved > 0 else "never"
            report.tell(
                Figure(
                    "crossover",
                    f"{kind} of {count:,}{', ' if setting else ''}{setting}",
                    f"built in {built:.2f} s, {most} queries in {searched[most]:.3f} s (exact {exact[most]:.3f} s),"
                    f" R@{K} {found:.3f}, nDCG@10 {loss:+.4f}; pays from {pays} queries on",
                )
            )
            report.numbers(
                part="crossover",
                kind=kind,
                passages=count,
                setting=setting,
                buildSeconds=built,
                searchSeconds=searched,
                exactSeconds=exact,
                recall=found,
                ndcgLoss=loss,
                judgedQueries=len(real.qrels),
            )
    report.close()


main()
