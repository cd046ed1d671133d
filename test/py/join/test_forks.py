"""Workers as forks of one process: what that process's own troubles mean to them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Start = Callable[..., Any]
IsGone = Callable[[int], bool]
pytestmark = pytest.mark.parametrize("way", ["forks"], indirect=True)

LASTING = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
os.write(1, f"worker {sys.argv[1]} {os.getpid()} {sys.stdin.readline().strip()}\\n".encode())
# A signal that comes just before a sleep is heard after it.
for _ in range(600): time.sleep(0.1)
"""
#: Imports that do not end before the test does; they tell who makes them.
SLOW = """
from quarry_runtime import fork_server
def import_slowly(modules):
    import os, time
    os.write(1, f"imports - {os.getpid()} the-ticket\\n".encode())
    time.sleep(600)
fork_server.preload = import_slowly
"""
#: Every second process is one too many, as under a limit on their number.
SCARCE = """
import errno, itertools, os
fork, numbers = os.fork, itertools.count()
def scarce():
    if next(numbers) % 2 == 0:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
    return fork()
os.fork = scarce
"""


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_all_workers_have_one_parent_that_is_not_their_supervisor(start: Start) -> None:
    with start(LASTING, 3) as process:
        parents = {parent_of(process.pid_of_next()) for _ in range(3)}
        assert len(parents) == 1
        assert process.pid not in parents
        process.terminate()
        process.communicate(timeout=100)
        assert process.returncode == 143


def test_when_it_is_killed_its_workers_end_and_come_again(start: Start, is_gone: IsGone) -> None:
    with start(LASTING, 2) as process:
        before = [process.pid_of_next(), process.pid_of_next()]
        os.kill(parent_of(before[0]), signal.SIGKILL)
        after = [process.pid_of_next(), process.pid_of_next()]
        assert all(is_gone(pid) for pid in before)
        process.terminate()
        _, told = process.communicate(timeout=100)
        assert process.returncode == 143
        assert all(is_gone(pid) for pid in after)
    why = "lost the process that it was forked from, which was killed by signal 9"
    assert f"worker 0 {why}; start 1 of 3 follows" in told
    assert f"worker 1 {why}; start 1 of 3 follows" in told


def test_when_it_is_killed_while_it_imports_it_is_started_again(start: Start) -> None:
    with start(LASTING, 2, before=SLOW) as process:
        first = process.pid_of_next()
        os.kill(first, signal.SIGKILL)
        assert process.pid_of_next() != first
        process.terminate()
        _, told = process.communicate(timeout=100)
        assert process.returncode == 143
    assert told.count("which was killed by signal 9; start 1 of 3 follows") == 2


def test_when_it_dies_each_time_its_workers_are_given_up(start: Start) -> None:
    with start("import os, signal; os.kill(os.getppid(), signal.SIGKILL)") as process:
        _, told = process.communicate(timeout=100)
        assert process.returncode == 5
    assert told.count("start") == 4
    assert "which was killed by signal 9; it is not started again" in told


def test_a_fork_that_the_system_refuses_is_tried_again(start: Start) -> None:
    with start(LASTING, 2, before=SCARCE) as process:
        first, second = process.pid_of_next(), process.pid_of_next()
        assert parent_of(first) == parent_of(second)
        process.terminate()
        _, told = process.communicate(timeout=100)
        assert process.returncode == 143
    assert "could not be started (Resource temporarily unavailable); start 1 of 3 follows" in told


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_it_ends_with_its_supervisor_while_it_imports(
    start: Start, is_gone: IsGone, number: int, status: int
) -> None:
    with start(LASTING, 2, before=SLOW) as process:
        importing = process.pid_of_next()
        process.send_signal(number)
        out, _ = process.communicate(timeout=100)
        assert (process.returncode, out) == (status, "")
        assert is_gone(importing)


def test_a_signal_to_every_process_of_a_job_lets_workers_finish(start: Start) -> None:
    # Slurm and systemd send it so; a worker takes its time after it.
    once = (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN), time.sleep(0.5), print('done'), sys.exit(0)"
    )
    finishing = LASTING.replace("os._exit(0)", f"({once})")
    with start(finishing) as process:
        pid = process.pid_of_next()
        for receiver in (parent_of(pid), pid, process.pid):
            os.kill(receiver, signal.SIGTERM)
        out, told = process.communicate(timeout=100)
        assert (process.returncode, out) == (143, "done\n")
        assert "lost" not in told
