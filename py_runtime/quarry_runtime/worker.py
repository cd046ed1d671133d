"""The worker process: `worker --ticket F --name worker-0 [--device cpu] [--threads N] [--guest]`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import traceback

from quarry_runtime.guard.parent import name_process, tie_to_parent
from quarry_runtime.ticket import read_ticket


def main(argv: list[str]) -> int:
    """Works until drained (exit status 0), refused, or broken (the status of the error's kind)."""
    options = _parse(argv)
    # Before stdin is watched for its end: whoever holds the pipe writes the ticket into it first.
    ticket = read_ticket(options.ticket)
    tie_to_parent()
    name_process(f"quarry-{options.name}")
    # Ctrl-C reaches the whole process group; the orchestrator decides when work ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threads = _limit_threads(options.threads, options.device)

    from quarry_runtime.connection import Connection
    from quarry_runtime.errors import QuarryError, to_info
    from quarry_runtime.guard.device import describe_device
    from quarry_runtime.loop import Loop, Refused
    from quarry_runtime.protocol.messages import EXIT_STATUS, Bye, Fatal

    device = describe_device(options.device)
    connection = Connection(ticket, options.name, "worker", device)
    if options.guest:
        # A preemption: the work in hand goes on until the orchestrator has seen to the rest.
        signal.signal(
            signal.SIGTERM, lambda *_: connection.ask_to_leave("it was asked to end (SIGTERM)")
        )
    # hello is on its way: seconds of imports pass while the orchestrator answers.
    ahead = threading.Thread(target=_import_ahead, name="import-ahead", daemon=True)
    ahead.start()
    try:
        Loop(connection, device.name, threads, ahead.join).run()
        connection.send(Bye(reason="drained"))
        status = 0
    except Refused as error:
        print(f"Refused: {error.message}\n  {error.hint or ''}", file=sys.stderr)
        # Turned away after a silence of its own: another process may come back.
        status = EXIT_STATUS["WORKER" if error.is_retryable else error.code]
    except Exception as error:
        info = to_info(error)
        print(f"{info.code}: {info.message}\n  {info.hint or ''}", file=sys.stderr)
        if not isinstance(error, QuarryError) or os.environ.get("QUARRY_DEBUG"):
            traceback.print_exc()
        connection.send(Fatal(error=info, query_rows=[], passage_rows=[]))
        status = EXIT_STATUS[info.code]
    connection.close()
    sys.stdout.flush()
    sys.stderr.flush()
    # Tearing down torch costs 0.2 s, and crashes while the other thread still imports it; nothing
    # is left to save.
    os._exit(status)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="quarry_runtime worker", description=__doc__)
    parser.add_argument("--ticket", required=True, help="0600 file, or - for a line on stdin")
    parser.add_argument("--name", required=True, help="name of this worker in logs, e.g. worker-0")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument(
        "--threads", type=int, help="CPU threads; default: every core it may run on"
    )
    parser.add_argument("--guest", action="store_true", help="comes by itself, may leave by itself")
    return parser.parse_args(argv)


def _limit_threads(wanted: int | None, device: str) -> int:
    from quarry_runtime.guard.cores import usable_cores

    threads = max(1, wanted or usable_cores())
    # Read when torch is imported; set_num_threads alone leaves the pools of OpenMP's other users at
    # all cores.
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
    os.environ["RAYON_NUM_THREADS"] = str(threads)
    # On a CPU the model needs the cores; ahead of a GPU one thread tokenises too slowly (6,600
    # passages/s).
    os.environ["TOKENIZERS_PARALLELISM"] = "false" if device == "cpu" else "true"
    return threads


def _import_ahead() -> None:
    """Imports what every task needs: torch and what all models of transformers share, 3 s."""
    import pyarrow as pa  # noqa: F401
    import torch  # noqa: F401
    import transformers.modeling_utils  # noqa: F401
