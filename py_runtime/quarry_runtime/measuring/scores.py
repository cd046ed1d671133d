"""Values of each query and their means, computed by trec_eval's own code in memory.

The values equal those of trec_eval 9.0.8; pytrec_eval dies of an empty ranking and of a query without
any grade from 0 on, so neither is handed to it.
"""

from __future__ import annotations

import math
import struct
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import pytrec_eval

from quarry_runtime.errors import ConfigError, DataError
from quarry_runtime.measuring.files import (
    Ranking,
    Scattered,
    fingerprint,
    read_qrels,
    read_run,
    read_scattered_run,
)
from quarry_runtime.measuring.names import (
    GEOMETRIC_FLOOR,
    MAX_GRADE,
    Measure,
    parse_measure,
)
from quarry_runtime.measuring.told import Hear

Grades = Mapping[str, int]
Missing = Literal["zero", "skip"]
# No id can be this: ids hold no white space.
_NOBODY = " "


def cut(ranking: Ranking, k: int) -> Ranking:
    """The first k passages in trec_eval's order: score as float32, then id, both descending."""
    return {passage: ranking[passage] for passage in in_order(ranking)[:k]}


def in_order(ranking: Ranking) -> list[str]:
    """Passages best first, as trec_eval orders them."""

    def order(passage: str) -> tuple[float, bytes]:
        return _float32(ranking[passage]), passage.encode()

    return sorted(ranking, key=order, reverse=True)


def _float32(value: float) -> float:
    try:
        return struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


class Scorer:
    """Scores one query after the other with the same measures.

    Example:
        >>> scorer = Scorer({"q": {"a": 1}}, ["nDCG@10"])
        >>> scorer.score("q", {"a": 0.5})
        {'nDCG@10': 1.0}
    """

    def __init__(self, qrels: Mapping[str, Grades], names: Iterable[str], level: int = 1) -> None:
        """Makes the evaluators.

        Args:
            qrels: grades of each judged query.
            names: measures as ir_measures writes them.
            level: the lowest grade that counts as relevant where a measure says nothing of its own.
        """
        self.measures = list({m.text: m for m in map(parse_measure, names)}.values())
        self.qrels = qrels
        self.level = level
        # One evaluator takes one level, one table of gains, one parameter of set_F.
        groups: dict[tuple[int, str, str], list[Measure]] = defaultdict(list)
        for m in self.measures:
            if m.name != "Judged":
                groups[m.level(level), m.gains, m.options.get("beta", "")].append(m)
        self._groups = [
            (members, self._evaluator(members, group_level, gains))
            for (group_level, gains, _), members in groups.items()
        ]

    def _evaluator(
        self, members: list[Measure], level: int, gains: str
    ) -> pytrec_eval.RelevanceEvaluator:
        judged = {query: _safe(_gains(grades, gains)) for query, grades in self.qrels.items()}
        return pytrec_eval.RelevanceEvaluator(judged, {m.request for m in members}, level)

    def score(self, query: str, ranking: Ranking) -> dict[str, float]:
        """The values of a judged query; one without results has those of an empty ranking."""
        grades = self.qrels[query]
        values: dict[str, float] = {}
        for members, evaluator in self._groups:
            shapes: dict[tuple[int | None, bool], dict[str, float]] = {}
            for m in members:
                shape = (m.rank, m.is_judged_only)
                if shape not in shapes:
                    shapes[shape] = _evaluate(evaluator, query, _shaped(ranking, grades, *shape))
                values[m.text] = self._value(m, shapes[shape], query)
        for m in self.measures:
            if m.name == "Judged":
                first = in_order(ranking)[: int(m.cutoff or 0)]
                values[m.text] = sum(p in grades for p in first) / len(first) if first else 0.0
        return {m.text: values[m.text] for m in self.measures}

    def _value(self, m: Measure, found: Mapping[str, float], query: str) -> float:
        if found:
            value = found[m.answer]
            return math.exp(value) if m.kind.mean == "geometric" else value
        if m.kind.mean == "geometric":
            return GEOMETRIC_FLOOR
        if m.name == "NumQ":
            return 1.0
        if m.name == "NumRel":
            level = m.level(self.level)
            return float(sum(grade >= level for grade in self.qrels[query].values()))
        return 0.0

    def means(self, queries: Iterable[Mapping[str, float]]) -> dict[str, float]:
        """What stands for all queries: a mean, a sum of counts, or a geometric mean."""
        rows = list(queries)
        return {m.text: _mean(m, [row[m.text] for row in rows]) for m in self.measures}


def _mean(m: Measure, values: list[float]) -> float:
    if m.kind.mean == "sum":
        return math.fsum(values)
    if m.kind.mean == "geometric":
        return math.exp(math.fsum(math.log(max(v, GEOMETRIC_FLOOR)) for v in values) / len(values))
    return math.fsum(values) / len(values)


def _gains(grades: Grades, gains: str) -> Grades:
    if gains == "log2":
        return grades
    highest = max(grades.values())
    if highest > 0 and 2**highest - 1 > MAX_GRADE:
        raise ConfigError(
            f"nDCG(dcg='exp-log2') takes grades up to {MAX_GRADE.bit_length() - 1}, saw {highest}.",
            hint="Use nDCG, or map the grades with the source's scoreTransform.",
        )
    return {passage: 2**grade - 1 if grade > 0 else grade for passage, grade in grades.items()}


def _safe(grades: Grades) -> dict[str, int]:
    if any(grade >= 0 for grade in grades.values()):
        return dict(grades)
    return {**grades, _NOBODY: 0}


def _shaped(ranking: Ranking, grades: Grades, rank: int | None, is_judged_only: bool) -> Ranking:
    if is_judged_only:
        # trec_eval takes a negative grade for one of the pool that nobody judged.
        ranking = {
            passage: score for passage, score in ranking.items() if grades.get(passage, -1) >= 0
        }
    return ranking if rank is None else cut(ranking, rank)


def _evaluate(
    evaluator: pytrec_eval.RelevanceEvaluator, query: str, ranking: Ranking
) -> dict[str, float]:
    return evaluator.evaluate({query: ranking})[query] if ranking else {}


def measure(
    run: Path,
    qrels: Path,
    names: list[str],
    *,
    level: int = 1,
    missing: Missing = "zero",
    depth: int | None = None,
    intervals_seed: int | None = None,
    hear: Hear | None = None,
) -> dict:
    """Scores a run file.

    Args:
        run: a TREC run; memory holds one query of it at a time where its queries stand together.
        qrels: judgements in TREC format.
        names: measures as ir_measures writes them.
        level: the lowest grade that counts as relevant (trec_eval -l).
        missing: judged queries without results count as 0 (trec_eval -c), or are left out.
        depth: how many passages of each query count (trec_eval -M); None: all.
        hear: hears how much of the run has been read.
        intervals_seed: adds "intervals": a 95 % bootstrap interval of each mean over other queries like these.

    Returns:
        `{"mean": {measure: value}, "queries": {query: {measure: value}}, "queryCount": n,
        "withoutResults": judged queries that the run lacks, "unjudged": queries of the run without judgement,
        "basis": {"relevanceLevel", "missing", "depth", "judgements": their fingerprint}}`.

    Raises:
        DataError: also when no query of the run is judged: then run and judgements do not belong together.
    """
    judged = read_qrels(qrels)
    scorer = Scorer(judged, names, level)
    try:
        queries, unjudged = _score_all(scorer, read_run(run, hear), depth)
    except Scattered:
        queries, unjudged = _score_all(scorer, read_scattered_run(run, hear).items(), depth)
    if not queries:
        if unjudged == 0:
            raise DataError(f"{run}: it holds no results.", hint="Give a run of at least one line.")
        # The judgements may be a copy in TREC format, whose name says nothing to the user.
        which = (
            "its only query is not judged"
            if unjudged == 1
            else f"none of its {unjudged} queries is judged"
        )
        raise DataError(
            f"{run}: {which}.",
            hint="Do run and judgements belong together? Query ids must be equal, letter by letter.",
        )
    without = [query for query in judged if query not in queries]
    if missing == "zero":
        queries.update((query, scorer.score(query, {})) for query in without)
    ordered = {query: queries[query] for query in judged if query in queries}
    answer = {
        "mean": scorer.means(ordered.values()),
        "queries": ordered,
        "queryCount": len(ordered),
        "withoutResults": len(without),
        "unjudged": unjudged,
        "basis": {
            "relevanceLevel": level,
            "missing": missing,
            "depth": depth,
            "judgements": fingerprint(judged),
        },
    }
    if intervals_seed is not None:
        answer["intervals"] = _intervals(scorer, list(ordered.values()), intervals_seed)
    return answer


def _intervals(
    scorer: Scorer, rows: list[dict[str, float]], seed: int
) -> dict[str, tuple[float, float]]:
    # Imported late: scipy takes longer to load than most runs take to score.
    import numpy as np

    from quarry_runtime.measuring.significance import bootstrap_interval, generator

    return {
        m.text: bootstrap_interval(
            np.array([row[m.text] for row in rows]), generator(seed, "interval", m.text)
        )
        for m in scorer.measures
        if m.kind.mean == "mean"
    }


def _score_all(
    scorer: Scorer, rankings: Iterable[tuple[str, Ranking]], depth: int | None
) -> tuple[dict[str, dict[str, float]], int]:
    queries: dict[str, dict[str, float]] = {}
    unjudged = 0
    for query, ranking in rankings:
        if query not in scorer.qrels:
            unjudged += 1
            continue
        queries[query] = scorer.score(query, ranking if depth is None else cut(ranking, depth))
    return queries, unjudged
