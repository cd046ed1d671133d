"""What keeps torchrun on another machine: the ticket that a kill leaves goes with the next start, no living one's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from quarry_runtime.ticket import Ticket

RUNTIME = Path(__file__).parents[3] / "py_runtime"
COMMAND = [sys.executable, "-m", "quarry_runtime", "launch", "--ticket", "-", "--with-parent"]
COMMAND += ["--ranks", "1", "--max-restarts", "0", "--threads", "1", "--device", "cpu"]


def start(temporary: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(RUNTIME), "TMPDIR": str(temporary)}
    return subprocess.Popen(COMMAND, stdin=subprocess.PIPE, env=environment)


def until(is_true: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if is_true():
            return
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def test_a_ticket_that_a_kill_left_is_removed_by_the_next_start(tmp_path: Path) -> None:
    ticket = Ticket("ipc:///nowhere/s", "token").line().encode() + b"\n"
    killed = start(tmp_path)
    assert killed.stdin is not None
    killed.stdin.write(ticket)
    killed.stdin.flush()
    until(lambda: any(path.stat().st_size for path in tmp_path.glob("quarry-node-*/ticket")))
    # Its rank, which nobody answers, would end it after a while.
    killed.send_signal(signal.SIGSTOP)
    [left] = tmp_path.glob("quarry-node-*")
    young = tmp_path / "quarry-node-young"
    young.mkdir()
    os.utime(left, (0, 0))

    def start_another() -> None:
        with start(tmp_path) as other:
            # Without a ticket it starts nothing.
            assert other.stdin is not None
            other.stdin.close()
            assert other.wait(100) == 4

    start_another()
    assert sorted(tmp_path.glob("quarry-node-*")) == sorted([left, young])
    killed.kill()
    killed.wait()
    os.utime(left, (0, 0))
    start_another()
    assert list(tmp_path.glob("quarry-node-*")) == [young]
