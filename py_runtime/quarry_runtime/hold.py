"""Holds a program that is not ours, so that it ends with the orchestrator: `hold --parent PID [--job NAME] -- ssh …`.

ssh, srun and sbatch look at their stdin once they are connected or have machines; while they wait, nothing
tells them that the orchestrator was killed, and a queued job would take its machines for nobody.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import threading
import time

from quarry_runtime.errors import EXIT_STATUS, EnvironmentFault
from quarry_runtime.guard.parent import die_with_parent

_LOOK_SECONDS = 0.5
#: For the program to end when it is asked to.
_END_SECONDS = 3.0
_CANCEL_SECONDS = 30.0


def main(argv: list[str]) -> int:
    """Runs the program on this process's stdin and output, as leader of a group, and ends as it did."""
    options, command = _parse(argv)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # Sent to the whole group: the program ends, and this process stays to see to the rest.
        signal.signal(number, lambda *_: None)
    if os.getppid() != options.parent:
        return EXIT_STATUS["INTERRUPTED"]
    try:
        child = subprocess.Popen(command, preexec_fn=die_with_parent)  # noqa: PLW1509
    except OSError as error:
        raise EnvironmentFault(
            f"{command[0]} cannot be started: {error.strerror}.", hint="Install it, or set PATH."
        ) from error
    threading.Thread(target=_follow, args=[options.parent, child], daemon=True).start()
    status = child.wait()
    if options.job is not None:
        _cancel(options.job)
    if os.getppid() != options.parent:
        # Whatever the program left.
        os.killpg(os.getpid(), signal.SIGKILL)
    if status < 0:
        # As whoever started this process would have seen it: by the same signal.
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


def _follow(parent: int, child: subprocess.Popen[bytes]) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os.killpg(os.getpid(), signal.SIGTERM)
    time.sleep(_END_SECONDS)
    child.kill()


def _cancel(job: str) -> None:
    """Cancels the jobs of this name, if there are any: whatever ended sbatch, theirs is no use any more."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        # In a session of its own: when this process is made to end, it still comes to its end.
        cancelling = subprocess.Popen(
            ["scancel", f"--name={job}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        cancelling.wait(_CANCEL_SECONDS)


def _parse(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(prog="quarry_runtime hold")
    parser.add_argument("--parent", type=int, required=True, help="pid of the orchestrator")
    parser.add_argument("--job", help="name of the batch job that goes with the program")
    mark = argv.index("--")
    return parser.parse_args(argv[:mark]), argv[mark + 1 :]
