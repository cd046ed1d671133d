"""What a check found, in words for a user, and how it reaches the orchestrator: a line of JSON each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

#: ok: nothing to do. note: worth a look. refuse: the experiment cannot be what was meant, or cannot
#: run.
Status = Literal["ok", "note", "refuse"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the report.

    Example:
        Finding(check="empty texts", status="note", seen="3 of 512 passages", todo="Drop them.")
    """

    #: What was looked at.
    check: str
    status: Status
    #: What was seen, with its figures.
    seen: str
    #: The edit or command that mends it; None where nothing has to be done.
    todo: str | None = None
    #: Figures for programs, and for the orchestrator to reckon with.
    facts: Mapping[str, Any] = {}


class Answers:
    """Appends findings to a file as they come: those before a death are kept."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, section: str) -> None:
        """Says what is looked at next, so that a death has a place."""
        self._write({"section": section})

    def add(self, finding: Finding) -> None:
        """Writes a finding."""
        self._write(msgspec.to_builtins(finding))

    def _write(self, line: Any) -> None:
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line, allow_nan=False) + "\n")


def share(part: int, whole: int) -> str:
    """ "12 of 512 (2.3 %)"."""
    percent = 100 * part / whole if whole else 0.0
    return f"{part:,} of {whole:,} ({percent:.1f} %)"
