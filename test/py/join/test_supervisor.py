"""The supervisor: a dead worker is started again, a bounded number of times; all end with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

RUNTIME = Path(__file__).parents[3] / "py_runtime"
SUPERVISOR = """
import sys, quarry_runtime.supervisor as supervisor
from quarry_runtime.places import Place
supervisor._FIRST_PAUSE_SECONDS = 0.05
command = lambda place: [sys.executable, "-c", sys.argv[1], str(place.index)]
places = [Place(index, "cpu", 1) for index in range(int(sys.argv[2]))]
sys.exit(supervisor.Supervisor("the-ticket", command, places).run())
"""
# Says its pid and the ticket, then ends when it is asked to.
LASTING = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
# In one piece: two workers share this pipe, and print may write word by word.
os.write(1, f"worker {sys.argv[1]} {os.getpid()} {sys.stdin.readline().strip()}\\n".encode())
time.sleep(60)
"""


def start(worker: str, count: int = 1) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, worker, str(count)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(RUNTIME)},
    )


def pid_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    _, _, pid, ticket = process.stdout.readline().split()
    assert ticket == "the-ticket"
    return int(pid)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def is_gone(pid: int) -> bool:
    end = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not is_alive(pid)


def test_a_worker_that_dies_is_started_again_three_times() -> None:
    with start("import os, signal; os.kill(os.getpid(), signal.SIGKILL)") as process:
        _, told = process.communicate(timeout=60)
        assert process.returncode == 5
    assert told.count("follows") == 3
    assert "was killed by signal 9; it is not started again" in told


def test_a_worker_that_is_done_or_misled_is_not_started_again() -> None:
    for status in (0, 2, 4, 7, 130):
        with start(f"import sys; sys.exit({status})", 2) as process:
            _, told = process.communicate(timeout=60)
            assert (process.returncode, told) == (status, "")


def test_the_other_workers_go_on_when_one_is_given_up() -> None:
    worker = "import sys, time\nif sys.argv[1] == '0': sys.exit(2)\nprint('went on', flush=True)\n"
    with start(worker + "time.sleep(0.3)", 2) as process:
        out, _ = process.communicate(timeout=60)
        assert (process.returncode, out) == (2, "went on\n")


def test_the_first_signal_asks_and_the_status_names_it() -> None:
    for number, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)):
        with start(LASTING, 2) as process:
            pids = [pid_of(process), pid_of(process)]
            process.send_signal(number)
            _, told = process.communicate(timeout=60)
            assert process.returncode == status
            assert "leaving when the work in hand is done" in told
            assert all(is_gone(pid) for pid in pids)


def test_the_second_signal_kills_but_an_echo_of_the_first_does_not() -> None:
    stubborn = LASTING.replace("lambda *_: os._exit(0)", "signal.SIG_IGN")
    with start(stubborn) as process:
        pid = pid_of(process)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert is_alive(pid)
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 143
        assert is_gone(pid)


def test_no_worker_outlives_a_supervisor_that_is_killed() -> None:
    worker = "from quarry_runtime.guard.parent import tie_to_parent\n"
    worker += LASTING.replace("time.sleep(60)", "tie_to_parent()\ntime.sleep(60)")
    with start(worker) as process:
        pid = pid_of(process)
        process.kill()
        process.wait()
        assert is_gone(pid)
        # The worker's stderr was this pipe's other end.
        process.communicate(timeout=60)


def test_the_ticket_shows_in_no_argument_and_no_variable() -> None:
    with start(LASTING) as process:
        pid = pid_of(process)
        for entry in ("cmdline", "environ"):
            assert b"the-ticket" not in Path(f"/proc/{pid}/{entry}").read_bytes()
        process.terminate()
        process.communicate(timeout=60)


def test_workers_keep_large_blocks_of_memory():
    process = start('import os; print(os.environ["GLIBC_TUNABLES"])')
    out, _ = process.communicate(timeout=30)
    assert "glibc.malloc.mmap_threshold=" in out
