"""Becomes torchrun: guards the process against outliving its parent, then hands over by exec."""

from __future__ import annotations

import argparse
import os
import sys

from quarry_runtime.guard.parent import tie_to_parent


def main(argv: list[str]) -> int:
    """`launch --ticket F --ranks N --max-restarts M --log-dir D --threads T`; does not return."""
    parser = argparse.ArgumentParser(prog="quarry_runtime launch")
    parser.add_argument("--ticket", required=True)
    parser.add_argument("--ranks", type=int, required=True)
    parser.add_argument("--max-restarts", type=int, required=True)
    parser.add_argument("--log-dir", required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args(argv)
    # Survives exec; each rank sets its own, because torchrun puts ranks into sessions of their own.
    tie_to_parent()
    os.environ.update(environment(options.threads))
    command = torchrun_command(options.ticket, options.ranks, options.max_restarts, options.log_dir)
    os.execv(sys.executable, command)


def environment(threads: int) -> dict[str, str]:
    """What torchrun and the ranks need in their environment.

    Thread counts are the experiment's, whatever the shell says; other values that the user set stay.
    """
    wanted = {
        # With a shared store the keys of the first generation break every elastic restart with
        # gloo.
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
        # All ranks are on this node: gloo must not pick an interface that cannot reach itself.
        "GLOO_SOCKET_IFNAME": "lo",
    }
    unset = {name: value for name, value in wanted.items() if name not in os.environ}
    return {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), **unset}


def torchrun_command(ticket: str, ranks: int, max_restarts: int, log_dir: str) -> list[str]:
    """The command line; torchrun's store listens on a free port, each rank has its own files."""
    return [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--rdzv-backend=c10d",
        "--rdzv-endpoint=127.0.0.1:0",
        # Else the ranks look for each other under the machine's full name, which may not resolve.
        "--local-addr=127.0.0.1",
        "--nnodes=1",
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
