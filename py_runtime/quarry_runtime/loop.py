"""What a worker does between hello and bye: takes messages, works on units in turn, answers."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

from quarry_runtime.errors import (
    ConfigError,
    ProtocolError,
    QuarryError,
    Reconnected,
    WorkerFault,
    is_out_of_memory,
    to_info,
)
from quarry_runtime.handlers.handler import Accumulating, Handler
from quarry_runtime.handlers.models import Models
from quarry_runtime.handlers.open import look_ahead, open_handler
from quarry_runtime.model_files import Drained, ModelFiles, Peer, Received
from quarry_runtime.protocol.messages import (
    Configure,
    DownMessage,
    Drain,
    ErrorInfo,
    Failed,
    Files,
    Flush,
    Piece,
    Ping,
    Refuse,
    SnapshotUnit,
    Task,
    TrainTask,
    Unit,
    Welcome,
)

# As many units as the wire allows: how many are held ahead is the orchestrator's to say.
CREDITS = 1_024
# Units tokenised ahead of the one in hand; the others wait as the bytes they came in.
TOKENIZED_AHEAD = 4
_SNAPSHOT_SECONDS = 10.0


class Refused(QuarryError):
    """The orchestrator did not accept the hello."""

    def __init__(self, info: ErrorInfo) -> None:
        super().__init__(
            info.message, hint=info.hint, code=info.code, is_retryable=info.is_retryable
        )


@dataclasses.dataclass
class _Job:
    message: Unit
    frame: memoryview
    #: None until it is among the next ones.
    prepared: Future[Any] | None = None


class Loop:
    """A worker's life after hello.

    Args:
        peer: The connection.
        device: As torch names it.
        threads: CPU threads for the model.
        before_torch: Called once before torch is first needed.
        on_move: Called after each batch, for whoever else watches over this process.
    """

    def __init__(
        self,
        peer: Peer,
        device: str,
        threads: int,
        before_torch: Callable[[], None] = lambda: None,
        on_move: Callable[[], None] = lambda: None,
    ) -> None:
        self._peer = peer
        self._on_move = on_move
        self._threads = threads
        self._before_torch: Callable[[], None] | None = before_torch
        self._models = Models(device)
        # Messages that came while files of the model were fetched.
        self._aside: deque[Received] = deque()
        self._files = ModelFiles(peer, self._aside)
        self._handler: Handler | None = None
        self._snapshot_time = time.perf_counter()
        self._snapshot_cost = 0.0
        self._uncovered: list[SnapshotUnit] = []
        self._jobs: deque[_Job] = deque()
        self._is_draining = False
        # One thread: units are tokenised in the order they came, ahead of the device.
        self._tokenizing = ThreadPoolExecutor(1, thread_name_prefix="tokenize")

    def run(self) -> None:
        """Works until it is drained.

        Raises:
            Refused: the hello was not accepted.
            QuarryError: what ends a worker, e.g. a model that cannot be loaded.
        """
        try:
            while self._step():
                pass
            if self._uncovered and isinstance(self._handler, Accumulating):
                self._send_snapshot(self._handler)
        finally:
            self._tokenizing.shutdown(wait=False, cancel_futures=True)

    def _step(self) -> bool:
        """Takes a message or works on a unit; False once it is drained."""
        # Messages first: the next units are tokenised while this one is on the device.
        is_idle = not self._jobs and not self._is_draining
        try:
            self._take(*self._next(None if is_idle else 0))
        except Reconnected:
            self._forget()
        except TimeoutError:
            if not self._jobs:
                return False
            job = self._jobs.popleft()
            self._tokenize_ahead()
            self._work(job)
        return True

    def _next(self, timeout: float | None) -> Received:
        return self._aside.popleft() if self._aside else self._peer.receive(timeout)

    def _forget(self) -> None:
        """Drops what was in hand: the orchestrator has given it to others."""
        self._aside.clear()
        self._drop_jobs()
        self._handler = None

    def _take(self, message: DownMessage, frames: list[memoryview]) -> None:
        if isinstance(message, Refuse):
            raise Refused(message.error)
        if self._is_draining and isinstance(message, Files | Piece | Configure):
            # Was on its way, or asked for, before the drain.
            return
        if isinstance(message, Configure):
            self._configure(message.task)
        elif isinstance(message, Drain):
            self._is_draining = True
        elif isinstance(message, Unit) and self._handler is not None:
            if len(frames) != 1:
                raise ProtocolError(f"Unit {message.unit} has {len(frames)} frames instead of 1.")
            self._jobs.append(_Job(message, frames[0]))
            self._tokenize_ahead()
        elif isinstance(message, Flush):
            # A flush asks for what is done so far, and is answered even when that is nothing.
            if isinstance(self._handler, Accumulating):
                self._send_snapshot(self._handler)
        elif isinstance(message, Ping):
            pass
        elif isinstance(message, Welcome):
            print(f"joined as {message.name}", flush=True)
        elif isinstance(message, Files):
            try:
                self._files.bring(message)
            except Drained:
                self._aside.clear()
                self._is_draining = True
        elif self._handler is None or not self._handler.take(message, frames):
            raise ProtocolError(f"A worker cannot take a {type(message).__name__} message now.")

    def _tokenize_ahead(self) -> None:
        assert self._handler is not None
        for job in islice(self._jobs, TOKENIZED_AHEAD):
            if job.prepared is None:
                job.prepared = self._tokenizing.submit(
                    self._handler.prepare, job.frame, job.message.row_count
                )

    def _configure(self, task: Task) -> None:
        if isinstance(task, TrainTask):
            raise ConfigError("A worker does not train; ranks do.")
        task = self._files.localized(task)
        self._drop_jobs()
        self._snapshot_time, self._snapshot_cost = time.perf_counter(), 0.0
        # The old running top-k goes before the new one is made: both may not fit.
        self._handler = None
        if self._before_torch is not None:
            # A model that is missing is told at once, not after the seconds that torch takes.
            look_ahead(task)
            self._before_torch()
            self._before_torch = None
            import torch

            torch.set_num_threads(self._threads)
        self._handler = open_handler(task, self._models)
        self._peer.send(self._files.told(self._handler.ready(CREDITS)))

    def _drop_jobs(self) -> None:
        for job in self._jobs:
            if job.prepared is not None:
                job.prepared.cancel()
        self._jobs.clear()
        self._uncovered = []

    def _work(self, job: _Job) -> None:
        message, handler = job.message, self._handler
        started = time.perf_counter()
        try:
            assert job.prepared is not None
            assert handler is not None
            prepared = job.prepared.result()
            answer, frames = handler.work(message, prepared, started, self._count)
            self._peer.send(answer, frames)
            if isinstance(handler, Accumulating):
                self._cover(message, handler)
        except Exception as error:
            if "CUDA error" in str(error) and not is_out_of_memory(error):
                # After one the device answers nothing but errors; another process may go on.
                raise WorkerFault(
                    f"The GPU failed: {str(error).splitlines()[0]}", is_retryable=True
                ) from error
            self._peer.send(
                Failed(unit=message.unit, attempt=message.attempt, error=to_info(error))
            )

    def _cover(self, message: Unit, handler: Accumulating) -> None:
        self._uncovered.append(SnapshotUnit(unit=message.unit, attempt=message.attempt))
        # Slow units (a CPU, long texts) would leave much to do again after a death; a big snapshot
        # must stay a small share of the work.
        pause = max(_SNAPSHOT_SECONDS, 20 * self._snapshot_cost)
        is_due = time.perf_counter() - self._snapshot_time >= pause
        if is_due or len(self._uncovered) >= handler.snapshot_every:
            self._send_snapshot(handler)

    def _send_snapshot(self, handler: Accumulating) -> None:
        started = time.perf_counter()
        message, frames = handler.snapshot(self._uncovered)
        self._peer.send(message, frames)
        self._uncovered = []
        self._snapshot_time = time.perf_counter()
        self._snapshot_cost = self._snapshot_time - started

    def _count(self) -> None:
        self._peer.progress += 1
        self._on_move()
