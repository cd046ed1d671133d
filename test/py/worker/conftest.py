"""The orchestrator's end of the wire for tests: a ROUTER, a ticket, and one real worker process."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import zmq

from quarry_runtime.protocol.codec import decode_up, encode

#: A worker as a fork server makes it: its output goes to a file, the end of its stdin is its end.
WORKER = """
import os, sys
for name, flags, targets in (({stdin!r}, os.O_RDONLY, [0]), ({log!r}, os.O_WRONLY | os.O_CREAT, [1, 2])):
    opened = os.open(name, flags)
    for target in targets:
        os.dup2(opened, target)
    os.close(opened)
sys.stdout, sys.stderr = open(1, "w"), open(2, "w")
import quarry_runtime.loop
# Snapshots come after so many units, not after so long.
quarry_runtime.loop._SNAPSHOT_SECONDS = 600
from quarry_runtime.__main__ import main
sys.exit(main(["worker", *{argv!r}]))
"""


class Orchestrator:
    """Starts a worker and talks to it; everything is gone after `close`."""

    def __init__(
        self,
        folder: Path,
        *,
        start_code: Callable[[str], BaseProcess],
        arguments: tuple[str, ...],
    ) -> None:
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.LINGER, 0)
        endpoint = f"ipc://{folder / 's'}"
        self.socket.bind(endpoint)
        ticket = folder / "ticket.json"
        ticket.write_text(json.dumps({"endpoint": endpoint, "token": "secret"}))
        ticket.chmod(0o600)
        self.log, stdin = folder / "log", folder / "stdin"
        self.log.touch()
        os.mkfifo(stdin)
        argv = ["--ticket", str(ticket), "--name", "worker-0", *arguments]
        self.process = start_code(WORKER.format(stdin=str(stdin), log=str(self.log), argv=argv))
        self.stdin = stdin.open("wb")
        self._peer = b""

    def receive(
        self, kind: type | None = None, seconds: float = 300
    ) -> tuple[Any, list[memoryview]]:
        """The next message, heartbeats left out unless asked for; fails when it is another kind."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self.socket.poll(200):
                assert self.process.exitcode is None, self.log.read_text()
                continue
            self._peer, *parts = self.socket.recv_multipart()
            message, frames = decode_up(parts)
            if type(message).__name__ == "Heartbeat" and type(message) is not kind:
                continue
            assert kind is None or isinstance(message, kind), message
            return message, frames
        raise AssertionError(f"nothing came in {seconds} s: {self.log.read_text()}")

    def send(self, message: Any, frames: Any = ()) -> None:
        self.socket.send_multipart([self._peer, *encode(message, frames)])

    def wait(self, seconds: float = 100) -> int | None:
        """The worker's exit status."""
        self.process.join(seconds)
        return self.process.exitcode

    def close(self) -> None:
        self.process.kill()
        self.process.join()
        self.stdin.close()
        self.socket.close()
        self._context.term()


@pytest.fixture
def orchestrate(
    tmp_path: Path, start_code: Callable[[str], BaseProcess]
) -> Iterator[Callable[..., Orchestrator]]:
    """Starts orchestrators with a worker each, and ends them with the test."""
    started: list[Orchestrator] = []

    def start(*arguments: str) -> Orchestrator:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        arguments = ("--threads", "1", *arguments)
        started.append(Orchestrator(folder, start_code=start_code, arguments=arguments))
        return started[-1]

    yield start
    for orchestrator in started:
        orchestrator.close()


@pytest.fixture(scope="session")
def unit_frame() -> Callable[..., bytes]:
    """Makes a unit as the data plane gathers it; id ranks are the row numbers."""
    return _unit_frame


def _unit_frame(texts: list[str], first_row: int = 0, titles: list[str] | None = None) -> bytes:
    numbers = pa.array(range(first_row, first_row + len(texts)), pa.int32())
    batch = pa.record_batch(
        [numbers, numbers, pa.array(titles or [""] * len(texts)), pa.array(texts)],
        names=["row", "idRank", "title", "text"],
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()
