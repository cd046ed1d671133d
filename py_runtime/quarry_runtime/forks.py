"""Starts workers as forks of one process that has made their imports (see fork_server.py)."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from itertools import count
from typing import Any

from quarry_runtime.life import ALLOCATOR, PROGRAM, Ending

#: Elsewhere libraries (macOS's own above all) do not survive a fork after they are loaded.
CAN_FORK = sys.platform == "linux"
#: One that waits for a dead disk ends when the system lets it; nobody here may wait with it.
_END_SECONDS = 1.0


class Forks:
    """A Starter (see life.py).

    The process that forks is a child, not this process itself: while libraries are mapped from a
    slow disk nothing else runs, and whoever keeps workers must hear signals and the end of stdin.
    It is started with the first fork, and again with the first one after its death.

    Args:
        line: The ticket.
        threads: Of each worker: libraries read the number when they are imported.
        program: What runs a verb.
    """

    def __init__(self, line: str, threads: int, program: Sequence[str] = PROGRAM) -> None:
        self._line = line
        self._threads = str(threads)
        self._program = program
        self._server: _Server | None = None
        self._numbers = count()
        self._asked: dict[int, _Fork] = {}
        self._made: dict[int, _Fork] = {}

    def start(self, argv: Sequence[str]) -> _Fork:
        fork = _Fork()
        try:
            self._server = self._server or _Server(self._program, self._threads)
        except OSError as error:
            fork.ending = Ending.refused(error.strerror)
            return fork
        number = next(self._numbers)
        self._asked[number] = fork
        self._server.say({"fork": number, "argv": [*argv]})
        return fork

    def sources(self) -> list[int]:
        return [] if self._server is None else [self._server.answers]

    def hear(self) -> None:
        if self._server is None:
            return
        for answer in self._server.hear():
            self._take(self._server, answer)
        if self._server.ending is not None:
            self._lost(f"lost the process that it was forked from, which {self._server.ending.how}")

    def close(self) -> None:
        if self._server is not None:
            self._server.kill()
            self._lost("lost the process that it was forked from")

    def _take(self, server: _Server, answer: dict[str, Any]) -> None:
        if "forked" in answer:
            fork, pid = self._asked.pop(answer["forked"]), answer["pid"]
            self._made[pid] = fork
            fork.pid = pid
            if fork.ending is None:
                server.say({"go": pid, "stdin": self._line})
            else:
                fork.kill()
        elif "refused" in answer:
            self._asked.pop(answer["refused"]).over(Ending.refused(answer["why"]))
        else:
            self._made.pop(answer["ended"]).over(Ending.of(answer["status"]))

    def _lost(self, how: str) -> None:
        """Forks end with their server; what they forked does not."""
        self._server = None
        for fork in (*self._asked.values(), *self._made.values()):
            fork.kill()
            fork.over(Ending(-signal.SIGKILL, how))
        self._asked.clear()
        self._made.clear()


class _Fork:
    """Asked for, and made once it has a `pid`."""

    def __init__(self) -> None:
        self.ending: Ending | None = None
        self.pid: int | None = None

    def over(self, ending: Ending) -> None:
        self.ending = self.ending or ending

    def ask(self) -> None:
        if self.pid is None:
            self.over(Ending(-signal.SIGTERM, "was given up before it began"))
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        if self.pid is None:
            return
        # A moment after it was made it does not lead its session yet.
        for send in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError):
                send(self.pid, signal.SIGKILL)


class _Server:
    """The process that forks; its own descriptors are those that the forks get.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, program: Sequence[str], threads: str) -> None:
        self.ending: Ending | None = None
        self._rest = b""
        self.answers, theirs = os.pipe()
        try:
            self._process = subprocess.Popen(
                [*program, "fork-server", "--answers", str(theirs)],
                stdin=subprocess.PIPE,
                pass_fds=[theirs],
                start_new_session=True,
                env={
                    **ALLOCATOR,
                    **os.environ,
                    "OMP_NUM_THREADS": threads,
                    "MKL_NUM_THREADS": threads,
                },
            )
        except OSError:
            os.close(self.answers)
            raise
        finally:
            os.close(theirs)
        os.set_blocking(self.answers, False)

    def say(self, request: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        # Its death is told by the end of its answers.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()

    def hear(self) -> list[dict[str, Any]]:
        """What it has answered since; after its end it has an `ending`."""
        lines: list[bytes] = []
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.answers, 65_536):
                *whole, self._rest = (self._rest + data).split(b"\n")
                lines += whole
            self.kill()
        return [json.loads(line) for line in lines]

    def kill(self) -> None:
        """Its forks follow."""
        self._process.kill()
        self.ending = Ending(-signal.SIGKILL, "does not end")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.ending = Ending.of(self._process.wait(timeout=_END_SECONDS))
        os.close(self.answers)
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
