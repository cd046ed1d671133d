"""Ids in a file that is one JSON list of strings, read one by one: of a large corpus the list is gigabytes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from quarry_runtime.errors import DataError

_BLOCK_CHARS = 1 << 20
_BLANKS = re.compile(r"[ \t\r\n]*")
# An escape that is cut by the end of a block is no fault yet: the longest one is that of a surrogate pair.
_LONGEST_ESCAPE = len(r"\ud83e\udea8")


def read_ids(path: Path, block_chars: int = _BLOCK_CHARS) -> Iterator[str]:
    """Yields the ids in order; memory holds a block of the file, whatever its length.

    Raises:
        DataError: a file that is no JSON, or no list of strings.
    """
    try:
        with path.open(encoding="utf-8") as file:
            yield from _Reader(file, block_chars).ids()
    except _NoList:
        raise DataError(f"{path} is no list of ids, each a string.") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is no JSON file: {error}") from error


class _NoList(Exception):
    """JSON of another kind."""


class _Reader:
    def __init__(self, file: TextIO, block_chars: int) -> None:
        self._file = file
        self._block_chars = block_chars
        self._text = ""
        self._at = 0
        self._decoder = json.JSONDecoder()

    def ids(self) -> Iterator[str]:
        if self._next() != "[":
            raise _NoList
        self._at += 1
        if self._next() == "]":
            self._at += 1
        else:
            yield self._id()
            while self._next() != "]":
                if self._text[self._at] != ",":
                    raise ValueError("a comma or the end of the list is missing")
                self._at += 1
                yield self._id()
            self._at += 1
        if self._next(is_end=True):
            raise ValueError("something stands behind the list")

    def _next(self, *, is_end: bool = False) -> str:
        """The next character that is no blank, which is left where it stands; "" at the end of the file."""
        while True:
            match = _BLANKS.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                if is_end:
                    return ""
                raise ValueError("it ends too early")

    def _id(self) -> str:
        if self._next() != '"':
            raise _NoList
        while True:
            try:
                found, self._at = self._decoder.raw_decode(self._text, self._at)
                return found
            except json.JSONDecodeError as error:
                is_cut = error.msg.startswith("Unterminated")
                if not is_cut and error.pos < len(self._text) - _LONGEST_ESCAPE:
                    raise
                if not self._more():
                    raise

    def _more(self) -> bool:
        block = self._file.read(self._block_chars)
        self._text = self._text[self._at :] + block
        self._at = 0
        return block != ""
