"""Starts workers as interpreters of their own: a single one, or where a fork does not survive."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence

from quarry_runtime.life import ALLOCATOR, PROGRAM, Ending


class Interpreters:
    """A Starter (see life.py).

    Args:
        line: The ticket.
        program: What runs a verb.
    """

    def __init__(self, line: str, program: Sequence[str] = PROGRAM) -> None:
        self._line = line.encode() + b"\n"
        self._program = program
        self._lives: list[_Interpreter] = []

    def start(self, argv: Sequence[str]) -> _Interpreter:
        life = _Interpreter([*self._program, *argv], self._line)
        self._lives.append(life)
        return life

    def sources(self) -> list[int]:
        return []

    def hear(self) -> None:
        for life in self._lives:
            life.look()
        self._lives = [life for life in self._lives if life.ending is None]

    def close(self) -> None:
        for life in self._lives:
            life.kill()


class _Interpreter:
    def __init__(self, command: list[str], line: bytes) -> None:
        self.ending: Ending | None = None
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                # Ctrl-C in a terminal reaches the supervisor alone.
                start_new_session=True,
                env={**ALLOCATOR, **os.environ},
            )
        except OSError as error:
            self.ending = Ending.refused(error.strerror)
            return
        assert self._process.stdin is not None
        # A worker that died at once is told by its status.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def look(self) -> None:
        status = None if self._process is None else self._process.poll()
        if self._process is None or status is None:
            return
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        self.ending = Ending.of(status)

    def ask(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        if self._process is not None and self.ending is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
