"""A process tied to its parent does not outlive it, whichever way the parent goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RUNTIME = Path(__file__).parents[3] / "py_runtime"
CHILD = """
import os, time
from quarry_runtime.guard.parent import tie_to_parent
tie_to_parent()
print(os.getpid(), flush=True)
time.sleep(600)
"""
# Starts the child with a stdin that stays open, says its id, and waits to be killed.
PARENT = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}], stdin={{stdin}}, stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(600)
"""
# Waits for the answer of a command, which reads from the pipe that is the first argument.
CALLER = """
import subprocess, sys
measure = [sys.executable, "-m", "quarry_runtime", "measure", "--run", sys.argv[1], "--qrels"]
measure += [sys.argv[1], "--measures", "AP", "--out", sys.argv[1] + ".json"]
child = subprocess.Popen(measure, stdin=subprocess.DEVNULL)
print(child.pid, flush=True)
child.wait()
"""
# Has the child made by a fork server, which lives as long as one of them needs it.
ASKER = f"""
import multiprocessing, time
child = multiprocessing.get_context("forkserver").Process(target=exec, args=[{CHILD!r}])
child.start()
time.sleep(600)
"""


def start(code: str, *args: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(RUNTIME)}
    return subprocess.Popen(
        [sys.executable, "-c", code, *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )


def is_gone(pid: int) -> bool:
    for _ in range(2_000):
        try:
            os.kill(pid, 0)
            if "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]:
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False


def test_it_leaves_when_its_stdin_ends() -> None:
    with start(CHILD) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(100) == 130


@pytest.mark.skipif(sys.platform != "linux", reason="PDEATHSIG is Linux's")
def test_it_dies_with_a_killed_parent_even_when_stdin_says_nothing() -> None:
    with start(PARENT.format(stdin="subprocess.DEVNULL")) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert is_gone(pid)


def test_dev_null_as_stdin_is_no_lifeline() -> None:
    code = CHILD.replace("time.sleep(600)", "time.sleep(0.3)")
    environment = {**os.environ, "PYTHONPATH": str(RUNTIME)}
    done = subprocess.run(
        [sys.executable, "-c", code], stdin=subprocess.DEVNULL, env=environment, check=False
    )
    assert done.returncode == 0


def test_a_fork_of_a_fork_server_dies_with_whoever_asked_for_it_although_the_server_lives() -> None:
    with start(ASKER) as asker:
        assert asker.stdout is not None
        pid = int(asker.stdout.readline())
        stat = Path(f"/proc/{pid}/stat").read_text()
        assert int(stat.rpartition(")")[2].split()[1]) != asker.pid
        asker.send_signal(signal.SIGKILL)
        asker.wait()
        assert is_gone(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="PDEATHSIG is Linux's")
def test_a_command_does_not_outlive_whoever_waits_for_its_answer(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with start(CALLER, str(pipe)) as caller:
        assert caller.stdout is not None
        pid = int(caller.stdout.readline())
        # Opens once the command does: it is at work.
        with pipe.open("wb"):
            caller.send_signal(signal.SIGKILL)
            caller.wait()
            assert is_gone(pid)
