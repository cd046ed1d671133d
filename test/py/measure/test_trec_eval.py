"""All measures equal what trec_eval 9.0.8 prints for its own test files and for real runs."""

from __future__ import annotations

import gzip
import json
import os
import re
from pathlib import Path

import pytest

from quarry_runtime.measuring.names import MEASURES
from quarry_runtime.measuring.scores import Missing, measure

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("QUARRY_TEST_DATA", ROOT.parent / "shared" / "data"))
OWN_TESTS = DATA / "trec_eval" / "v9.0.8" / "test"
ORACLE = DATA / "trec_eval" / "oracle"

_PLAIN = {"map": "AP", "recip_rank": "RR", "ndcg": "nDCG", "Rprec": "Rprec", "bpref": "Bpref"}
_PLAIN |= {"infAP": "infAP", "num_q": "NumQ", "num_ret": "NumRet", "num_rel": "NumRel"}
_PLAIN |= {"num_rel_ret": "NumRelRet", "set_P": "SetP", "set_relative_P": "SetP(relative=True)"}
_PLAIN |= {"set_recall": "SetR", "set_map": "SetAP", "set_F": "SetF"}
_CUT = {"map_cut": "AP", "ndcg_cut": "nDCG", "P": "P", "recall": "R", "success": "Success"}
_CUT |= {"relative_P": "relative_P"}
_SHARE = {"iprec_at_recall": "IPrec", "Rprec_mult": "Rprec_mult"}


def ours(printed: str) -> str:
    """Our name of a measure as trec_eval prints it, e.g. `P_5` → `P@5`."""
    match = re.fullmatch(r"(.+?)_([0-9]+(?:\.[0-9]+)?)", printed)
    if printed in _PLAIN:
        return _PLAIN[printed]
    if match and match[1] in _CUT:
        return f"{_CUT[match[1]]}@{match[2]}"
    if match and match[1] in _SHARE:
        return f"{_SHARE[match[1]]}@{match[2]}"
    return printed


def text_of(path: Path) -> str:
    """The content of a file, unpacked."""
    return gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()


def printed_by_trec_eval(path: Path) -> dict[tuple[str, str], float]:
    """(query or "all", our name) → value, four decimals, of what is a number."""
    rows = (line.split() for line in text_of(path).splitlines())
    return {
        (query, ours(name)): float(value)
        for name, query, value in rows
        if name not in ("runid", "relstring") and not name.startswith("relstring")
    }


pytestmark = pytest.mark.skipif(not OWN_TESTS.is_dir(), reason=f"no folder {OWN_TESTS}")
# It prints four decimals: half a unit of the last, and what adding up in another order costs.
PRINTED = 0.5e-4 + 1e-9


def compare(expected: dict[tuple[str, str], float], found: dict) -> int:
    """Compares what was printed with what was found; returns how many values there were."""
    # The geometric means of single queries are printed as logarithms in some versions: means only.
    for (query, name), value in expected.items():
        if query == "all":
            assert found["mean"][name] == pytest.approx(value, abs=PRINTED), name
        elif not name.startswith("gm_"):
            assert found["queries"][query][name] == pytest.approx(value, abs=PRINTED), (query, name)
    return len(expected)


@pytest.mark.parametrize(
    ("output", "qrels", "run", "missing", "level", "depth"),
    [
        ("out.test", "qrels.test", "results.test", "skip", 1, None),
        ("out.test.a", "qrels.test", "results.test", "skip", 1, None),
        ("out.test.aq", "qrels.test", "results.test", "skip", 1, None),
        ("out.test.aqc", "qrels.test", "results.trunc", "zero", 1, None),
        ("out.test.aqcM", "qrels.test", "results.trunc", "zero", 1, 100),
        ("out.test.aql", "qrels.rel_level", "results.test", "skip", 2, None),
    ],
)
def test_trec_evals_own_tests(
    output: str, qrels: str, run: str, missing: Missing, level: int, depth: int | None
) -> None:
    expected = printed_by_trec_eval(OWN_TESTS / output)
    names = sorted({name for _, name in expected})
    files = (OWN_TESTS / run, OWN_TESTS / qrels)
    found = measure(*files, names, missing=missing, level=level, depth=depth)
    count = compare(expected, found)
    assert count >= (60 if output == "out.test.a" else 20)


def test_nearly_all_measures_are_in_trec_evals_own_test() -> None:
    names = {name for _, name in printed_by_trec_eval(OWN_TESTS / "out.test.a")}
    found = {name.partition("@")[0].partition("(")[0] for name in names}
    assert set(MEASURES) - found == {"Judged"}


def test_other_cutoffs_are_those_of_trec_eval() -> None:
    every = printed_by_trec_eval(OWN_TESTS / "out.test.meas_params")
    # Gains of a table, weights of utility and cut-offs that are no whole ranks are left to trec_eval.
    simple = ("P@", "R@", "Success@", "IPrec@", "AP@", "relative_P@", "Rprec_mult@")
    expected = {key: value for key, value in every.items() if key[1].startswith(simple)}
    names = sorted({name for _, name in expected})
    files = (OWN_TESTS / "results.test", OWN_TESTS / "qrels.test")
    assert compare(expected, measure(*files, names, missing="skip")) > 20


@pytest.mark.parametrize("collection", ["nfcorpus", "scifact"])
def test_real_runs(collection: str) -> None:
    expected = printed_by_trec_eval(ORACLE / f"{collection}.test.bm25.expected.txt.gz")
    names = sorted({name for _, name in expected})
    run, qrels = ORACLE / f"{collection}.test.bm25.run.gz", ORACLE / f"{collection}.test.qrels"
    assert compare(expected, measure(run, qrels, names)) > 5000


def test_a_real_run_at_level_2_by_the_option_and_by_each_measures_own() -> None:
    expected = printed_by_trec_eval(ORACLE / "nfcorpus.test.bm25.expected.l2.txt.gz")
    # With -c its total of num_rel forgets the level, while the single queries' values keep it.
    assert expected.pop(("all", "NumRel")) == 12334
    names = sorted({name for _, name in expected})
    files = (ORACLE / "nfcorpus.test.bm25.run.gz", ORACLE / "nfcorpus.test.qrels")
    found = measure(*files, names, level=2)
    compare(expected, found)
    graded = [name for name in names if "rel" in MEASURES[name.partition("@")[0]].options]
    own = {
        name: "(rel=2)@".join(name.split("@")) if "@" in name else f"{name}(rel=2)"
        for name in graded
    }
    again = measure(*files, list(own.values()))
    for name, written in own.items():
        # NumRet with a level counts relevant passages only.
        other = "NumRelRet" if name == "NumRet" else name
        assert again["mean"][written] == found["mean"][other], written


def test_every_query_of_a_real_run_has_the_unrounded_value() -> None:
    expected = json.loads(text_of(ORACLE / "nfcorpus.test.bm25.expected.full-precision.json.gz"))
    printed = sorted({name for values in expected.values() for name in values})
    files = (ORACLE / "nfcorpus.test.bm25.run.gz", ORACLE / "nfcorpus.test.qrels")
    found = measure(*files, [ours(name) for name in printed])
    for query, values in expected.items():
        wanted = {ours(name): value for name, value in values.items()}
        assert found["queries"][query] == pytest.approx(wanted, abs=1e-9), query
    # 15 judged queries have no result at all: they count as 0.
    assert (len(expected), found["queryCount"], found["withoutResults"]) == (323, 323, 15)


@pytest.mark.parametrize(
    ("missing", "suffix"), [("zero", "expected.c.txt"), ("skip", "expected.txt")]
)
def test_queries_missing_from_the_run(missing: Missing, suffix: str, tmp_path: Path) -> None:
    dropped = set((ORACLE / "nfcorpus.test.bm25.gaps.dropped-queries.txt").read_text().split())
    lines = text_of(ORACLE / "nfcorpus.test.bm25.run.gz").splitlines(keepends=True)
    gaps = tmp_path / "gaps.run"
    gaps.write_text("".join(line for line in lines if line.split()[0] not in dropped))
    expected = printed_by_trec_eval(ORACLE / f"nfcorpus.test.bm25.gaps.{suffix}")
    names = sorted({name for _, name in expected})
    found = measure(gaps, ORACLE / "nfcorpus.test.qrels", names, missing=missing)
    compare(expected, found)
    assert found["queryCount"] == (323 if missing == "zero" else 277)
    assert found["withoutResults"] == 46


def test_rr_with_a_cutoff_is_the_uncut_one_unless_the_rank_lies_beyond() -> None:
    files = (ORACLE / "nfcorpus.test.bm25.run.gz", ORACLE / "nfcorpus.test.qrels")
    for values in measure(*files, ["RR", "RR@10", "RR@3"])["queries"].values():
        for k in (10, 3):
            is_inside = values["RR"] >= 1 / k
            assert values[f"RR@{k}"] == (values["RR"] if is_inside else 0.0)
