"""Writes docs/crossover.md and its drawing from the crossover part's record.

Usage: python crossover_page.py --record .quarry/bench/search.json --out docs
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from crossover_model import Costs, fit, hnsw_build_work, ivf_build_work, paying_range
from crossover_plot import Curve, draw

NAMES = {"ivf": "IVF", "hnsw": "HNSW"}
# A constant number of lists among 4 √N of them holds as many passages as √N does.
LEAST_POWER = {"ivf": 0.5, "hnsw": 0.1}
# Numbers of queries that people evaluate and mine with.
LEVELS = (
    (300, "300 queries (SciFact's test set)"),
    (6_980, "6,980 queries (MS MARCO's dev set)"),
    (502_939, "502,939 queries (mining for MS MARCO's training set)"),
)
PREDICTED = (100_000, 1_000_000, 8_841_823, 100_000_000)

Cell = dict[str, Any]


def costs_of(cells: list[Cell], kind: str) -> Costs | None:
    """The laws of a kind of index, from its cells; None with fewer than two sizes."""
    own = [cell for cell in cells if cell["kind"] == kind]
    if len(own) < 2:
        return None
    sizes = [cell["passages"] for cell in own]

    def query(cell: Cell, of: str) -> float:
        most = max(cell[of], key=int)
        return cell[of][most] / int(most)

    # Exact search is the same for every kind: all sizes there are, and linear by nature.
    exact = {cell["passages"]: query(cell, "exactSeconds") for cell in cells}
    shape = ivf_build_work if kind == "ivf" else hnsw_build_work
    return Costs(
        build=fit(sizes, [cell["buildSeconds"] for cell in own], shape),
        query=fit(
            sizes,
            [query(cell, "searchSeconds") for cell in own],
            power=None,
            least_power=LEAST_POWER[kind],
        ),
        exact_query=fit(list(exact), list(exact.values())),
    )


def measured_table(cells: list[Cell]) -> list[str]:
    out = [
        "| passages | index | built in | queries at once | exact, s | index, s | R@100 | nDCG@10 | pays from |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for cell in cells:
        for number, took in cell["searchSeconds"].items():
            exact = cell["exactSeconds"][number]
            saved = (exact - took) / int(number)
            pays = f"{cell['buildSeconds'] / saved:,.0f} queries" if saved > 0 else "never"
            setting = f" ({cell['setting']})" if cell["setting"] else ""
            out.append(
                f"| {cell['passages']:,} | {cell['kind']}{setting} | {cell['buildSeconds']:.2f} s"
                f" | {int(number):,} | {exact:.4f} | {took:.4f} | {cell['recall']:.3f}"
                f" | {cell['ndcgLoss']:+.4f} | {pays} |"
            )
    return out


def predicted_table(costs: dict[str, Costs]) -> list[str]:
    asked = [level for level, _ in LEVELS]
    times = " | ".join(f"{level:,} queries" for level in asked)
    out = [
        f"| passages | index | build | exact, a query | index, a query | pays from | {times} |",
        "| ---: | --- | ---: | ---: | ---: | ---: |" + " ---: |" * len(asked),
    ]
    for passages in PREDICTED:
        for kind, cost in costs.items():
            even = cost.break_even(passages)
            runs = " | ".join(_runs(cost.evaluations(passages, level)) for level in asked)
            pays = f"{even:,.0f} queries" if math.isfinite(even) else "never"
            out.append(
                f"| {passages:,} | {NAMES[kind]} | {_seconds(cost.build(passages))}"
                f" | {cost.exact_query(passages) * 1e3:.2f} ms | {cost.query(passages) * 1e3:.2f} ms"
                f" | {pays} | {runs} |"
            )
    return out


def _runs(evaluations: float) -> str:
    if not math.isfinite(evaluations):
        return "never"
    return "the first time" if evaluations <= 1 else f"after {math.ceil(evaluations):,} times"


def _seconds(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"


def range_words(costs: dict[str, Costs], most: float) -> list[str]:
    """One line for each number of queries: where an index pays for one evaluation."""
    out = []
    for level, name in LEVELS:
        told = []
        for kind, cost in costs.items():
            found = paying_range(cost, level, largest=most)
            if found is None:
                told.append(f"{NAMES[kind]} at no size up to {most:,.0f}")
            else:
                told.append(f"{NAMES[kind]} from {found[0]:,.0f} to {found[1]:,.0f} passages")
        out.append(f"- {name}: {'; '.join(told)}.")
    return out


def page(record: Cell) -> tuple[str, str]:
    """The page and the drawing."""
    cells = [numbers for numbers in record["numbers"] if numbers.get("part") == "crossover"]
    costs = {kind: cost for kind in NAMES if (cost := costs_of(cells, kind)) is not None}
    sizes = [10 ** (4 + at / 8) for at in range(33)]
    curves = []
    for kind, cost in costs.items():
        own = [cell for cell in cells if cell["kind"] == kind]
        dots = []
        for cell in own:
            most = max(cell["searchSeconds"], key=int)
            saved = (cell["exactSeconds"][most] - cell["searchSeconds"][most]) / int(most)
            if saved > 0:
                dots.append((cell["passages"], cell["buildSeconds"] / saved))
        curves.append(Curve(NAMES[kind], [(size, cost.break_even(size)) for size in sizes], dots))
    drawing = draw(curves, LEVELS, "When building an index pays for one evaluation")
    laws = [
        f"- {NAMES[kind]}: build {cost.build.constant:.3g} s × work (off by at most {cost.build.misfit:.2f} ×),"
        f" search {cost.query.constant:.3g} s × passages^{cost.query.power:.2f} a query ({cost.query.misfit:.2f} ×);"
        f" exact {cost.exact_query.constant:.3g} s × passages ({cost.exact_query.misfit:.2f} ×)."
        for kind, cost in costs.items()
    ]
    judged = cells[0]["judgedQueries"] if cells else 0
    load = record["load"]
    noise = (
        f" Other work ran beside it (load {load:.1f} at the start): an order only."
        if load > 0.7
        else ""
    )
    small = " Small sizes (`--quick`)." if record["quick"] else ""
    return TEMPLATE.format(
        machine=record["machine"],
        threads=record["threads"],
        noise=noise + small,
        judged=judged,
        ranges="\n".join(range_words(costs, 1e8)),
        predicted="\n".join(predicted_table(costs)),
        measured="\n".join(measured_table(cells)),
        laws="\n".join(laws),
    ), drawing


TEMPLATE = """# When does an index pay?

An approximate index answers a query faster than exact search, and must be built first. For one evaluation that is
worth it only from some number of queries on. `npm run bench:search -- --only crossover --write` measures it and writes
this page.

![Break-even: queries over corpus size](crossover.svg)

Dots are measured, dashed lines are the model below. An index pays above its line: with more queries than that, building
and searching it takes less time than searching exactly. It pays for one evaluation

{ranges}

What was built can be used again for the same vectors only: another checkpoint needs another index. Mining with the
same checkpoint, or several query sets over one corpus, are such uses. The last columns say after how many evaluations
of that many queries the index has paid for itself.

## For larger corpora, by the model

{predicted}

The memory of a machine ends before the table does: vectors in float32 take 1.5 KB a passage at 384 dimensions, and HNSW
0.3 KB more. Encoding costs far more than either: [some 8 ms a passage](benchmarks.md) on two cores.

## Measured

{machine}, {threads} threads, 384 dimensions, best 100 passages.{noise}

Vectors: all-MiniLM-L6-v2 over NFCorpus and SciFact, texts cut to 55 words; corpora larger than those are filled with
mixtures (a real vector moved by a third of the difference of two others), so recall on them says less than on a real
corpus of that size. nDCG@10 is the difference to exact search over the {judged} judged queries of both. IVF has
4 √passages lists, HNSW 32 links and an effort of 80 while it is built. Each index searches with the least effort that
finds 95 % of the exact best 100, found by trial, which is not counted as building.

{measured}

A flat index of FAISS is exact search itself: its building is a copy.

## The model

Building IVF computes (10 × min(N, 256 L) + N) × L distances with L = 4 √N lists: rounds of k-means over a sample, then
each passage to its list. Building HNSW is taken as N × ln N. Searching is a power of N, exact search linear. Constants
are fitted to the measured points in the logarithm:

{laws}

The break-even is building time divided by what one query saves. A small corpus may be searched exactly as fast as
through an index; beyond that building grows at least as fast as what a query saves, because it scans the corpus many
times and an exact query scans it once. So **the number of queries decides, far more than the number of passages**.
"""


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--record", type=Path, required=True)
    made.add_argument("--out", type=Path, required=True)
    options = made.parse_args()
    text, drawing = page(json.loads(options.record.read_text())["crossover"])
    (options.out / "crossover.md").write_text(text)
    (options.out / "crossover.svg").write_text(drawing)


if __name__ == "__main__":
    main()
