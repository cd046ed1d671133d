"""A consumer of the data benchmark: asks for micro-batches as a rank's feed does.

Usage: python consumer.py <ticket> <rank> <receive|strings> <seconds> <batches>
`strings` reads each batch with pyarrow into Python strings, as training does before it tokenises;
`receive` only takes it in. Prints a line when its imports are done and the connection stands, waits
for SIGUSR1 (standard input belongs to the guard that ends orphans), then works twice for that many
seconds, at least that many batches in all, and prints what it measured.
"""

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa  # noqa: F401 (memory is measured after the imports)

from quarry_runtime.connection import Connection
from quarry_runtime.modeling.text import read_arrow
from quarry_runtime.protocol.messages import MicroBatch, Next
from quarry_runtime.protocol.tensor import to_numpy

#: As in quarry_runtime.training.feed, whose import would bring torch along.
AHEAD = 3


def anonymous_bytes() -> int:
    """Private memory of this process that no file stands behind."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss_Anon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this kernel does not tell Pss_Anon")


def tell(event: str, **values: Any) -> None:
    print(json.dumps({"event": event, "anonymousBytes": anonymous_bytes(), **values}), flush=True)


def main() -> None:
    ticket, rank, mode = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    seconds, batches = float(sys.argv[4]), int(sys.argv[5])
    may_start: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, _: may_start.append(number))
    connection = Connection(ticket, f"consumer-{rank}", "rank")
    tell("ready")
    # Not signal.pause(): a signal that another thread takes would not wake this one.
    while not may_start:
        time.sleep(0.002)

    for step in range(AHEAD):
        connection.send(Next(step=step, micro_step=0))
    done = 0

    def take_batch() -> int:
        nonlocal done
        message, frames = connection.receive(60)
        connection.send(Next(step=done + AHEAD, micro_step=0))
        if not isinstance(message, MicroBatch) or message.step != done:
            raise RuntimeError(f"{message} came instead of step {done}")
        done += 1
        if mode == "strings":
            queries, passages = read_arrow(frames[0]), read_arrow(frames[1])
            mask, labels = to_numpy(message.mask, frames), to_numpy(message.labels, frames)
            if labels.size != len(passages.texts) or len(mask) != len(queries.texts):
                raise RuntimeError("the batch's parts do not fit together")
        return message.labels.shape[0]

    rates = []
    # Twice: in the first round most pages are touched for the first time.
    for least in (0, batches):
        began, groups = time.perf_counter(), 0
        while done < least or time.perf_counter() - began < seconds:
            groups += take_batch()
        rates.append(groups / (time.perf_counter() - began))
    tell("done", rates=rates, batches=done)
    connection.close()


main()
