"""Compares runs query by query: means, paired tests, wins and losses, the queries that moved most."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quarry_runtime.errors import ConfigError, DataError
from quarry_runtime.measuring.names import parse_measure
from quarry_runtime.measuring.scores import Missing
from quarry_runtime.measuring.significance import (
    SAMPLES,
    bootstrap_interval,
    generator,
    holm,
    randomisation_test,
    t_test,
)
from quarry_runtime.measuring.told import Silent, Told
from quarry_runtime.measuring.values import Values, values_of

# Two values count as equal below this: the last bits of a sum say nothing about a query.
TIE = 1e-9


@dataclass(frozen=True)
class Options:
    """How runs are compared; `level` and `missing` as in measure(), None: as in the files of values, if any."""

    measures: Sequence[str]
    level: int | None = None
    missing: Missing | None = None
    seed: int = 42
    samples: int = SAMPLES
    top: int = 5
    is_all_pairs: bool = False
    told: Told = field(default_factory=Silent)


def compare(
    inputs: Sequence[tuple[str, Path]], qrels: Path | None, options: Options
) -> dict[str, Any]:
    """Compares the first run with each other one, or all with all.

    Args:
        inputs: name and file of each run: a TREC run, or the values of each query as JSON (per-query.json).
        qrels: judgements in TREC format; None when all inputs are values already.
        options: measures and tests.

    Returns:
        JSON with `runs`, `queryCount`, `comparisons` and `unstated`, the files of values that do not say what
        they rest on; p values with and without Holm's correction over all comparisons of this call.

    Raises:
        ConfigError: for measures that are no means over queries, and values that rest on different things.
        DataError: also when the runs share no query.
    """
    found, _ = compare_uncorrected(inputs, qrels, options)
    correct(found["comparisons"])
    return found


def compare_uncorrected(
    inputs: Sequence[tuple[str, Path]], qrels: Path | None, options: Options
) -> tuple[dict[str, Any], list[NDArray[np.float64]]]:
    """As `compare`, before the correction, which is over all that a call compares.

    Returns:
        The JSON, and of each comparison the differences of the queries, [Q].
    """
    names = means_only(options.measures)
    runs = values_of(inputs, qrels, names, options.level, options.missing, options.told)
    shared = [query for query in runs[0].queries if all(query in each.queries for each in runs)]
    if not shared:
        raise DataError(
            "the runs share no judged query.", hint="Are they runs of the same queries?"
        )
    pairs = [(0, other) for other in range(1, len(runs))]
    if options.is_all_pairs:
        pairs = list(itertools.combinations(range(len(runs)), 2))
    compared = []
    for one, other in pairs:
        for name in names:
            what = f"testing {name} of {runs[other].name}"
            options.told(what, len(compared), len(pairs) * len(names))
            compared.append(_compare(runs[one], runs[other], name, shared, options))
    found = {
        "runs": [
            {
                "run": each.name,
                "mean": {
                    m: float(np.mean([each.queries[query][m] for query in shared])) for m in names
                },
                "leftOut": len(each.queries) - len(shared),
            }
            for each in runs
        ],
        "queryCount": len(shared),
        "comparisons": [told for told, _ in compared],
        "unstated": [each.name for each in runs if each.basis is None],
    }
    return found, [differences for _, differences in compared]


def correct(comparisons: Sequence[dict[str, Any]]) -> None:
    """Adds Holm's p to what was compared, each test by itself."""
    for test in ("tTest", "randomisation"):
        adjusted = holm([each[test]["p"] for each in comparisons])
        for each, p in zip(comparisons, adjusted, strict=True):
            each[test]["pAdjusted"] = p


def means_only(measures: Sequence[str]) -> list[str]:
    """Names as ir_measures writes them; raises ConfigError for a measure that is no mean over queries."""
    parsed = list({m.text: m for m in map(parse_measure, measures)}.values())
    for m in parsed:
        if m.kind.mean == "mean":
            continue
        instead = (
            "AP" if m.name == "gm_map" else "Bpref" if m.name == "gm_bpref" else "R@100 or SetR"
        )
        raise ConfigError(
            f"{m.text} is no mean over queries, so that runs cannot be compared by it.",
            hint=f"Compare {instead}.",
        )
    return [m.text for m in parsed]


def _compare(
    baseline: Values,
    other: Values,
    name: str,
    queries: list[str],
    options: Options,
) -> tuple[dict[str, Any], NDArray[np.float64]]:
    before = np.array([baseline.queries[query][name] for query in queries])
    after = np.array([other.queries[query][name] for query in queries])
    differences = np.where(np.abs(after - before) <= TIE, 0.0, after - before)
    statistic, p = t_test(differences)
    key = (name, baseline.name, other.name)
    found = randomisation_test(differences, generator(options.seed, "signs", *key), options.samples)
    low, high = bootstrap_interval(differences, generator(options.seed, "queries", *key))

    def moved(sign: int) -> list[dict[str, Any]]:
        order = sorted(range(len(queries)), key=lambda at: (-sign * differences[at], queries[at]))
        return [
            {
                "query": queries[at],
                "baseline": float(before[at]),
                "run": float(after[at]),
                "difference": float(differences[at]),
            }
            for at in order[: options.top]
            if sign * differences[at] > 0
        ]

    told = {
        "measure": name,
        "baseline": baseline.name,
        "run": other.name,
        "baselineMean": float(before.mean()),
        "runMean": float(after.mean()),
        "difference": float(differences.mean()),
        "interval": [low, high],
        "tTest": {"statistic": statistic, "p": p},
        "randomisation": {"p": found.p, "isExact": found.is_exact, "samples": found.samples},
        "wins": int(np.sum(differences > 0)),
        "ties": int(np.sum(differences == 0)),
        "losses": int(np.sum(differences < 0)),
        "gains": moved(1),
        "drops": moved(-1),
    }
    return told, differences
