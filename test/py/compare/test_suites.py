"""Several data sets compared in one go: each as if alone, their average, and one correction over all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quarry_runtime.compare import answer
from quarry_runtime.errors import ConfigError, DataError
from quarry_runtime.measuring.comparison import Options, compare
from quarry_runtime.measuring.significance import holm
from quarry_runtime.measuring.suites import DataSet, compare_suites

NAMES = ["a", "b", "c"]
SIZES = {"large": 300, "small": 9, "other": 40}


@pytest.fixture
def sets(tmp_path: Path) -> list[DataSet]:
    """Three sets with values of three runs; the last one has a measure of its own, and lacks one."""
    draw = np.random.default_rng(1)
    found = []
    for name, count in SIZES.items():
        measures = ["AP", "nDCG@10"] if name != "other" else ["AP", "RR"]
        runs = []
        for run, shift in zip(NAMES, (0.0, 0.05, 0.2), strict=True):
            file = tmp_path / f"{name}-{run}.json"
            values = np.clip(draw.normal(0.4 + shift, 0.2, (count, 2)), 0, 1).tolist()
            queries = {
                f"q{at}": dict(zip(measures, row, strict=True)) for at, row in enumerate(values)
            }
            file.write_text(json.dumps({"queries": queries}))
            runs.append(file)
        found.append(DataSet(name, runs, None, measures))
    return found


def uncorrected(comparison: dict[str, Any]) -> dict[str, Any]:
    copy = json.loads(json.dumps(comparison))
    for test in ("tTest", "randomisation"):
        del copy[test]["pAdjusted"]
    return copy


def test_each_set_is_compared_as_if_alone_but_for_the_correction(sets: list[DataSet]) -> None:
    found = compare_suites(NAMES, sets, Options([], samples=500, top=2))
    assert [(each["set"], each["queryCount"]) for each in found["sets"]] == list(SIZES.items())
    for each, ofset in zip(sets, found["sets"], strict=True):
        inputs = list(zip(NAMES, each.runs, strict=True))
        alone = compare(inputs, None, Options(each.measures, samples=500, top=2))
        assert list(map(uncorrected, ofset["comparisons"])) == list(
            map(uncorrected, alone["comparisons"])
        )
        assert {**alone, "set": each.name, "comparisons": ofset["comparisons"]} == ofset


def test_the_average_is_the_mean_of_the_sets_and_only_of_what_all_have(
    sets: list[DataSet],
) -> None:
    found = compare_suites(NAMES, sets, Options([], samples=500, is_all_pairs=True))
    assert [(each["measure"], each["baseline"], each["run"]) for each in found["averages"]] == [
        ("AP", "a", "b"),
        ("AP", "a", "c"),
        ("AP", "b", "c"),
    ]
    average = found["averages"][1]
    of_sets = [
        told
        for each in found["sets"]
        for told in each["comparisons"]
        if (told["measure"], told["baseline"], told["run"]) == ("AP", "a", "c")
    ]
    for value in ("baselineMean", "runMean", "difference"):
        assert average[value] == pytest.approx(sum(told[value] for told in of_sets) / 3)
    low, high = average["interval"]
    assert low < average["difference"] < high
    assert average["tTest"]["p"] < 0.001
    assert average["randomisation"]["p"] == 1 / 501


def test_p_values_are_corrected_over_all_sets_and_averages(sets: list[DataSet]) -> None:
    found = compare_suites(NAMES, sets, Options([], samples=500))
    every = [told for each in found["sets"] for told in each["comparisons"]] + found["averages"]
    assert len(every) == 3 * 2 * 2 + 2
    for test in ("tTest", "randomisation"):
        adjusted = holm([told[test]["p"] for told in every])
        assert [told[test]["pAdjusted"] for told in every] == adjusted


def test_a_suite_of_one_set_is_a_plain_comparison(sets: list[DataSet]) -> None:
    only = sets[1]
    found = compare_suites(NAMES, [only], Options([], samples=500))
    inputs = list(zip(NAMES, only.runs, strict=True))
    alone = compare(inputs, None, Options(only.measures, samples=500))
    assert found == {"sets": [{"set": "small", **alone}], "averages": []}


def test_a_fault_names_the_data_set(sets: list[DataSet]) -> None:
    with pytest.raises(ConfigError, match=r"^gm_map is no mean over queries"):
        compare_suites(NAMES, [replace(sets[0], measures=["gm_map"])], Options([]))
    sets[2].runs[1].write_text('{"queries": {"stranger": {"AP": 1, "RR": 1}}}')
    with pytest.raises(DataError, match="other: the runs share no judged query"):
        compare_suites(NAMES, sets, Options([]))


def test_the_command_reads_the_sets_from_a_file(sets: list[DataSet], tmp_path: Path) -> None:
    asked = [
        {
            "name": each.name,
            "runs": list(map(str, each.runs)),
            "qrels": None,
            "measures": each.measures,
        }
        for each in sets
    ]
    file = tmp_path / "sets.json"
    file.write_text(json.dumps(asked))
    args = ["--names", json.dumps(NAMES), "--sets", str(file), "--samples", "500", "--top", "0"]
    assert answer(args) == compare_suites(NAMES, sets, Options([], samples=500, top=0))
