"""Becomes torchrun: guards the process against outliving its parent, then hands over by exec."""

from __future__ import annotations

import argparse
import os
import sys

from quarry_runtime.guard.parent import tie_to_parent
from quarry_runtime.rendezvous import Meeting, environment, torchrun_options
from quarry_runtime.ticket import STDIN


def main(argv: list[str]) -> int:  # noqa: RET503 -- execv does not return
    """`launch --ticket F|- --ranks N --max-restarts M --threads T …`.

    With a ticket in a file it does not return; with one on stdin it is the first process of another
    machine, and keeps torchrun there (see node_launch).
    """
    options = _parse(argv)
    if options.ticket == STDIN:
        from quarry_runtime.node_launch import keep

        return keep(argv, is_tied=options.with_parent)
    # Survives exec; each rank sets its own, because torchrun puts ranks into sessions of their own.
    tie_to_parent()
    if options.device == "cpu":
        # Without a GPU in sight, torch and gloo stay on the CPU.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    meeting = _meeting(options)
    os.environ.update(environment(options.threads, meeting))
    command = torchrun_command(
        options.ticket, options.ranks, options.max_restarts, options.log_dir, meeting
    )
    os.execv(sys.executable, command)


def torchrun_command(
    ticket: str, ranks: int, max_restarts: int, log_dir: str, meeting: Meeting | None = None
) -> list[str]:
    """The command line; each rank has its own files."""
    return [
        sys.executable,
        "-m",
        "torch.distributed.run",
        *torchrun_options(meeting),
        f"--nproc-per-node={ranks}",
        f"--max-restarts={max_restarts}",
        f"--log-dir={log_dir}",
        "--redirects=3",
        "--tee=3",
        "-m",
        "quarry_runtime",
        "rank",
        "--ticket",
        ticket,
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
