"""Runs compared query by query: what is counted, which queries moved, and what cannot be compared."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from quarry_runtime.compare import answer
from quarry_runtime.errors import ConfigError, DataError
from quarry_runtime.measuring.comparison import Options, compare
from quarry_runtime.measuring.scores import measure


def run_with_ranks(path: Path, ranks: dict[str, int]) -> Path:
    """A run in which each query's relevant passage stands at the given rank."""
    lines = []
    for query, rank in ranks.items():
        for place in range(1, 11):
            passage = "good" if place == rank else f"x{place}"
            lines.append(f"{query} Q0 {passage} {place} {11 - place} t\n")
    path.write_text("".join(lines))
    return path


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "qrels").write_text("".join(f"q{n} 0 good 1\n" for n in range(6)))
    ranks = {"a": [1, 2, 4, 1, 5, 1], "b": [1, 1, 1, 2, 4, 1], "c": [1, 2, 4, 1, 5, 1]}
    runs = {
        name: run_with_ranks(
            tmp_path / f"{name}.run", {f"q{n}": rank for n, rank in enumerate(each)}
        )
        for name, each in ranks.items()
    }
    return {"qrels": tmp_path / "qrels", **runs}


def test_wins_losses_and_the_queries_that_moved(files: dict[str, Path]) -> None:
    found = compare([("a", files["a"]), ("b", files["b"])], files["qrels"], Options(["RR"], top=2))
    assert found["queryCount"] == 6
    (only,) = found["comparisons"]
    assert (only["wins"], only["ties"], only["losses"]) == (3, 2, 1)
    assert only["difference"] == pytest.approx((0.5 + 0.75 - 0.5 + 0.05) / 6)
    assert [(each["query"], each["difference"]) for each in only["gains"]] == [
        ("q2", pytest.approx(0.75)),
        ("q1", pytest.approx(0.5)),
    ]
    assert [each["query"] for each in only["drops"]] == ["q3"]
    low, high = only["interval"]
    assert low < only["difference"] < high
    assert only["randomisation"]["isExact"]
    # Of the 16 sign patterns of 0.5, 0.75, -0.5, 0.05 these have a sum of at least 0.8, or at most -0.8.
    sums = [
        a + b + c + d
        for a in (0.5, -0.5)
        for b in (0.75, -0.75)
        for c in (0.5, -0.5)
        for d in (0.05, -0.05)
    ]
    assert only["randomisation"]["p"] == pytest.approx(sum(abs(s) > 0.8 - 1e-9 for s in sums) / 16)


def test_a_run_compared_with_its_equal_has_only_ties(files: dict[str, Path]) -> None:
    (only,) = compare([("a", files["a"]), ("c", files["c"])], files["qrels"], Options(["RR"]))[
        "comparisons"
    ]
    assert (only["wins"], only["ties"], only["losses"]) == (0, 6, 0)
    assert (only["tTest"]["p"], only["randomisation"]["p"], only["interval"]) == (
        1.0,
        1.0,
        [0.0, 0.0],
    )
    assert (only["gains"], only["drops"]) == ([], [])


def test_p_values_are_corrected_over_measures_and_pairs(files: dict[str, Path]) -> None:
    inputs = [(name, files[name]) for name in ("a", "b", "c")]
    found = compare(inputs, files["qrels"], Options(["RR", "P@1"]))
    assert [(c["baseline"], c["run"], c["measure"]) for c in found["comparisons"]] == [
        ("a", "b", "RR"),
        ("a", "b", "P@1"),
        ("a", "c", "RR"),
        ("a", "c", "P@1"),
    ]
    for test in ("tTest", "randomisation"):
        least = min(found["comparisons"], key=lambda each: each[test]["p"])
        assert least[test]["pAdjusted"] == pytest.approx(min(1, 4 * least[test]["p"]))
    every = compare(inputs, files["qrels"], Options(["RR"], is_all_pairs=True))
    assert [(c["baseline"], c["run"]) for c in every["comparisons"]] == [
        ("a", "b"),
        ("a", "c"),
        ("b", "c"),
    ]


def test_values_of_each_query_stand_in_for_a_run(files: dict[str, Path], tmp_path: Path) -> None:
    values = tmp_path / "per-query.json"
    values.write_text(json.dumps(measure(files["b"], files["qrels"], ["RR"])))
    by_run = compare([("a", files["a"]), ("b", files["b"])], files["qrels"], Options(["RR"]))
    by_values = compare([("a", files["a"]), ("b", values)], files["qrels"], Options(["RR"]))
    assert by_run == by_values
    with pytest.raises(DataError, match="holds no values of 'P@1'"):
        compare([("a", files["a"]), ("b", values)], files["qrels"], Options(["P@1"]))
    values.write_text("[]")
    with pytest.raises(DataError, match="not the values of each query"):
        compare([("a", files["a"]), ("b", values)], files["qrels"], Options(["RR"]))


def test_values_that_differ_in_their_last_bits_are_a_tie(tmp_path: Path) -> None:
    inputs = []
    for name, value in (("a", 0.3), ("b", 0.1 + 0.2)):
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps({"queries": {"q1": {"AP": value}, "q2": {"AP": 0.5}}}))
        inputs.append((name, file))
    (only,) = compare(inputs, None, Options(["AP"]))["comparisons"]
    assert (only["wins"], only["ties"], only["losses"]) == (0, 2, 0)


def kept(path: Path, run: Path, qrels: Path, **settings: Any) -> tuple[str, Path]:
    path.write_text(json.dumps(measure(run, qrels, ["RR"], **settings)))
    return path.name, path


def test_a_run_is_scored_as_the_values_were_that_it_is_compared_with(
    files: dict[str, Path], tmp_path: Path
) -> None:
    grades = "".join(f"q{n} 0 good 2\nq{n} 0 x3 1\n" for n in range(6))
    files["qrels"].write_text(grades)
    values = kept(tmp_path / "a.json", files["a"], files["qrels"], level=2, depth=3)
    for inputs in ([values, ("a", files["a"])], [("a", files["a"]), values], [values, values]):
        (only,) = compare(inputs, files["qrels"], Options(["RR"]))["comparisons"]
        assert (only["wins"], only["ties"], only["losses"]) == (0, 6, 0)


def test_values_that_rest_on_something_else_are_refused(
    files: dict[str, Path], tmp_path: Path
) -> None:
    values = kept(tmp_path / "one.json", files["a"], files["qrels"])
    inputs = [values, ("a", files["a"])]
    for options, message in (
        (
            Options(["RR"], level=2),
            "one.json: its relevance level is 1, that of this comparison 2",
        ),
        (Options(["RR"], missing="skip"), "results is zero, that of this comparison skip"),
    ):
        for others in (inputs, [values, values]):
            with pytest.raises(ConfigError, match=message):
                compare(others, files["qrels"], options)
    other = kept(tmp_path / "two.json", files["a"], files["qrels"], level=2)
    with pytest.raises(
        ConfigError, match=r"two.json: its relevance level is 2, that of one.json 1"
    ):
        compare([values, other], None, Options(["RR"]))
    files["qrels"].write_text(files["qrels"].read_text().replace("q5 0 good 1", "q5 0 good 2"))
    with pytest.raises(
        ConfigError, match="its judgements are others than those of this comparison"
    ):
        compare(inputs, files["qrels"], Options(["RR"]))
    other = kept(tmp_path / "two.json", files["a"], files["qrels"])
    with pytest.raises(ConfigError, match=r"judgements are others than those of one.json"):
        compare([values, other], None, Options(["RR"]))


def test_values_of_an_older_version_are_compared_but_named(
    files: dict[str, Path], tmp_path: Path
) -> None:
    found = measure(files["b"], files["qrels"], ["RR"])
    del found["basis"]
    old = tmp_path / "old.json"
    old.write_text(json.dumps(found))
    inputs = [("a", files["a"]), ("old", old)]
    by_run = compare([("a", files["a"]), ("old", files["b"])], files["qrels"], Options(["RR"]))
    assert compare(inputs, files["qrels"], Options(["RR"])) == {**by_run, "unstated": ["old"]}
    with pytest.raises(ConfigError, match="old: does not say its relevance level"):
        compare(inputs, files["qrels"], Options(["RR"], level=2))


def test_queries_that_one_run_lacks_count_as_zero_or_are_left_out(
    files: dict[str, Path], tmp_path: Path
) -> None:
    half = run_with_ranks(tmp_path / "half.run", {"q0": 1, "q1": 1})
    inputs = [("a", files["a"]), ("half", half)]
    zero = compare(inputs, files["qrels"], Options(["RR"]))
    assert (zero["queryCount"], zero["comparisons"][0]["losses"]) == (6, 4)
    skip = compare(inputs, files["qrels"], Options(["RR"], missing="skip"))
    assert (skip["queryCount"], skip["comparisons"][0]["losses"]) == (2, 0)
    assert [run["leftOut"] for run in skip["runs"]] == [4, 0]


def test_what_is_no_mean_over_queries_is_refused(files: dict[str, Path]) -> None:
    inputs = [("a", files["a"]), ("b", files["b"])]
    for name in ("gm_map", "NumRelRet"):
        with pytest.raises(ConfigError, match="is no mean over queries"):
            compare(inputs, files["qrels"], Options([name]))
    with pytest.raises(ConfigError, match="a run needs judgements"):
        compare(inputs, None, Options(["RR"]))


def test_the_command_gives_the_same_answer_again_and_loads_no_torch(
    files: dict[str, Path],
) -> None:
    args = ["--names", '["-a", "b"]', "--runs", str(files["a"]), str(files["b"])]
    args += ["--qrels", str(files["qrels"]), "--measures", "RR"]
    code = "import json, sys; from quarry_runtime.compare import answer; print(json.dumps(answer(sys.argv[1:])));"
    code += "print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, *args], check=True, capture_output=True, text=True
    )
    said, has_torch = done.stdout.splitlines()
    assert has_torch == "False"
    assert answer(args) == json.loads(said)
