"""One life of a worker process, as whoever keeps it running sees it, and what begins one."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import Protocol

from quarry_runtime.errors import EXIT_STATUS

PROGRAM = (sys.executable, "-m", "quarry_runtime")
#: As src/python/environment.ts has it, and why: large blocks of memory stay with the worker.
_ALLOCATOR = ":".join(
    (
        "glibc.malloc.hugetlb=1",
        "glibc.malloc.mmap_threshold=1073741824",
        "glibc.malloc.trim_threshold=4294967296",
    )
)
#: Read when a process starts; a value of the user's own stays.
ALLOCATOR = {"GLIBC_TUNABLES": _ALLOCATOR}


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a life ended: its exit status, or minus a signal's number; and words after its name."""

    status: int
    how: str

    @classmethod
    def of(cls, status: int) -> Ending:
        """Of a process that was waited for."""
        if status < 0:
            return cls(status, f"was killed by signal {-status}")
        return cls(status, f"ended with status {status}")

    @classmethod
    def refused(cls, why: str | None) -> Ending:
        """No process or memory was to be had; later there may be."""
        return cls(EXIT_STATUS["WORKER"], f"could not be started ({why})")


class Life(Protocol):
    """A process that leads a session of its own."""

    #: None as long as it lasts.
    ending: Ending | None

    def ask(self) -> None:
        """SIGTERM; before it has begun, it never will."""
        ...


class Starter(Protocol):
    """A way to start workers; each gets the ticket as a line on a stdin of its own, whose end tells
    it that this process is gone. Their output goes where this process's own goes.
    """

    def start(self, argv: Sequence[str]) -> Life:
        """Begins a life with these arguments of quarry_runtime; one that cannot begin has ended."""
        ...

    def sources(self) -> list[int]:
        """Descriptors that become readable when there is news; SIGCHLD tells of all other."""
        ...

    def hear(self) -> None:
        """Brings the endings of all lives up to date; never waits."""
        ...

    def close(self) -> None:
        """SIGKILL for whatever is left, and what that forked."""
        ...
