"""How far a long computation is, as lines on stderr for the process that started this one."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

#: Seconds between two lines: a person sees no more of them.
_PACE = 0.2

Hear = Callable[[int], None]
"""Hears how many bytes of a file have been read."""


class Told:
    """Writes `PROGRESS {"what", "done", "total"}`; mirrored by src/pipeline/runtime-command.ts.

    Example:
        told = Told()
        for number, run in enumerate(runs):
            told("testing", number, len(runs))
    """

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Says how much of the total is done, unless that was said just now."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _PACE
        line = json.dumps({"what": what, "done": done, "total": total})
        print(f"PROGRESS {line}", file=sys.stderr, flush=True)

    def reading(self, what: str, path: Path) -> Hear:
        """What is told while a file is read."""
        # One that cannot be read is told by who reads it.
        total = path.stat().st_size if path.is_file() else 0
        return lambda done: self(what, done, total)


class Silent(Told):
    """Says nothing."""

    def __call__(self, what: str, done: int, total: int) -> None:
        """Nothing."""
