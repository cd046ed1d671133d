"""Is torchrun's agent: guarded against outliving its parent, its ranks forked from one process.

torchrun would start an interpreter for each rank once its own had imported torch. Here the agent makes
the imports of all ranks with its own, and forks the server that forks the ranks, and what tidies up after
all of them, before it has a thread.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from collections.abc import Sequence
from multiprocessing import forkserver, resource_tracker, util
from pathlib import Path
from typing import Any

from quarry_runtime.guard.parent import die_with_parent, name_process, tie_to_parent
from quarry_runtime.preload import RANK, preload
from quarry_runtime.rendezvous import Meeting, environment, torchrun_options
from quarry_runtime.ticket import STDIN


def main(argv: list[str]) -> int:
    """`launch --ticket F|- --ranks N --max-restarts M --threads T …`; returns when training ended.

    With a ticket on stdin it is the first process of another machine, and keeps torchrun there in a
    process of its own (see node_launch).
    """
    options = _parse(argv)
    forget_torchrun_options()
    if options.ticket == STDIN:
        from quarry_runtime.node_launch import keep

        return keep(argv, is_tied=options.with_parent)
    if options.device == "cpu":
        # Without a GPU in sight, torch and gloo stay on the CPU.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    meeting = _meeting(options)
    os.environ.update(environment(options.threads, meeting))
    # The fork server's socket, which nobody removes after a kill, goes with the ticket.
    tempfile.tempdir = str(Path(options.ticket).parent)
    die_with_parent()
    name_process("quarry-torchrun")
    preload(RANK)
    _fork_the_server()
    # Only now: it has a thread.
    tie_to_parent()
    command = torchrun_arguments(options.ranks, options.max_restarts, options.log_dir, meeting)
    from torch.distributed import run
    from torch.distributed.launcher.api import elastic_launch

    from quarry_runtime.training.rank import start

    config, _, _ = run.config_from_args(run.parse_args([*command, "rank"]))
    elastic_launch(config=config, entrypoint=start)(options.ticket)
    return 0


def _fork_the_server() -> None:
    """Has multiprocessing's fork server and tracker be forks of this process in place of new interpreters."""
    spawn = util.spawnv_passfds
    try:
        util.spawnv_passfds = _track
        resource_tracker.ensure_running()
        util.spawnv_passfds = _serve_forks
        forkserver.ensure_running()
    finally:
        util.spawnv_passfds = spawn


def _track(_path: object, _arguments: object, descriptors: Sequence[int]) -> int:
    """Removes torchrun's semaphores from /dev/shm when all who have them are gone, however they ended."""
    pid = os.fork()
    if pid != 0:
        return pid
    # A failed training ends by a SIGKILL of the agent's whole group.
    os.setsid()
    name_process("quarry-tracker")
    # It would count what it removes in the log.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    pipe = descriptors[-1]
    _keep_only([pipe])
    try:
        resource_tracker.main(pipe)
    finally:
        os._exit(0)


def _serve_forks(_path: object, _arguments: object, descriptors: Sequence[int]) -> int:
    """In the place of multiprocessing.util.spawnv_passfds: what it would start with these descriptors."""
    pid = os.fork()
    if pid != 0:
        return pid
    die_with_parent()
    name_process("quarry-ranks")
    _keep_only(descriptors)
    listener, alive, *rest = descriptors
    # From Python 3.14 on there is a pipe with a key as well.
    key: dict[str, Any] = {"authkey_r": rest[0]} if rest else {}
    try:
        forkserver.main(listener, alive, [], **key)
    finally:
        os._exit(0)


def _keep_only(descriptors: Sequence[int]) -> None:
    """Closes all others, above all the end of the pipe by which a fork learns that nobody needs it any more."""
    for descriptor in map(int, os.listdir("/dev/fd")):
        if descriptor > 2 and descriptor not in descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)


def forget_torchrun_options() -> None:
    """Takes the variables away from which torchrun reads what its command line leaves out.

    A pod of Kubeflow's PyTorchJob has them, for a torchrun of its own.
    """
    for name in [name for name in os.environ if name.startswith("PET_")]:
        del os.environ[name]


def torchrun_arguments(
    ranks: int, max_restarts: int, log_dir: str, meeting: Meeting | None = None
) -> list[str]:
    """What torchrun is told; each rank has its own files."""
    return [
        *torchrun_options(meeting),
        f"--nproc-per-node={ranks}",
        f"--max-restarts={max_restarts}",
        f"--log-dir={log_dir}",
        "--redirects=3",
        "--tee=3",
        "--start-method=forkserver",
    ]


def _meeting(options: argparse.Namespace) -> Meeting | None:
    if options.rendezvous is None:
        return None
    # Slurm starts the same command on each machine of an entry, and numbers them.
    offset = int(os.environ.get("SLURM_PROCID", "0")) if options.by_slurm else 0
    return Meeting(
        options.rendezvous,
        options.run_id,
        options.nodes,
        options.node + offset,
        options.join_seconds,
    )


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="quarry_runtime launch")
    parser.add_argument("--ticket", required=True, help="0600 file, or - for a line on stdin")
    parser.add_argument("--ranks", type=int, required=True)
    parser.add_argument("--max-restarts", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--log-dir", default="")
    parser.add_argument("--device", choices=["auto", "cpu"], default="auto")
    parser.add_argument("--rendezvous", help="host:port where the agents meet")
    parser.add_argument("--run-id", default="none")
    parser.add_argument("--nodes", default="1", help="how many machines, or MIN:MAX")
    parser.add_argument("--node", type=int, default=0, help="number of this one")
    parser.add_argument("--join-seconds", type=int, default=300)
    parser.add_argument("--by-slurm", action="store_true", help="add SLURM_PROCID to --node")
    parser.add_argument(
        "--with-parent", action="store_true", help="end with the starting process, or with stdin"
    )
    return parser.parse_args(argv)
