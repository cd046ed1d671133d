"""Supervisors of tiny workers: real processes, in either way that they are started."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

RUNTIME = Path(__file__).parents[3] / "py_runtime"
SUPERVISOR = """
import sys, quarry_runtime.forks as forks, quarry_runtime.supervisor as supervisor
from quarry_runtime.forks import Forks
from quarry_runtime.interpreters import Interpreters
from quarry_runtime.places import Place
supervisor._FIRST_PAUSE_SECONDS = 0.05
# How it was killed is told, however long a busy machine takes to end it.
forks._END_SECONDS = 60
_, way, count, same_signal, *program = sys.argv
supervisor._SAME_SIGNAL_SECONDS = float(same_signal)
# Not as it is written in arguments, where it is looked for.
line = "-".join(["the", "ticket"])
starter = Forks(line, 1, program) if way == "forks" else Interpreters(line, program)
places = [Place(index, "cpu", 1) for index in range(int(count))]
sys.exit(supervisor.Supervisor(starter, lambda place: ["verb", str(place.index)], places).run())
"""
# quarry_runtime with one more verb, the worker of a test.
PROGRAM = """
import sys, types
import quarry_runtime.__main__ as runtime
def main(argv):
    sys.argv = ["verb", *argv]
    try:
        exec({worker!r}, {{"__name__": "verb"}})
    except SystemExit as end:
        return end.code
    return 0
verb = sys.modules["verb"] = types.ModuleType("verb")
verb.main, runtime.VERBS["verb"] = main, "verb"
{before}
sys.exit(runtime.main(sys.argv[1:]))
"""


class Supervised(subprocess.Popen[str]):
    """A supervisor; `program` runs its workers."""

    def __init__(self, way: str, count: int, same_signal: float, program: list[str]) -> None:
        super().__init__(
            [sys.executable, "-c", SUPERVISOR, way, str(count), str(same_signal), *program],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(RUNTIME)},
        )

    def pid_of_next(self) -> int:
        """Of a worker that says `worker <index> <pid> <its line of stdin>`."""
        assert self.stdout is not None
        _, _, pid, ticket = self.stdout.readline().split()
        assert ticket == "the-ticket"
        return int(pid)


Start = Callable[..., Supervised]


@pytest.fixture(
    params=[
        "interpreters",
        pytest.param(
            "forks", marks=pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
        ),
    ]
)
def way(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def start(way: str) -> Iterator[Start]:
    made: list[Supervised] = []

    def begin(
        worker: str,
        count: int = 1,
        *,
        before: str = "",
        program: list[str] | None = None,
        same_signal: float = 1.0,
    ) -> Supervised:
        """`before` is code that the process runs first which runs, or forks, the workers.

        So many seconds after a signal another one counts as its echo.
        """
        code = PROGRAM.format(worker=worker, before=before)
        made.append(Supervised(way, count, same_signal, program or [sys.executable, "-c", code]))
        return made[-1]

    yield begin
    for process in made:
        process.kill()
        process.communicate()


@pytest.fixture
def is_gone() -> Callable[[int], bool]:
    """Whether a process ends, or has ended."""

    def ends(pid: int) -> bool:
        end = time.monotonic() + 100
        while is_alive(pid) and time.monotonic() < end:
            time.sleep(0.02)
        return not is_alive(pid)

    return ends


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
