"""Reads runs and judgements as trec_eval does, plain or packed with gzip; every fault has its file and line."""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path

from quarry_runtime.errors import DataError
from quarry_runtime.measuring.names import MAX_GRADE
from quarry_runtime.measuring.told import Hear

Ranking = dict[str, float]
_GRADE = re.compile(rb"[+-]?[0-9]{1,9}")
_NUMBER = re.compile(
    rb"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(inf|infinity|nan)", re.I
)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BufferedIOBase, Callable[[], int]]]:
    """A file's content, and how much of the file itself has been read, which is less where it is packed."""
    with path.open("rb") as raw:
        is_packed = raw.peek(2)[:2] == b"\x1f\x8b"
        with gzip.open(raw) if is_packed else raw as file:
            yield file, raw.tell


def _lines(path: Path, file: BufferedIOBase) -> Iterator[tuple[int, bytes]]:
    """Line numbers and lines, without a byte order mark."""
    number = 0
    try:
        first = file.readline()
        if first:
            number = 1
            yield number, first.removeprefix(b"\xef\xbb\xbf")
        for number, line in enumerate(file, 2):
            yield number, line
    except (EOFError, gzip.BadGzipFile, zlib.error) as fault:
        raise DataError(
            f"{path}:{number + 1}: the gzip file is cut short or damaged: {fault}."
        ) from None


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
    with _opened(path) as (file, _):
        return _judgements(path, file)


def _judgements(path: Path, file: BufferedIOBase) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = {}
    for number, line in _lines(path, file):
        # Bytes are split as trec_eval does: ids may hold other blanks.
        fields = line.split()
        if not fields:
            continue
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


def read_run(path: Path, hear: Hear | None = None) -> Iterator[tuple[str, Ranking]]:
    """Yields each query's passages and scores, one query in memory at a time.

    Raises:
        DataError: for a line that is not of the form, a passage given twice, or a score that is no
            number.
        Scattered: when a query's lines do not stand together; `read_scattered_run` reads such files.
    """
    seen: set[str] = set()

    def begin(query: str) -> Ranking:
        if query in seen:
            raise Scattered
        seen.add(query)
        return {}

    return _read_run(path, begin, hear)


def read_scattered_run(path: Path, hear: Hear | None = None) -> dict[str, Ranking]:
    """A run whose lines stand in any order, as a whole in memory; raises as `read_run` does."""
    run: dict[str, Ranking] = {}
    deque(_read_run(path, lambda query: run.setdefault(query, {}), hear), maxlen=0)
    return run


def _read_run(
    path: Path, begin: Callable[[str], Ranking], hear: Hear | None
) -> Iterator[tuple[str, Ranking]]:
    """Adds lines to what `begin` gives for their query, and yields that where the next query comes.

    Runs have millions of lines: a query is decoded once, and nothing is called for each line.
    """
    with _opened(path) as (file, position):
        yield from _rankings(path, file, begin, None if hear is None else lambda: hear(position()))


def _rankings(
    path: Path,
    file: BufferedIOBase,
    begin: Callable[[str], Ranking],
    on_query: Callable[[], None] | None,
) -> Iterator[tuple[str, Ranking]]:
    raw, query = b"", ""
    ranking: Ranking = {}
    for number, line in _lines(path, file):
        fields = line.split()
        if not fields:
            continue
        try:
            score = float(fields[4])
            passage = fields[2].decode()
        except (IndexError, ValueError):
            _refuse(path, number, fields)
            raise
        # Python takes 1_000 for a number.
        if len(fields) < 6 or b"_" in fields[4] or score != score:
            _refuse(path, number, fields)
        if fields[0] != raw:
            if raw:
                yield query, ranking
            raw, query = fields[0], _id(fields[0], path, number)
            ranking = begin(query)
            if on_query is not None:
                on_query()
        if passage in ranking:
            raise DataError(f"{path}:{number}: passage {passage} twice for query {query}.")
        ranking[passage] = score
    if raw:
        yield query, ranking


def _refuse(path: Path, number: int, fields: list[bytes]) -> None:
    if len(fields) < 6 or not _NUMBER.fullmatch(fields[4]):
        shown = b" ".join(fields)[:200].decode("utf-8", "replace")
        raise DataError(
            f"{path}:{number}: not a line of a run: {shown!r}.",
            hint="Six fields: query id, Q0, passage id, rank, score, tag.",
        )
    passage = _id(fields[2], path, number)
    raise DataError(
        f"{path}:{number}: passage {passage} has the score NaN.",
        hint="Give it a number, or take the line out: a passage without a score has no rank.",
    )
