"""Estimates over the whole corpus from a part of it: exact where the part is all, near the truth where it is not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from quarry_runtime.estimate import answer
from quarry_runtime.measuring.scores import measure
from quarry_runtime.measuring.subcorpus import Part, estimate

NAMES = [
    "nDCG@10",
    "nDCG(dcg='exp-log2')@10",
    "AP@100",
    "AP",
    "P@5",
    "R@50",
    "RR@10",
    "RR",
    "Success@1",
    "Rprec",
]
NAMES += ["P(rel=2)@5", "AP(rel=2)", "RR(rel=2)@10"]
DEPTH = 100


class Collection:
    """Queries with two relevant passages each, among many that nobody judged; scores are random, good ones higher."""

    def __init__(self, folder: Path, query_count: int = 120, unjudged: int = 3000) -> None:
        rng = np.random.default_rng(5)
        self.folder = folder
        self.unjudged = unjudged
        self.query_count = query_count
        self.judged = [f"j{n}" for n in range(2 * query_count)]
        self.others = [f"u{n}" for n in range(unjudged)]
        self.scores = rng.normal(size=(query_count, 2 * query_count + unjudged))
        for query in range(query_count):
            self.scores[query, 2 * query] += rng.choice([1.0, 3.0, 5.0])
            self.scores[query, 2 * query + 1] += 2.0
        self.qrels = folder / "qrels"
        self.qrels.write_text(
            "".join(f"q{n} 0 j{2 * n} 2\nq{n} 0 j{2 * n + 1} 1\n" for n in range(query_count))
        )

    def search(self, sample: np.ndarray) -> Path:
        """The run over all judged passages and these others."""
        columns = np.concatenate([np.arange(2 * self.query_count), 2 * self.query_count + sample])
        ids = [*self.judged, *self.others]
        path = self.folder / "a.run"
        with path.open("w") as file:
            for query in range(self.query_count):
                scores = self.scores[query, columns]
                for rank, at in enumerate(np.argsort(-scores)[:DEPTH]):
                    file.write(f"q{query} Q0 {ids[columns[at]]} {rank + 1} {scores[at]:.9f} t\n")
        return path


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    return Collection(tmp_path_factory.mktemp("collection"))


def test_a_part_that_is_the_whole_gives_trec_evals_values_without_any_doubt(
    collection: Collection,
) -> None:
    run = collection.search(np.arange(collection.unjudged))
    wanted = measure(run, collection.qrels, NAMES)["mean"]
    part = Part(collection.unjudged, collection.unjudged, DEPTH)
    found = estimate(run, collection.qrels, [*NAMES, "Bpref", "NumRel"], part)
    assert found["notEstimated"] == ["Bpref", "NumRel"]
    for name in NAMES:
        for figure in ("measured", "estimate", "low", "high"):
            assert found["measures"][name][figure] == pytest.approx(wanted[name], abs=1e-9), (
                name,
                figure,
            )


def test_estimates_lie_near_the_truth_and_their_intervals_hold_it(collection: Collection) -> None:
    truth = measure(collection.search(np.arange(collection.unjudged)), collection.qrels, NAMES)[
        "mean"
    ]
    trials, covered, errors, inflated = 4, 0, [], []
    for seed in range(trials):
        sample = np.random.default_rng(seed).choice(collection.unjudged, 300, replace=False)
        run = collection.search(np.sort(sample))
        found = estimate(
            run, collection.qrels, NAMES, Part(collection.unjudged, 300, DEPTH), seed=seed
        )
        measured = measure(run, collection.qrels, NAMES)["mean"]
        for name in NAMES:
            figures = found["measures"][name]
            assert figures["measured"] == pytest.approx(measured[name], abs=1e-9)
            assert figures["low"] <= figures["high"] <= figures["measured"] + 1e-9
            covered += figures["low"] <= truth[name] <= figures["high"]
        errors.append(found["measures"]["nDCG@10"]["estimate"] - truth["nDCG@10"])
        inflated.append(measured["nDCG@10"] - truth["nDCG@10"])
    # A tenth of the corpus raises nDCG@10 a lot; the estimate takes nearly all of that away.
    assert np.mean(inflated) > 0.1
    assert abs(np.mean(errors)) < 0.1 * np.mean(inflated)
    assert covered >= 0.75 * trials * len(NAMES)


def test_nothing_beyond_what_a_search_keeps_is_counted(tmp_path: Path) -> None:
    judged = [f"q{n} 0 q{n}p{place} 1\n" for n in range(40) for place in range(4)]
    (tmp_path / "qrels").write_text("".join(judged))
    kept = [f"q{n} Q0 q{n}p0 1 2 t\nq{n} Q0 u{n} 2 {1 + 2 * (n % 2)} t\n" for n in range(40)]
    (tmp_path / "a.run").write_text("".join(kept))
    part = Part(1000, 100, 2)
    found = estimate(tmp_path / "a.run", tmp_path / "qrels", ["Rprec", "R@2"], part)["measures"]
    # Four passages are relevant, two are kept.
    assert found["Rprec"] == found["R@2"]


def test_equal_seeds_give_equal_intervals(collection: Collection) -> None:
    run = collection.search(np.arange(0, collection.unjudged, 10))
    part = Part(collection.unjudged, 300, DEPTH)
    first, again, other = (
        estimate(run, collection.qrels, ["RR"], part, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first["measures"]["RR"]["estimate"] == other["measures"]["RR"]["estimate"]
    assert first != other


def test_without_any_hit_all_is_zero_for_sure(collection: Collection, tmp_path: Path) -> None:
    # More passages stand above each one in the whole corpus: what the part lacks, that lacks, too.
    (tmp_path / "bad.run").write_text("q0 Q0 u1 1 1 t\n")
    found = estimate(tmp_path / "bad.run", collection.qrels, NAMES, Part(3000, 300, DEPTH))
    zero = {"measured": 0.0, "estimate": 0.0, "low": 0.0, "high": 0.0}
    assert found == {"measures": dict.fromkeys(NAMES, zero), "notEstimated": []}


def test_the_command_keeps_its_answer_where_it_is_told_to(
    collection: Collection, tmp_path: Path
) -> None:
    run = collection.search(np.arange(0, collection.unjudged, 10))
    out = tmp_path / "out.json"
    args = [
        "--qrels",
        str(collection.qrels),
        "--unjudged",
        "3000",
        "--sampled",
        "300",
        "--depth",
        "100",
    ]
    said = answer(["--run", str(run), *args, "--out", str(out), "--measures", "nDCG@10"])
    assert set(said["measures"]) == {"nDCG@10"}
    assert json.loads(out.read_text()) == said
