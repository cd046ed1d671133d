"""Measures equal trec_eval's own values on real runs, and what cannot be measured is refused."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_runtime.errors import ConfigError, DataError, IntegrityError
from quarry_runtime.measure import cut, main, measure

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("QUARRY_TEST_DATA", ROOT.parent / "shared" / "data"))
ORACLE = DATA / "trec_eval" / "oracle"
needs_oracle = pytest.mark.skipif(not ORACLE.is_dir(), reason=f"no collection folder {ORACLE}")

# ir_measures' name → trec_eval's name in the oracle's files.
EXACT = {"AP": "map", "RR": "recip_rank", "nDCG": "ndcg", "Rprec": "Rprec", "Bpref": "bpref"}
EXACT |= {"AP@100": "map_cut_100", "nDCG@5": "ndcg_cut_5", "nDCG@10": "ndcg_cut_10"}
EXACT |= {"nDCG@100": "ndcg_cut_100", "R@10": "recall_10", "R@100": "recall_100"}
EXACT |= {"P@10": "P_10", "Success@1": "success_1", "Success@10": "success_10"}


def unpack(name: str, folder: Path) -> Path:
    path = folder / name.removesuffix(".gz")
    path.write_bytes(gzip.decompress((ORACLE / name).read_bytes()))
    return path


def printed(lines: list[str]) -> dict[tuple[str, str], float]:
    """What trec_eval printed: (query or "all", measure) → value with four decimals."""
    rows = (line.split() for line in lines)
    return {(query, name): float(value) for name, query, value in rows if name != "runid"}


@needs_oracle
def test_every_query_of_a_real_run_has_trec_evals_unrounded_value(tmp_path: Path) -> None:
    run = unpack("nfcorpus.test.bm25.run.gz", tmp_path)
    oracle = ORACLE / "nfcorpus.test.bm25.expected.full-precision.json.gz"
    expected = json.loads(gzip.decompress(oracle.read_bytes()))
    found = measure(run, ORACLE / "nfcorpus.test.qrels", list(EXACT))
    for query, values in expected.items():
        wanted = {name: values[trec] for name, trec in EXACT.items()}
        assert found["queries"][query] == pytest.approx(wanted, abs=1e-9)
    # 15 judged queries have no result at all: they count as 0.
    assert found["queryCount"] == 323
    assert sum(query not in expected for query in found["queries"]) == 323 - len(expected)


@needs_oracle
@pytest.mark.parametrize("collection", ["nfcorpus", "scifact"])
def test_means_are_those_that_trec_eval_prints(collection: str, tmp_path: Path) -> None:
    run = unpack(f"{collection}.test.bm25.run.gz", tmp_path)
    text = gzip.decompress((ORACLE / f"{collection}.test.bm25.expected.txt.gz").read_bytes())
    expected = printed(text.decode().splitlines())
    found = measure(run, ORACLE / f"{collection}.test.qrels", list(EXACT))
    for name, trec in EXACT.items():
        assert found["mean"][name] == pytest.approx(expected["all", trec], abs=0.6e-4), name
        for query, values in found["queries"].items():
            wanted = expected.get((query, trec), 0.0)
            assert values[name] == pytest.approx(wanted, abs=0.6e-4), (query, name)


@needs_oracle
def test_queries_missing_from_the_run_count_as_zero(tmp_path: Path) -> None:
    dropped = set((ORACLE / "nfcorpus.test.bm25.gaps.dropped-queries.txt").read_text().split())
    whole = unpack("nfcorpus.test.bm25.run.gz", tmp_path)
    gaps = tmp_path / "gaps.run"
    lines = whole.read_text().splitlines(keepends=True)
    gaps.write_text("".join(line for line in lines if line.split()[0] not in dropped))
    expected = printed((ORACLE / "nfcorpus.test.bm25.gaps.expected.c.txt").read_text().splitlines())
    found = measure(gaps, ORACLE / "nfcorpus.test.qrels", list(EXACT))
    for name, trec in EXACT.items():
        assert found["mean"][name] == pytest.approx(expected["all", trec], abs=0.6e-4), name
    assert all(found["queries"][query]["nDCG@10"] == 0.0 for query in dropped)


@needs_oracle
def test_rr_with_a_cutoff_is_the_uncut_one_unless_the_rank_lies_beyond(tmp_path: Path) -> None:
    run = unpack("nfcorpus.test.bm25.run.gz", tmp_path)
    found = measure(run, ORACLE / "nfcorpus.test.qrels", ["RR", "RR@10", "RR@3"])
    for values in found["queries"].values():
        for k in (10, 3):
            is_inside = values["RR"] >= 1 / k
            assert values[f"RR@{k}"] == (values["RR"] if is_inside else 0.0)


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
    assert measure(*files, ["P@1"]) == {
        "mean": {"P@1": 1.0},
        "queries": {"q": {"P@1": 1.0}},
        "queryCount": 1,
    }


def test_a_score_that_is_not_a_number_is_refused_with_its_line(tmp_path: Path) -> None:
    files = write(tmp_path, "q Q0 a 1 1 t\nq Q0 b 2 nan t\n", "q 0 a 1\n")
    with pytest.raises(IntegrityError, match=r"a\.run:2: passage b has the score NaN"):
        measure(*files, ["P@1"])


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ("q Q0 a 1 t\n", r"a\.run:1: not a line of a run"),
        ("q Q0 a 1 1 t\nq Q0 a 2 1 t\n", r"a\.run:2: passage a twice"),
        ("q Q0 a 1 1 t\np Q0 a 1 1 t\nq Q0 b 1 1 t\n", r"a\.run:3: lines of query q stand in two"),
    ],
)
def test_a_broken_run_is_refused_with_its_line(run: str, message: str, tmp_path: Path) -> None:
    files = write(tmp_path, run, "q 0 a 1\n")
    with pytest.raises(DataError, match=message):
        measure(*files, ["P@1"])


@pytest.mark.parametrize("qrels", ["", "q 0 a\n", "q 0 a 0.5\n"])
def test_broken_judgements_are_refused(qrels: str, tmp_path: Path) -> None:
    files = write(tmp_path, "q Q0 a 1 1 t\n", qrels)
    with pytest.raises(DataError, match=r"a\.qrels"):
        measure(*files, ["P@1"])


@pytest.mark.parametrize("name", ["P", "nDGC@10", "Rprec@5", "nDCG@0", "nDCG@x", ""])
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


def test_the_command_writes_its_answer_and_loads_no_torch(tmp_path: Path) -> None:
    run, qrels = write(tmp_path, "q Q0 a 1 1 t\n", "q 0 a 1\n")
    out = tmp_path / "out.json"
    args = ["--run", str(run), "--qrels", str(qrels), "--measures", "nDCG@10", "--out", str(out)]
    code = "import sys; from quarry_runtime.measure import main; main(sys.argv[1:]); "
    code += "print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, *args], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "False"
    assert json.loads(out.read_text())["mean"] == {"nDCG@10": 1.0}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.qrels", "a.run", "out.json"]
    assert main(args) == 0
