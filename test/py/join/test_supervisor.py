"""The supervisor: a dead worker is started again, a bounded number of times; all end with it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Start = Callable[..., Any]
IsGone = Callable[[int], bool]
# Says its pid and the ticket, then ends when it is asked to.
LASTING = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
line = sys.stdin.readline().strip()
# In one piece: two workers share this pipe, and print may write word by word.
os.write(1, f"worker {sys.argv[1]} {os.getpid()} {line}\\n".encode())
# A signal that comes just before a sleep is heard after it.
for _ in range(600): time.sleep(0.1)
"""


def test_a_worker_that_dies_is_started_again_three_times(start: Start) -> None:
    with start("import os, signal; os.kill(os.getpid(), signal.SIGKILL)") as process:
        _, told = process.communicate(timeout=100)
        assert process.returncode == 5
    assert told.count("follows") == 3
    assert "was killed by signal 9; it is not started again" in told


def test_a_worker_that_is_done_or_misled_is_not_started_again(start: Start) -> None:
    for status in (0, 2, 4, 7, 130):
        with start(f"import sys; sys.exit({status})", 2) as process:
            _, told = process.communicate(timeout=100)
            assert (process.returncode, told) == (status, "")


def test_a_worker_that_cannot_be_started_is_tried_again_three_times(start: Start) -> None:
    with start("", 2, program=["/dev/null/none"]) as process:
        _, told = process.communicate(timeout=100)
        assert process.returncode == 5
    assert told.count("worker 1 could not be started (Not a directory); start") == 3
    assert "worker 0 could not be started (Not a directory); it is not started again" in told


def test_the_other_workers_go_on_when_one_is_given_up(start: Start) -> None:
    worker = "import sys, time\nif sys.argv[1] == '0': sys.exit(2)\nprint('went on', flush=True)\n"
    with start(worker + "time.sleep(0.3)", 2) as process:
        out, _ = process.communicate(timeout=100)
        assert (process.returncode, out) == (2, "went on\n")


def test_the_first_signal_asks_and_the_status_names_it(start: Start, is_gone: IsGone) -> None:
    for number, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)):
        with start(LASTING, 2) as process:
            pids = [process.pid_of_next(), process.pid_of_next()]
            process.send_signal(number)
            _, told = process.communicate(timeout=100)
            assert process.returncode == status
            assert "leaving when the work in hand is done" in told
            assert all(is_gone(pid) for pid in pids)


# What a worker forked goes with it.
STUBBORN = LASTING.replace("lambda *_: os._exit(0)", "signal.SIG_IGN")
STUBBORN = STUBBORN.replace("os.write", "os.fork()\nos.write")


def test_the_second_signal_kills(start: Start, is_gone: IsGone) -> None:
    with start(STUBBORN, same_signal=0) as process:
        pids = [process.pid_of_next(), process.pid_of_next()]
        process.send_signal(signal.SIGTERM)
        assert "leaving when" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=100)
        assert process.returncode == 143
        assert all(is_gone(pid) for pid in pids)


def test_an_echo_of_the_first_signal_kills_nobody_but_ctrl_c_does(
    start: Start, is_gone: IsGone
) -> None:
    with start(STUBBORN, same_signal=600) as process:
        pids = [process.pid_of_next(), process.pid_of_next()]
        process.send_signal(signal.SIGTERM)
        assert "leaving when" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert process.poll() is None
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=100)
        assert process.returncode == 143
        assert all(is_gone(pid) for pid in pids)


def test_no_worker_outlives_a_supervisor_that_is_killed(start: Start, is_gone: IsGone) -> None:
    worker = "from quarry_runtime.guard.parent import tie_to_parent\n"
    worker += LASTING.replace("for _", "tie_to_parent()\nfor _")
    with start(worker) as process:
        pid = process.pid_of_next()
        process.kill()
        process.wait()
        assert is_gone(pid)
        # The worker's stderr was this pipe's other end.
        process.communicate(timeout=100)


def test_a_worker_leads_a_session_so_that_ctrl_c_reaches_its_supervisor_alone(start: Start) -> None:
    with start(LASTING) as process:
        pid = process.pid_of_next()
        assert os.getsid(pid) == pid
        process.terminate()
        process.communicate(timeout=100)


def test_the_ticket_shows_in_no_argument_and_no_variable(start: Start) -> None:
    with start(LASTING) as process:
        pid = process.pid_of_next()
        parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
        for seen in (pid, parent):
            for entry in ("cmdline", "environ"):
                assert b"the-ticket" not in Path(f"/proc/{seen}/{entry}").read_bytes()
        process.terminate()
        process.communicate(timeout=100)


def test_workers_write_where_their_supervisor_writes(start: Start) -> None:
    with start("import sys; print('out'); print('err', file=sys.stderr)") as process:
        assert process.communicate(timeout=100) == ("out\n", "err\n")


def test_workers_keep_large_blocks_of_memory_unless_the_user_says_otherwise(
    start: Start, monkeypatch: Any
) -> None:
    worker = 'import os; print(os.environ["GLIBC_TUNABLES"])'
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    assert "glibc.malloc.mmap_threshold=" in start(worker).communicate(timeout=100)[0]
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=1")
    assert start(worker).communicate(timeout=100)[0] == "glibc.malloc.check=1\n"
