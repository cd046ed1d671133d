"""The orchestrator's end of the wire for tests: a ROUTER, a ticket, and one real worker process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import zmq

from quarry_runtime.protocol.codec import decode_up, encode

RUNTIME = Path(__file__).parents[3] / "py_runtime"


class Orchestrator:
    """Starts a worker and talks to it; everything is gone after `close`."""

    def __init__(
        self,
        folder: Path,
        *,
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
        environment = {**os.environ, "PYTHONPATH": str(RUNTIME), "HF_HUB_OFFLINE": "1"}
        command = [
            sys.executable,
            "-m",
            "quarry_runtime",
            "worker",
            "--ticket",
            str(ticket),
            "--name",
            "worker-0",
        ]
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
            )
        self._peer = b""
        self.beats: list[Any] = []

    def receive(
        self, kind: type | None = None, seconds: float = 60
    ) -> tuple[Any, list[memoryview]]:
        """The next message, heartbeats left out unless asked for; fails when it is another kind."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self.socket.poll(200):
                assert self.process.poll() is None, self.log.read_text()
                continue
            self._peer, *parts = self.socket.recv_multipart()
            message, frames = decode_up(parts)
            if type(message).__name__ == "Heartbeat" and type(message) is not kind:
                self.beats.append(message)
                continue
            assert kind is None or isinstance(message, kind), message
            return message, frames
        raise AssertionError(f"nothing came in {seconds} s: {self.log.read_text()}")

    def send(self, message: Any, frames: Any = ()) -> None:
        self.socket.send_multipart([self._peer, *encode(message, frames)])

    def wait(self, seconds: float = 30) -> int:
        """The worker's exit status."""
        return self.process.wait(seconds)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.socket.close()
        self._context.term()


@pytest.fixture
def orchestrate(tmp_path: Path) -> Iterator[Callable[..., Orchestrator]]:
    """Starts orchestrators with a worker each, and ends them with the test."""
    started: list[Orchestrator] = []

    def start(*arguments: str) -> Orchestrator:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(Orchestrator(folder, arguments=("--threads", "1", *arguments)))
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
