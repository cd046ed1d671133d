"""Reads runs and judgements as trec_eval does, plain or packed with gzip; every fault has its file and line."""

from __future__ import annotations

import gzip
import hashlib
import math
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from quarry_runtime.errors import DataError
from quarry_runtime.measuring.names import MAX_GRADE

Ranking = dict[str, float]
_GRADE = re.compile(rb"[+-]?[0-9]{1,9}")
_NUMBER = re.compile(
    rb"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(inf|infinity|nan)", re.I
)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as head:
        is_packed = head.read(2) == b"\x1f\x8b"
    number = 0
    try:
        with gzip.open(path) if is_packed else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                yield number, line
    except (EOFError, gzip.BadGzipFile, zlib.error) as fault:
        raise DataError(
            f"{path}:{number + 1}: the gzip file is cut short or damaged: {fault}."
        ) from None


def _fields(path: Path) -> Iterator[tuple[int, list[bytes]]]:
    """Line numbers and fields; bytes are split as trec_eval does: ids may hold other blanks."""
    for number, line in _lines(path):
        fields = (line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).split()
        if fields:
            yield number, fields


def _id(field: bytes, path: Path, number: int) -> str:
    try:
        return field.decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(f"{path}:{number}: an id that is not UTF-8: {field[:80]!r}.") from None


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Reads judgements in TREC format: query id, iteration, passage id, grade.

    Raises:
        DataError: for a line that is not of this form, a grade that is no integer up to MAX_GRADE, and a
            pair with two grades.
    """
    qrels: dict[str, dict[str, int]] = {}
    for number, fields in _fields(path):
        if len(fields) != 4 or not _GRADE.fullmatch(fields[3]):
            shown = b" ".join(fields)[:200].decode("utf-8", "replace")
            raise DataError(
                f"{path}:{number}: not a judgement: {shown!r}.",
                hint="Four fields: query id, 0, passage id, integer grade.",
            )
        query, passage = _id(fields[0], path, number), _id(fields[2], path, number)
        grade = int(fields[3])
        if abs(grade) > MAX_GRADE:
            raise DataError(f"{path}:{number}: grades go up to {MAX_GRADE}, saw {grade}.")
        judged = qrels.setdefault(query, {})
        if judged.setdefault(passage, grade) != grade:
            before = f"and {judged[passage]} before"
            raise DataError(
                f"{path}:{number}: passage {passage} has the grade {grade} for query {query}, {before}.",
                hint="Keep one judgement of each pair.",
            )
    if not qrels:
        raise DataError(f"{path} holds no judgements.")
    return qrels


def fingerprint(qrels: Mapping[str, Mapping[str, int]]) -> str:
    """SHA-256 of judgements, the same for any order and format that they were read from."""
    digest = hashlib.sha256()
    for query in sorted(qrels):
        for passage, grade in sorted(qrels[query].items()):
            digest.update(f"{query} 0 {passage} {grade}\n".encode())
    return digest.hexdigest()


class Scattered(Exception):
    """Lines of a query stand in several places."""


def read_run(path: Path) -> Iterator[tuple[str, Ranking]]:
    """Yields each query's passages and scores, one query in memory at a time.

    Raises:
        DataError: for a line that is not of the form, a passage given twice, or a score that is no
            number.
        Scattered: when a query's lines do not stand together; `read_scattered_run` reads such files.
    """
    seen: set[str] = set()
    current: str | None = None
    ranking: Ranking = {}
    for number, query, passage, score in _results(path):
        if query != current:
            if current is not None:
                yield current, ranking
            if query in seen:
                raise Scattered
            seen.add(query)
            current, ranking = query, {}
        _add(ranking, path, number, query, passage, score)
    if current is not None:
        yield current, ranking


def read_scattered_run(path: Path) -> dict[str, Ranking]:
    """A run whose lines stand in any order, as a whole in memory; raises as `read_run` does."""
    run: dict[str, Ranking] = {}
    for number, query, passage, score in _results(path):
        _add(run.setdefault(query, {}), path, number, query, passage, score)
    return run


def _add(ranking: Ranking, path: Path, number: int, query: str, passage: str, score: float) -> None:
    if passage in ranking:
        raise DataError(f"{path}:{number}: passage {passage} twice for query {query}.")
    ranking[passage] = score


def _results(path: Path) -> Iterator[tuple[int, str, str, float]]:
    for number, fields in _fields(path):
        if len(fields) < 6 or not _NUMBER.fullmatch(fields[4]):
            shown = b" ".join(fields)[:200].decode("utf-8", "replace")
            raise DataError(
                f"{path}:{number}: not a line of a run: {shown!r}.",
                hint="Six fields: query id, Q0, passage id, rank, score, tag.",
            )
        query, passage = _id(fields[0], path, number), _id(fields[2], path, number)
        score = float(fields[4])
        if math.isnan(score):
            raise DataError(
                f"{path}:{number}: passage {passage} has the score NaN.",
                hint="Give it a number, or take the line out: a passage without a score has no rank.",
            )
        yield number, query, passage, score
