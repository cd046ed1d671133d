"""Ends this process when its parent is gone: three guards, because each alone has a hole."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import stat
import sys
import threading
from multiprocessing.connection import wait
from typing import NoReturn

from quarry_runtime.errors import EXIT_STATUS

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_is_tied = False


def tie_to_parent() -> None:
    """Sets all guards; call it first, from the main thread. Further calls do nothing.

    PDEATHSIG (17 ms, Linux only) fires when the parent dies; the check of the parent's id
    afterwards closes the gap before it was set; end of file on stdin (22 ms) tells of a parent on
    any system, but a forked sibling can hold the pipe open. A process that came from a fork server
    (see quarry_runtime.preload) is tied to whoever asked for it as well, by a pipe of their own.
    """
    global _is_tied
    if _is_tied:
        return
    _is_tied = True
    parent = os.getppid()
    die_with_parent()
    if os.getppid() != parent:
        leave("the parent process died while this one started")
    if _is_lifeline(0):
        threading.Thread(target=_watch_stdin, name="stdin-watch", daemon=True).start()
    asker = multiprocessing.parent_process()
    if asker is not None:
        watch = threading.Thread(target=_watch, args=[asker.sentinel], name="parent-watch")
        watch.daemon = True
        watch.start()


def die_with_parent() -> None:
    """The first of the guards alone: SIGKILL at the parent's death, where the system has that."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def name_process(name: str) -> None:
    """What `top` and `ps -o comm` call this process; 15 bytes at most, Linux only."""
    _prctl(_PR_SET_NAME, name.encode()[:15])


def _prctl(option: int, value: int | bytes) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def leave(reason: str) -> NoReturn:
    """Ends the process at once from any thread; there is nobody left to hand anything to."""
    # os.write: the buffered stream may be locked by the thread that is being ended.
    with contextlib.suppress(OSError):
        os.write(2, f"quarry worker {os.getpid()} leaves: {reason}\n".encode())
    os._exit(EXIT_STATUS["INTERRUPTED"])


def _is_lifeline(descriptor: int) -> bool:
    """Whether a parent holds the other end: a pipe or a socket, no terminal, file or /dev/null."""
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _watch_stdin() -> None:
    while True:
        try:
            if not os.read(0, 4096):
                break
        except OSError:
            break
    leave("its stdin ended")


def _watch(sentinel: int) -> None:
    wait([sentinel])
    leave("the process that asked for it is gone")
