"""Is torchrun's agent: guarded against outliving its parent, its ranks forked from one process.

torchrun would start an interpreter for each rank once its own had imported torch. Here a fork server
makes the imports of all ranks while the agent makes its own, and the ranks are its forks.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
from multiprocessing import forkserver
from pathlib import Path

from quarry_runtime.guard.parent import tie_to_parent
from quarry_runtime.rendezvous import Meeting, environment, torchrun_options
from quarry_runtime.ticket import STDIN


def main(argv: list[str]) -> int:
    """`launch --ticket F|- --ranks N --max-restarts M --threads T …`; returns when training ended.

    With a ticket on stdin it is the first process of another machine, and keeps torchrun there in a
    process of its own (see node_launch).
    """
    options = _parse(argv)
    if options.ticket == STDIN:
        from quarry_runtime.node_launch import keep

        return keep(argv, is_tied=options.with_parent)
    tie_to_parent()
    if options.device == "cpu":
        # Without a GPU in sight, torch and gloo stay on the CPU.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    meeting = _meeting(options)
    os.environ.update(environment(options.threads, meeting))
    # The fork server's socket, which nobody removes after a kill, goes with the ticket.
    tempfile.tempdir = str(Path(options.ticket).parent)
    multiprocessing.set_forkserver_preload(["quarry_runtime.training.preload"])
    forkserver.ensure_running()
    command = torchrun_arguments(options.ranks, options.max_restarts, options.log_dir, meeting)
    # Only now, beside the imports of the fork server.
    from torch.distributed import run
    from torch.distributed.launcher.api import elastic_launch

    from quarry_runtime.training.rank import start

    config, _, _ = run.config_from_args(run.parse_args([*command, "rank"]))
    elastic_launch(config=config, entrypoint=start)(options.ticket)
    return 0


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
