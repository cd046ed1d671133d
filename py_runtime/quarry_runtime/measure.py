"""Measures of a TREC run, computed by trec_eval's own code under the names that ir_measures writes.

Not covered: options of ir_measures such as nDCG(dcg="exp-log2") or P(rel=2)@5.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import pytrec_eval

from quarry_runtime.errors import ConfigError, DataError, IntegrityError

# Name → (measure without cut-off, measure with cut-off) in trec_eval. An empty one does not exist.
_MEASURES: dict[str, tuple[str, str]] = {
    "nDCG": ("ndcg", "ndcg_cut"),
    "AP": ("map", "map_cut"),
    "P": ("", "P"),
    "R": ("", "recall"),
    "Success": ("", "success"),
    # trec_eval's recip_rank has no cut-off: the ranking is cut instead.
    "RR": ("recip_rank", "recip_rank"),
    "Rprec": ("Rprec", ""),
    "Bpref": ("bpref", ""),
    "infAP": ("infAP", ""),
    "NumRet": ("num_ret", ""),
    "NumRel": ("num_rel", ""),
}
_NAMES = {name.lower(): name for name in _MEASURES} | {"map": "AP", "mrr": "RR", "recall": "R"}
_NAMES |= {"precision": "P", "hit": "Success", "rprec": "Rprec"}

Ranking = dict[str, float]


class Measure:
    """One measure: how it is written, and what trec_eval calls it."""

    def __init__(self, text: str) -> None:
        match = re.fullmatch(r"([A-Za-z]+)(?:@([1-9][0-9]*))?", text)
        name = _NAMES.get(match.group(1).lower()) if match else None
        if match is None or name is None:
            known = ", ".join(f"{n}@k" if cut else n for n, (_, cut) in _MEASURES.items())
            raise ConfigError(f"Unknown measure {text!r}.", hint=f"Known measures: {known}.")
        plain, cut = _MEASURES[name]
        self.k = int(match.group(2)) if match.group(2) else None
        if self.k is None and not plain:
            raise ConfigError(f"{name} needs a cut-off.", hint=f"Write {name}@10, for example.")
        if self.k is not None and not cut:
            raise ConfigError(f"{name} takes no cut-off.", hint=f"Write {name}.")
        self.text = name if self.k is None else f"{name}@{self.k}"
        self.is_cut_ranking = name == "RR" and self.k is not None
        # What trec_eval takes ("ndcg_cut.10") and what it answers under ("ndcg_cut_10").
        has_parameter = self.k is not None and not self.is_cut_ranking
        self.request = f"{cut}.{self.k}" if has_parameter else plain
        self.answer = f"{cut}_{self.k}" if has_parameter else plain


def _fields(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and fields; bytes are split as trec_eval does: ids may hold other blanks."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            fields = [field.decode("utf-8", "replace") for field in line.split()]
            if fields:
                yield number, fields


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Reads judgements in TREC format: query id, iteration, passage id, score.

    Raises:
        DataError: for a line that is not of this form, or a score that is no integer.
    """
    qrels: dict[str, dict[str, int]] = {}
    for number, fields in _fields(path):
        try:
            query, _, passage, score = fields
            qrels.setdefault(query, {})[passage] = int(score)
        except ValueError:
            raise DataError(
                f"{path}:{number}: not a judgement: {' '.join(fields)[:200]!r}.",
                hint="Four fields: query id, 0, passage id, integer score.",
            ) from None
    if not qrels:
        raise DataError(f"{path} holds no judgements.")
    return qrels


def read_run(path: Path) -> Iterator[tuple[str, Ranking]]:
    """Yields each query's passages and scores; a query's lines must stand together.

    Raises:
        DataError: for a line that is not of the form, a passage given twice, a query in two places.
        IntegrityError: for a score that is not a number.
    """
    seen: set[str] = set()
    current: str | None = None
    ranking: Ranking = {}
    for number, fields in _fields(path):
        try:
            query, _, passage, _, text, *_ = fields
            score = float(text)
        except ValueError:
            raise DataError(
                f"{path}:{number}: not a line of a run: {' '.join(fields)[:200]!r}.",
                hint="Six fields: query id, Q0, passage id, rank, score, tag.",
            ) from None
        if math.isnan(score):
            raise IntegrityError(f"{path}:{number}: passage {passage} has the score NaN.")
        if query != current:
            if current is not None:
                yield current, ranking
            if query in seen:
                raise DataError(
                    f"{path}:{number}: lines of query {query} stand in two places.",
                    hint="Sort the file by query.",
                )
            seen.add(query)
            current, ranking = query, {}
        if passage in ranking:
            raise DataError(f"{path}:{number}: passage {passage} twice for query {query}.")
        ranking[passage] = score
    if current is not None:
        yield current, ranking


def cut(ranking: Ranking, k: int) -> Ranking:
    """The first k passages in trec_eval's order: score as float32, then id, both descending."""

    def order(passage: str) -> tuple[float, bytes]:
        return _float32(ranking[passage]), passage.encode()

    return {passage: ranking[passage] for passage in sorted(ranking, key=order, reverse=True)[:k]}


def _float32(value: float) -> float:
    try:
        return struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def measure(run: Path, qrels: Path, names: list[str]) -> dict:
    """Scores a run file; a judged query without results counts as 0 (trec_eval -c).

    Args:
        run: a TREC run; memory holds one query of it at a time.
        qrels: judgements in TREC format.
        names: measures as ir_measures writes them.

    Returns:
        `{"mean": {measure: value}, "queries": {query: {measure: value}}, "queryCount": n}`.
    """
    measures = list({m.text: m for m in map(Measure, names)}.values())
    judged = read_qrels(qrels)
    whole = [m for m in measures if not m.is_cut_ranking]
    queries: dict[str, dict[str, float]] = {}
    for query, ranking in read_run(run):
        if query not in judged:
            continue
        judgements = {query: judged[query]}
        values: dict[str, float] = {}
        if whole:
            evaluator = pytrec_eval.RelevanceEvaluator(judgements, {m.request for m in whole})
            found = evaluator.evaluate({query: ranking})[query]
            values = {m.text: found[m.answer] for m in whole}
        for m in measures:
            if m.is_cut_ranking and m.k is not None:
                evaluator = pytrec_eval.RelevanceEvaluator(judgements, {m.request})
                values[m.text] = evaluator.evaluate({query: cut(ranking, m.k)})[query][m.answer]
        queries[query] = {m.text: values[m.text] for m in measures}
    for query in judged:
        queries.setdefault(query, {m.text: 0.0 for m in measures})
    mean = {m.text: math.fsum(q[m.text] for q in queries.values()) / len(queries) for m in measures}
    ordered = {query: queries[query] for query in judged}
    return {"mean": mean, "queries": ordered, "queryCount": len(ordered)}


def main(argv: list[str]) -> int:
    """`measure --run F --qrels F --measures nDCG@10 R@100 --out F.json`."""
    parser = argparse.ArgumentParser(prog="quarry_runtime measure", description=main.__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--qrels", type=Path, required=True)
    parser.add_argument("--measures", nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    result = measure(args.run, args.qrels, args.measures)
    temporary = args.out.with_name(f"{args.out.name}.{os.getpid()}")
    temporary.write_text(json.dumps(result, ensure_ascii=False), "utf-8")
    os.replace(temporary, args.out)
    return 0
