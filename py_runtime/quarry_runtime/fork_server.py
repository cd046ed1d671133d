"""Forks workers, torchrun's agents and the doctor from one process that has made their imports: `fork-server`.

A worker that dies is replaced in milliseconds instead of the seconds that torch takes to import, and all
share the pages of their libraries' objects. Lines of JSON come in on stdin:

    {"fork": 7, "argv": ["worker", …], "output": "/…/worker-0.log", "cwd": "/…", "env": {…}}
    {"go": 1234}

and go out on stdout: {"forked": 7, "pid": 1234}, later {"ended": 1234, "status": 0 or minus a
signal}; where the system has no process left, {"refused": 7, "why": "…"}. A fork does nothing
before its `go`, so its pid is known before anything is heard of it. Its output goes to the end of a
file, or into a socket where there is one of this path. Descriptor 3 is the life line of all forks:
they get it as their stdin.

With `--answers 5` a supervisor of guests (forks.py) is served. Answers go to that descriptor, since
stdout and stderr are those of all forks, which keep the folder and the environment as well. Each
fork has a stdin of its own, whose first line is a secret, and which ends with this process:

    {"fork": 7, "argv": ["worker", …]}
    {"go": 1234, "stdin": "the line"}
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import signal
import socket
import stat
import sys
import traceback
from typing import Any, NoReturn

from quarry_runtime.guard.parent import die_with_parent, leave, name_process
from quarry_runtime.preload import RANK, WORKER, preload

_LIFE_LINE = 3
# Slurm and systemd signal all processes there are; the work of the forks is not to end with this one.
_BLOCKED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
#: Imported before the first fork for a verb.
_PRELOADED = {"worker": WORKER, "launch": RANK, "doctor": RANK}


def main(argv: list[str]) -> int:
    """Forks until stdin ends; the forks end with this process."""
    parser = argparse.ArgumentParser(prog="quarry_runtime fork-server")
    parser.add_argument("--answers", type=int, help="descriptor; each fork has its own stdin")
    answers: int | None = parser.parse_args(argv).answers
    # Blocked, not ignored: a fork that is signalled before it can unblock them still gets them.
    signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
    die_with_parent()
    if _is_abandoned():
        return 0
    name_process("quarry-forks" if answers is None else "quarry-node")
    _Server(answers).run()
    return 0


def _is_abandoned() -> bool:
    """Whether the parent ended before the guard was set; its requests may still lie in the pipe."""
    poll = select.poll()
    poll.register(0, 0)
    return poll.poll(0) != []


class _Server:
    def __init__(self, answers: int | None) -> None:
        self._answers = 1 if answers is None else answers
        self._gates: dict[int, int] = {}
        self._seen: set[str] = set()
        self._rest = b""
        self._wake, self._wakened = os.pipe()
        for end in (self._wake, self._wakened):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakened)

    def run(self) -> None:
        while True:
            ready, _, _ = select.select([0, self._wake], [], [])
            if 0 in ready and not self._take():
                return
            if self._wake in ready:
                os.read(self._wake, 4_096)
                self._bury()

    def _take(self) -> bool:
        data = os.read(0, 65_536)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            request = json.loads(line)
            if "fork" in request:
                self._fork(request)
            else:
                self._open(request["go"], request.get("stdin"))
        return data != b""

    def _fork(self, request: dict[str, Any]) -> None:
        verb = request["argv"][0]
        if verb not in self._seen:
            preload(_PRELOADED.get(verb, ()))
            self._seen.add(verb)
        waiting, gate = os.pipe()
        try:
            pid = os.fork()
        except OSError as error:
            # No process or memory to be had: the others' work goes on.
            os.close(waiting)
            os.close(gate)
            self._tell({"refused": request["fork"], "why": os.strerror(error.errno or 0)})
            return
        if pid == 0:
            os.close(gate)
            # An open end of another fork's gate would hold that one up, one of the answers' pipe would
            # hide the server's end.
            for other in (*self._gates.values(), self._wake, self._wakened, self._answers):
                if other > 1:
                    os.close(other)
            _become(request, waiting)
        os.close(waiting)
        self._gates[pid] = gate
        self._tell({"forked": request["fork"], "pid": pid})

    def _open(self, pid: int, line: str | None) -> None:
        if pid not in self._gates:
            return
        # A fork that was killed meanwhile reads no more.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._gates[pid], b"g" if line is None else f"g{line}\n".encode())
        if line is None:
            self._shut(pid)

    def _shut(self, pid: int) -> None:
        if pid in self._gates:
            os.close(self._gates.pop(pid))

    def _bury(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0] != 0:
                pid, status = ended
                self._shut(pid)
                self._tell({"ended": pid, "status": os.waitstatus_to_exitcode(status)})

    def _tell(self, message: dict[str, int | str]) -> None:
        os.write(self._answers, json.dumps(message).encode() + b"\n")


def _become(request: dict[str, Any], waiting: int) -> NoReturn:
    """Turns the fork into the process that was asked for; never returns."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _BLOCKED)
        os.setsid()
        die_with_parent()
        _connect(request, waiting)
        if os.read(waiting, 1) == b"":
            leave("the process that it was forked from is gone")
        os.close(waiting)
        name_process(f"quarry-{request['argv'][0]}")
        if "cwd" in request:
            os.chdir(request["cwd"])
        os.environ.update(request.get("env", {}))
        sys.argv[1:] = request["argv"]
        from quarry_runtime.__main__ import main as run

        status = run(request["argv"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    raise AssertionError


def _connect(request: dict[str, Any], waiting: int) -> None:
    """Gives the fork its stdin and its output."""
    if "output" not in request:
        # Its own: behind the byte that lets it go comes what its go brought.
        os.dup2(waiting, 0)
        return
    output = _open(request["output"])
    for source, target in ((_LIFE_LINE, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.close(output)
    os.close(_LIFE_LINE)


def _open(path: str) -> int:
    if os.path.exists(path) and stat.S_ISSOCK(os.stat(path).st_mode):
        with socket.socket(socket.AF_UNIX) as output:
            output.connect(path)
            return output.detach()
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
