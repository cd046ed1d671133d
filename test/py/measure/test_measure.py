"""Measures of small runs: ties, options, what is missing; what cannot be measured is refused with its line."""

from __future__ import annotations

import gzip
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_runtime.errors import ConfigError, DataError
from quarry_runtime.measure import answer, measure
from quarry_runtime.measuring.names import MEASURES
from quarry_runtime.measuring.scores import cut


def write(folder: Path, run: str, qrels: str) -> tuple[Path, Path]:
    (folder / "a.run").write_text(run)
    (folder / "a.qrels").write_text(qrels)
    return folder / "a.run", folder / "a.qrels"


def test_ties_are_broken_by_passage_id_descending_and_ranks_are_ignored(tmp_path: Path) -> None:
    run = "q Q0 a 1 0.5 t\nq Q0 b 2 0.5 t\nq Q0 c 3 0.9 t\n"
    files = write(tmp_path, run, "q 0 b 1\n")
    assert measure(*files, ["RR", "RR@2", "RR@1", "P@2"])["queries"]["q"] == {
        "RR": 0.5,
        "RR@2": 0.5,
        "RR@1": 0.0,
        "P@2": 0.5,
    }


def test_scores_that_float32_cannot_tell_apart_are_ties(tmp_path: Path) -> None:
    run = "q Q0 a 1 1.00000001 t\nq Q0 b 2 1.0 t\n"
    files = write(tmp_path, run, "q 0 b 1\n")
    values = measure(*files, ["RR", "RR@1"])["mean"]
    assert values == {"RR": 1.0, "RR@1": 1.0}


def test_names_that_users_bring_along_are_understood(tmp_path: Path) -> None:
    files = write(tmp_path, "q Q0 a 1 1 t\n", "q 0 a 1\n")
    names = ["ndcg@10", "recall@100", "mrr@10", "map", "precision@5"]
    assert list(measure(*files, names)["mean"]) == ["nDCG@10", "R@100", "RR@10", "AP", "P@5"]


def test_results_without_judgements_do_not_count(tmp_path: Path) -> None:
    files = write(tmp_path, "q Q0 a 1 1 t\nother Q0 a 1 1 t\n", "q 0 a 1\n")
    found = measure(*files, ["P@1"])
    del found["basis"]
    assert found == {
        "mean": {"P@1": 1.0},
        "queries": {"q": {"P@1": 1.0}},
        "queryCount": 1,
        "withoutResults": 0,
        "unjudged": 1,
    }


def test_a_score_that_is_not_a_number_is_refused_with_its_line(tmp_path: Path) -> None:
    files = write(tmp_path, "q Q0 a 1 1 t\nq Q0 b 2 nan t\n", "q 0 a 1\n")
    with pytest.raises(DataError, match=r"a\.run:2: passage b has the score NaN"):
        measure(*files, ["P@1"])


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ("q Q0 a 1 t\n", r"a\.run:1: not a line of a run"),
        ("q Q0 a 1 1 t\nq Q0 a 2 1 t\n", r"a\.run:2: passage a twice"),
        ("q Q0 a 1 1 t\np Q0 a 1 1 t\nq Q0 a 1 1 t\n", r"a\.run:3: passage a twice"),
        ("q Q0 a 1 one t\n", r"a\.run:1: not a line of a run"),
    ],
)
def test_a_broken_run_is_refused_with_its_line(run: str, message: str, tmp_path: Path) -> None:
    files = write(tmp_path, run, "q 0 a 1\n")
    with pytest.raises(DataError, match=message):
        measure(*files, ["P@1"])


@pytest.mark.parametrize(
    ("qrels", "message"),
    [
        ("", r"a\.qrels holds no judgements"),
        ("q 0 a\n", r"a\.qrels:1: not a judgement"),
        ("q 0 b 1\nq 0 a 0.5\n", r"a\.qrels:2: not a judgement"),
        ("q 0 a 1\nq 0 a 2\n", r"a\.qrels:2: passage a has the grade 2 for query q, and 1 before"),
        ("q 0 a 1000000\n", r"a\.qrels:1: grades go up to 10000, saw 1000000"),
    ],
)
def test_broken_judgements_are_refused(qrels: str, message: str, tmp_path: Path) -> None:
    files = write(tmp_path, "q Q0 a 1 1 t\n", qrels)
    with pytest.raises(DataError, match=message):
        measure(*files, ["P@1"])


@pytest.mark.parametrize(
    "name",
    [
        "P",
        "nDGC@10",
        "Rprec@5",
        "nDCG@0",
        "nDCG@x",
        "",
        "IPrec@1.5",
        "IPrec@0.125",
        "P(rel=0)@5",
        "nDCG(rel=2)@5",
        "P(rel=2@5",
        "SetF(beta=x)",
    ],
)
def test_an_unknown_measure_is_a_config_error(name: str, tmp_path: Path) -> None:
    files = write(tmp_path, "q Q0 a 1 1 t\n", "q 0 a 1\n")
    with pytest.raises(ConfigError):
        measure(*files, [name])


@given(
    st.dictionaries(
        st.text("abcé𝄞", min_size=1), st.floats(-4, 4, width=32), min_size=1, max_size=30
    ),
    st.integers(1, 40),
)
def test_a_cut_ranking_holds_the_best(ranking: dict[str, float], k: int) -> None:
    kept = cut(ranking, k)
    assert len(kept) == min(k, len(ranking))
    worst = min((score, passage.encode()) for passage, score in kept.items())
    rest = [(ranking[p], p.encode()) for p in ranking if p not in kept]
    assert all(other < worst for other in rest)


def test_the_command_keeps_its_answer_where_it_is_told_to_and_loads_no_torch(
    tmp_path: Path,
) -> None:
    run, qrels = write(tmp_path, "q Q0 a 1 1 t\n", "q 0 a 1\n")
    out = tmp_path / "out.json"
    args = ["--run", str(run), "--qrels", str(qrels), "--measures", "nDCG@10", "--out", str(out)]
    code = "import sys; from quarry_runtime.measure import answer; answer(sys.argv[1:]); "
    code += "print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, *args], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "False"
    assert json.loads(out.read_text())["mean"] == {"nDCG@10": 1.0}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.qrels", "a.run", "out.json"]
    assert answer(args[:-2]) == json.loads(out.read_text())


def test_lines_of_a_run_may_stand_in_any_order(tmp_path: Path) -> None:
    lines = [
        f"{q} Q0 {p} 1 {s} t\n"
        for q, p, s in [("q", "a", 1), ("p", "a", 2), ("q", "b", 3), ("p", "b", 1)]
    ]
    files = write(tmp_path, "".join(lines), "q 0 a 1\np 0 a 1\n")
    assert measure(*files, ["RR"])["queries"] == {"q": {"RR": 0.5}, "p": {"RR": 1.0}}


def test_a_run_that_shares_no_query_with_the_judgements_is_refused(tmp_path: Path) -> None:
    files = write(tmp_path, "1 Q0 a 1 1 t\n", "q1 0 a 1\n")
    with pytest.raises(DataError, match="its only query is not judged"):
        measure(*files, ["P@1"])
    with pytest.raises(DataError, match="it holds no results"):
        measure(*write(tmp_path, "", "q1 0 a 1\n"), ["P@1"])


def test_packed_files_are_read_and_a_cut_one_is_refused(tmp_path: Path) -> None:
    run = gzip.compress(b"".join(b"q Q0 p%d 1 %d t\n" % (n, n) for n in range(2000)))
    (tmp_path / "a.run.gz").write_bytes(run)
    (tmp_path / "a.qrels.gz").write_bytes(gzip.compress(b"q 0 p1998 1\n"))
    files = (tmp_path / "a.run.gz", tmp_path / "a.qrels.gz")
    assert measure(*files, ["RR"])["mean"] == {"RR": 0.5}
    (tmp_path / "a.run.gz").write_bytes(run[: len(run) // 2])
    with pytest.raises(DataError, match=r"a\.run\.gz:\d+: the gzip file is cut short"):
        measure(*files, ["RR"])


def test_options_of_a_measure_change_what_counts(tmp_path: Path) -> None:
    run = "q Q0 a 1 4 t\nq Q0 x 2 3 t\nq Q0 b 3 2 t\nq Q0 c 4 1 t\n"
    files = write(tmp_path, run, "q 0 a 0\nq 0 b 1\nq 0 c 2\n")
    values = measure(
        *files,
        [
            "RR@10",
            "RR(rel=2)@10",
            "RR(rel=2,judged_only=True)@3",
            "RR(rel=2)@3",
            "NumRel(rel=2)",
            "NumRet(rel=1)",
            "NumRet",
            "Judged@2",
            "SetF",
            "SetF(beta=2)",
            "SetP(relative=True)",
            "nDCG(dcg='exp-log2')@10",
        ],
    )["mean"]
    gained = 1 / math.log2(4) + 3 / math.log2(5)
    assert values == pytest.approx(
        {
            "RR@10": 1 / 3,
            "RR(rel=2)@10": 1 / 4,
            "RR(rel=2,judged_only=True)@3": 1 / 3,
            "RR(rel=2)@3": 0,
            "NumRel(rel=2)": 1,
            "NumRet(rel=1)": 2,
            "NumRet": 4,
            "Judged@2": 0.5,
            "SetF": 2 / 3,
            "SetF(beta=2)": 3 * 0.5 * 1 / (1 + 2 * 0.5),
            "SetP(relative=True)": 1,
            "nDCG(dcg='exp-log2')@10": gained / (3 + 1 / math.log2(3)),
        }
    )


def test_a_passage_with_a_negative_grade_counts_as_unjudged_where_only_judged_ones_count(
    tmp_path: Path,
) -> None:
    run = "q Q0 a 1 3 t\nq Q0 x 2 2.5 t\nq Q0 b 3 2 t\nq Q0 c 4 1 t\n"
    files = write(tmp_path, run, "q 0 a -2\nq 0 b 1\nq 0 c 0\n")
    names = ["RR(judged_only=True)", "P(judged_only=True)@1", "nDCG(judged_only=True)@3"]
    assert measure(*files, names)["mean"] == dict.fromkeys(names, 1.0)


def test_counts_are_summed_and_geometric_means_take_a_missing_query_as_nearly_zero(
    tmp_path: Path,
) -> None:
    files = write(
        tmp_path, "q Q0 a 1 1 t\np Q0 x 1 2 t\np Q0 a 2 1 t\n", "q 0 a 1\np 0 a 1\nr 0 a 1\n"
    )
    names = ["NumQ", "NumRet", "NumRel", "NumRelRet", "gm_map", "AP"]
    found = measure(*files, names)
    assert found["mean"] == pytest.approx(
        {
            "NumQ": 3,
            "NumRet": 3,
            "NumRel": 3,
            "NumRelRet": 2,
            "gm_map": (1 * 0.5 * 1e-5) ** (1 / 3),
            "AP": 0.5,
        }
    )
    assert found["queries"]["r"] == {
        "NumQ": 1,
        "NumRet": 0,
        "NumRel": 1,
        "NumRelRet": 0,
        "gm_map": 1e-5,
        "AP": 0,
    }
    assert measure(*files, names, missing="skip")["mean"]["AP"] == 0.75


def test_a_query_whose_grades_are_all_negative_has_no_relevant_passage(tmp_path: Path) -> None:
    files = write(tmp_path, "q Q0 a 1 1 t\n", "q 0 a -1\nq 0 b -2\n")
    every = [name if kind.plain else f"{name}@{1}" for name, kind in MEASURES.items()]
    values = measure(*files, every)["mean"]
    assert {name for name, value in values.items() if value > 1e-5} == {
        "NumQ",
        "NumRet",
        "Judged@1",
    }


def test_an_answer_says_what_its_values_rest_on(tmp_path: Path) -> None:
    run, qrels = write(tmp_path, "q Q0 a 1 1 t\n", "q 0 a 1\nq 0 b 0\np 0 a 1\n")
    basis = measure(run, qrels, ["RR"], level=2, missing="skip", depth=5)["basis"]
    judgements = basis.pop("judgements")
    assert basis == {"relevanceLevel": 2, "missing": "skip", "depth": 5}
    qrels.write_text("p 0 a 1\nq 1 b 0\nq 0 a 1\n")
    assert measure(run, qrels, ["RR"])["basis"]["judgements"] == judgements
    qrels.write_text("p 0 a 1\nq 0 b 0\nq 0 a 2\n")
    assert measure(run, qrels, ["RR"])["basis"]["judgements"] != judgements


def test_the_best_passages_alone_count_when_a_depth_is_given(tmp_path: Path) -> None:
    files = write(tmp_path, "q Q0 a 1 1 t\nq Q0 b 2 2 t\n", "q 0 a 1\n")
    assert measure(*files, ["AP", "NumRet"], depth=1)["mean"] == {"AP": 0.0, "NumRet": 1.0}


@pytest.mark.parametrize("is_packed", [False, True], ids=["plain", "gzip"])
def test_how_much_of_a_run_has_been_read_is_told_in_bytes_of_the_file(
    tmp_path: Path, is_packed: bool
) -> None:
    lines = [f"q{q} Q0 d{q * k % 9973} {k} {-k} t\n" for q in range(1, 401) for k in range(1, 51)]
    run, qrels = write(tmp_path, "".join(lines), "q1 0 d1 1\n")
    if is_packed:
        run.write_bytes(gzip.compress(run.read_bytes()))
    heard: list[int] = []
    measure(run, qrels, ["RR"], hear=heard.append)
    size = run.stat().st_size
    assert len(heard) == 400
    assert heard == sorted(heard)
    assert heard[0] < size / 2 < heard[-1] <= size
