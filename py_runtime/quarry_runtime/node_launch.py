"""Keeps torchrun on another machine: the ticket comes over stdin, and all ends with the connection."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from quarry_runtime.ticket import STDIN, read_ticket

_PREFIX = "quarry-node-"
#: A younger folder may be that of a process that has not locked its ticket yet.
_YOUNG_SECONDS = 60.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def keep(argv: list[str], is_tied: bool) -> int:
    """Runs `launch` with the ticket in a private file until it ends; nothing is left behind.

    torchrun's ranks share one stdin, so that only one of them could read a ticket from it.

    Args:
        argv: Of `launch`, with `--ticket -`.
        is_tied: Whether the end of stdin ends everything: of an ssh it does, of a here-document it
            says nothing.

    Returns:
        The status of torchrun; 128 + the signal's number after a signal.
    """
    _sweep()
    ticket = read_ticket(STDIN)
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as folder:  # mode 0700
        path = Path(folder) / "ticket"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        # Held as long as this process lives, by nobody else: programs that are started do not get it.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, ticket.line().encode())
        # Of two mentions of an option the last one counts.
        command = [*argv, "--ticket", str(path), "--log-dir", str(Path(folder) / "logs")]
        child = subprocess.Popen(
            [sys.executable, "-m", "quarry_runtime", "launch", *command], stdin=subprocess.PIPE
        )
        stopped_by: list[int] = []

        def stop(number: int, _frame: object) -> None:
            stopped_by.append(number)
            # The ranks follow their agent at once: each has asked for that.
            child.kill()

        for number in _SIGNALS:
            signal.signal(number, stop)
        if is_tied:
            threading.Thread(target=_end_with_stdin, args=[child], daemon=True).start()
        status = child.wait()
        if stopped_by:
            return 128 + stopped_by[0]
        return status if status >= 0 else 128 - status


def _sweep() -> None:
    """Removes what processes left that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        # Another user's, or removed by somebody else at the same time.
        with contextlib.suppress(OSError):
            seen = folder.lstat()
            is_old = time.time() - seen.st_mtime > _YOUNG_SECONDS
            if seen.st_uid == os.getuid() and is_old and not _is_locked(folder / "ticket"):
                shutil.rmtree(folder)


def _is_locked(ticket: Path) -> bool:
    try:
        with ticket.open() as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _end_with_stdin(child: subprocess.Popen[bytes]) -> None:
    while os.read(0, 4096):
        pass
    child.kill()
