"""Compares runs over several data sets: each set by itself, and the average over sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quarry_runtime.errors import QuarryError
from quarry_runtime.measuring.comparison import (
    Options,
    compare_uncorrected,
    correct,
    means_only,
)
from quarry_runtime.measuring.significance import generator
from quarry_runtime.measuring.stratified import (
    stratified_interval,
    stratified_randomisation_test,
    stratified_t_test,
)

# A comparison of a set, and the differences of its queries, [Q].
_Part = tuple[dict[str, Any], NDArray[np.float64]]


@dataclass(frozen=True)
class DataSet:
    """One data set of what is compared.

    Attributes:
        name: How messages call it.
        runs: A TREC run or a file of values of each run, in the order of their names.
        qrels: Judgements in TREC format; None when all inputs are values already.
        measures: What is compared here.
    """

    name: str
    runs: Sequence[Path]
    qrels: Path | None
    measures: Sequence[str]


def compare_suites(
    names: Sequence[str], sets: Sequence[DataSet], options: Options
) -> dict[str, Any]:
    """Compares the first run with each other one, or all with all, on each data set and on average over them.

    Values of one set are in memory at a time, and of the others the differences.

    Args:
        names: of the runs.
        sets: each with the files of all runs.
        options: tests; their measures are left aside for those of the sets.

    Returns:
        JSON with `sets`, each as compare() gives it, and `averages`: of each pair, the measures that all sets have;
        none of a single set, of which it would say the same. p values are corrected over all of both.

    Raises:
        QuarryError: as compare(), naming the data set unless it is the measure's fault.
    """
    for each in sets:
        means_only(each.measures)
    found = []
    parts: dict[tuple[str, str, str], list[_Part]] = {}
    for each in sets:
        answer, differences = _compare_set(names, each, options)
        for told, moved in zip(answer["comparisons"], differences, strict=True):
            key = (told["measure"], told["baseline"], told["run"])
            parts.setdefault(key, []).append((told, moved))
        found.append({"set": each.name, **answer})
    averages = [
        _average(key, of_sets, options)
        for key, of_sets in parts.items()
        if len(of_sets) == len(sets) > 1
    ]
    correct([told for of_sets in parts.values() for told, _ in of_sets] + averages)
    return {"sets": found, "averages": averages}


def _compare_set(
    names: Sequence[str], each: DataSet, options: Options
) -> tuple[dict[str, Any], list[NDArray[np.float64]]]:
    inputs = list(zip(names, each.runs, strict=True))
    try:
        return compare_uncorrected(inputs, each.qrels, replace(options, measures=each.measures))
    except QuarryError as error:
        raise type(error)(f"{each.name}: {error.message}", hint=error.hint) from None


def _average(key: tuple[str, str, str], parts: Sequence[_Part], options: Options) -> dict[str, Any]:
    measure, baseline, run = key
    strata = [differences for _, differences in parts]
    statistic, p = stratified_t_test(strata)
    signs = generator(options.seed, "signs", "average", *key)
    found = stratified_randomisation_test(strata, signs, options.samples)
    low, high = stratified_interval(strata, generator(options.seed, "queries", "average", *key))
    means = {
        name: float(np.mean([told[name] for told, _ in parts]))
        for name in ("baselineMean", "runMean", "difference")
    }
    return {
        "measure": measure,
        "baseline": baseline,
        "run": run,
        **means,
        "interval": [low, high],
        "tTest": {"statistic": statistic, "p": p},
        "randomisation": {"p": found.p, "isExact": found.is_exact, "samples": found.samples},
    }
