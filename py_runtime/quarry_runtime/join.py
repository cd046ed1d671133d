"""Joins a run with this machine's devices: one worker process each, started, watched, ended.

`join --ticket F|- [address] [--workers N|auto] [--device auto|cpu|cuda] [--threads N] [--name HOST]`
"""

from __future__ import annotations

import argparse
import re
import socket

from quarry_runtime.counted import counted
from quarry_runtime.forks import CAN_FORK, Forks
from quarry_runtime.guard.parent import tie_to_parent
from quarry_runtime.interpreters import Interpreters
from quarry_runtime.places import Place, plan_places
from quarry_runtime.supervisor import Supervisor
from quarry_runtime.ticket import STDIN, read_ticket


def main(argv: list[str]) -> int:
    """Works until the run needs no more; the status is the first bad one of a worker, or 0."""
    options = _parse(argv)
    ticket = read_ticket(options.ticket)
    if options.address is not None:
        ticket = ticket.at(options.address)
    if options.with_parent:
        # Not by itself: the end of a here-document, of nohup's shell or of an ssh is no reason to end.
        tie_to_parent()
    places = plan_places(options.workers, options.device, options.threads)
    names = ", ".join(
        f"{place.device} with {counted(place.threads, 'threads')}" for place in places
    )
    print(f"joining {ticket.endpoint} with {counted(len(places), 'workers')}: {names}", flush=True)
    line = ticket.line()
    # A single one as a fork would cost 40 MB more, and say hello only after the imports, not during.
    is_shared = CAN_FORK and len(places) > 1
    starter = Forks(line, places[0].threads) if is_shared else Interpreters(line)
    return Supervisor(starter, lambda place: worker_argv(place, options.name), places).run()


def worker_argv(place: Place, host: str) -> list[str]:
    """The arguments of one worker; the ticket follows on its stdin."""
    return [
        *("worker", "--guest", "--ticket", STDIN),
        *("--name", f"{host}.{place.index}", "--device", place.device),
        *("--threads", str(place.threads)),
    ]


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="quarry_runtime join", description=__doc__)
    parser.add_argument(
        "address", nargs="?", help="host:port in place of the ticket's, e.g. behind NAT"
    )
    parser.add_argument("--ticket", required=True, help="0600 file, or - for a line on stdin")
    parser.add_argument("--workers", type=_count, help="processes; auto is one per GPU, else one")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--threads", type=_count, help="CPU threads of each; auto shares the cores")
    parser.add_argument("--name", type=_host, default=_own_name(), help="names this machine")
    parser.add_argument(
        "--with-parent", action="store_true", help="end with the starting process, or with stdin"
    )
    return parser.parse_args(argv)


def _count(text: str) -> int | None:
    if text == "auto":
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text):
        raise argparse.ArgumentTypeError(f"expected auto or a number from 1, saw {text!r}")
    return int(text)


def _host(text: str) -> str:
    if not re.fullmatch(r"(?!-)[\w.\-]{1,200}", text):
        raise argparse.ArgumentTypeError(
            f"letters, digits, '.', '_' and '-', which is not the first, saw {text!r}"
        )
    return text


def _own_name() -> str:
    return re.sub(r"[^\w.\-]", "-", socket.gethostname())[:200] or "node"
