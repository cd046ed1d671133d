"""Forks of the fork server are processes of their own, and end with whoever keeps them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks are used on Linux only")

RUNTIME = str(Path(__file__).parents[3] / "py_runtime")


_BEGIN = """
import sys
from quarry_runtime.__main__ import main
sys.exit(main(["fork-server"]))
"""
#: Without the imports that workers share: seconds, and nothing to how processes come and go.
_BARE = """
from quarry_runtime import preload
preload.WORKER = ()
"""
#: Every second process is one too many, as under a limit on their number.
_SCARCE = """
import errno, itertools, os
fork, count = os.fork, itertools.count()
def scarce():
    if next(count) % 2:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
    return fork()
os.fork = scarce
"""


class Server:
    """A fork server with this process in the orchestrator's place."""

    def __init__(self, folder: Path, before: str = _BARE) -> None:
        """`before` is code that the server's process runs first."""
        self.folder = folder
        mine, theirs = os.pipe()
        # As execa hands it over: the life line is descriptor 3.
        command = [sys.executable, "-c", f"{before}\n{_BEGIN}"]
        code = f"import os; os.dup2({mine}, 3); os.execv({sys.executable!r}, {command!r})"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[mine],
            env={**os.environ, "PYTHONPATH": RUNTIME},
        )
        os.close(mine)
        self.life_line = theirs

    def say(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def request(self, number: int, *argv: str, log: str = "fork.log") -> dict[str, Any]:
        return {
            "fork": number,
            "argv": argv,
            "output": str(self.folder / log),
            "cwd": str(self.folder),
            "env": {"QUARRY_TEST": "yes"},
        }

    def fork(self, number: int, *argv: str, log: str = "fork.log") -> int:
        self.say(self.request(number, *argv, log=log))
        told = self.hear()
        assert told["forked"] == number
        return told["pid"]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
        os.close(self.life_line)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("forks"), before="")
    yield server
    server.close()


def waiting_worker(server: Server, number: int) -> int:
    """A worker whose orchestrator does not answer, so that it stays."""
    ticket = server.folder / "ticket.json"
    ticket.write_text(json.dumps({"endpoint": f"ipc://{server.folder}/none", "token": "t" * 32}))
    ticket.chmod(0o600)
    pid = server.fork(number, "worker", "--ticket", str(ticket), "--name", "worker-7")
    server.say({"go": pid})
    return pid


def test_a_fork_waits_for_its_go_then_writes_into_its_own_log_and_its_end_is_told(
    shared: Server,
) -> None:
    first, second = shared.fork(1, "nonsense"), shared.fork(2, "nonsense", log="other.log")
    shared.say({"go": second})
    assert shared.hear() == {"ended": second, "status": 2}
    assert "usage: python -m quarry_runtime" in (shared.folder / "other.log").read_text()
    # The other one still waits: neither's gate is held open or opened by the other. Nobody tells when it
    # has come so far as to open its log.
    assert holds((shared.folder / "fork.log").exists)
    assert (shared.folder / "fork.log").read_text() == ""
    shared.say({"go": first})
    assert shared.hear() == {"ended": first, "status": 2}


def test_a_worker_is_a_process_of_its_own_with_a_session_a_folder_and_a_name(
    shared: Server,
) -> None:
    pid = waiting_worker(shared, 3)
    assert holds(lambda: Path(f"/proc/{pid}/comm").read_text() == "quarry-worker-7\n")
    assert os.getsid(pid) == pid
    assert Path(f"/proc/{pid}/cwd").resolve() == shared.folder.resolve()
    os.kill(pid, signal.SIGKILL)
    assert shared.hear() == {"ended": pid, "status": -signal.SIGKILL}


def test_a_fork_leaves_when_the_life_line_ends_and_the_server_when_its_stdin_does(
    tmp_path: Path,
) -> None:
    server = Server(tmp_path)
    try:
        pid = waiting_worker(server, 1)
        os.close(server.life_line)
        assert server.hear() == {"ended": pid, "status": 130}
        assert "its stdin ended" in (tmp_path / "fork.log").read_text()
        assert server.process.stdin is not None
        server.process.stdin.close()
        assert server.process.wait(100) == 0
    finally:
        server.life_line = os.open(os.devnull, os.O_RDONLY)
        server.close()


def test_forks_end_with_a_killed_server(tmp_path: Path) -> None:
    server = Server(tmp_path)
    try:
        started, waiting = waiting_worker(server, 1), server.fork(2, "nonsense", log="other.log")
        # The fork is told before it has opened its log.
        assert holds((tmp_path / "other.log").exists)
        server.process.kill()
        assert holds(lambda: is_gone(started) and is_gone(waiting))
        # One that was never told to go has not begun.
        assert "usage" not in (tmp_path / "other.log").read_text()
    finally:
        server.close()


def test_what_an_orchestrator_asked_for_before_it_was_killed_is_not_begun(tmp_path: Path) -> None:
    # It died before the server could ask the system to be told so.
    reading, writing = os.pipe()
    os.write(writing, b'{"fork": 1, "argv": ["nonsense"]}\n')
    os.close(writing)
    server = subprocess.run(
        [sys.executable, "-c", _BEGIN],
        stdin=reading,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": RUNTIME},
        cwd=tmp_path,
        check=False,
        timeout=100,
    )
    os.close(reading)
    assert (server.returncode, server.stdout, server.stderr) == (0, b"", b"")


def test_a_fork_that_the_system_refuses_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    server = Server(tmp_path, _BARE + _SCARCE)
    try:
        pid = waiting_worker(server, 1)
        server.say(server.request(2, "nonsense"))
        assert server.hear() == {"refused": 2, "why": "Resource temporarily unavailable"}
        assert not is_gone(pid)
        third = server.fork(3, "nonsense", log="third.log")
        server.say({"go": third})
        assert server.hear() == {"ended": third, "status": 2}
    finally:
        server.close()


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def holds(condition: Callable[[], bool]) -> bool:
    for _ in range(2_000):
        if condition():
            return True
        time.sleep(0.05)
    return False
