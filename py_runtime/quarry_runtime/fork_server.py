"""Forks workers and torchrun's agents from one process that has made their imports: `fork-server`.

A worker that dies is replaced in milliseconds instead of the seconds that torch takes to import, and all
share the pages of their libraries' objects. Lines of JSON come in on stdin:

    {"fork": 7, "argv": ["worker", …], "output": "/…/worker-0.log", "cwd": "/…", "env": {…}}
    {"go": 1234}

and go out on stdout: {"forked": 7, "pid": 1234}, later {"ended": 1234, "status": 0 or minus a
signal}; where the system has no process left, {"refused": 7, "why": "…"}. A fork does nothing
before its `go`, so its pid is known before anything is heard of it. Its output goes to the end of a
file, or into a socket where there is one of this path. Descriptor 3 is the life line of all forks:
they get it as their stdin.
"""

from __future__ import annotations

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
#: Imported before the first fork for a verb.
_PRELOADED = {"worker": WORKER, "launch": RANK}


def main(_argv: list[str]) -> int:
    """Forks until stdin ends; the forks end with this process."""
    die_with_parent()
    name_process("quarry-forks")
    _Server().run()
    return 0


class _Server:
    def __init__(self) -> None:
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
                self._open(request["go"], b"g")
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
            _tell({"refused": request["fork"], "why": os.strerror(error.errno or 0)})
            return
        if pid == 0:
            os.close(gate)
            # Other forks' gates: an open end here would hold them up.
            for other in (*self._gates.values(), self._wake, self._wakened):
                os.close(other)
            _become(request, waiting)
        os.close(waiting)
        self._gates[pid] = gate
        _tell({"forked": request["fork"], "pid": pid})

    def _open(self, pid: int, word: bytes) -> None:
        gate = self._gates.pop(pid, None)
        if gate is None:
            return
        # A fork that was killed meanwhile reads no more.
        with contextlib.suppress(BrokenPipeError):
            os.write(gate, word)
        os.close(gate)

    def _bury(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0] != 0:
                pid, status = ended
                self._open(pid, b"")
                _tell({"ended": pid, "status": os.waitstatus_to_exitcode(status)})


def _become(request: dict[str, Any], waiting: int) -> NoReturn:
    """Turns the fork into the process that was asked for; never returns."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        die_with_parent()
        output = _open(request["output"])
        for source, target in ((_LIFE_LINE, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        os.close(output)
        os.close(_LIFE_LINE)
        if os.read(waiting, 1) == b"":
            leave("the process that it was forked from is gone")
        os.close(waiting)
        name_process(f"quarry-{request['argv'][0]}")
        os.chdir(request["cwd"])
        os.environ.update(request["env"])
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


def _open(path: str) -> int:
    if os.path.exists(path) and stat.S_ISSOCK(os.stat(path).st_mode):
        with socket.socket(socket.AF_UNIX) as output:
            output.connect(path)
            return output.detach()
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def _tell(message: dict[str, int | str]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")
