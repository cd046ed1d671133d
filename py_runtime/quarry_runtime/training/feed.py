"""Keeps micro-batches ready: asks ahead of time, tokenises in its own thread, counts waiting."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from quarry_runtime.errors import ProtocolError
from quarry_runtime.modeling.formatting import NO_EXTRAS
from quarry_runtime.modeling.losses.inputs import BatchExtras
from quarry_runtime.modeling.text import Texts, read_arrow
from quarry_runtime.modeling.tokens import Side, tokenize
from quarry_runtime.protocol.messages import (
    Evaluation,
    MicroBatch,
    Next,
    Ping,
    Seal,
    Sealing,
    StopTraining,
    TrainTask,
)
from quarry_runtime.protocol.tensor import to_numpy
from quarry_runtime.training.briefing import receive
from quarry_runtime.training.length_groups import Grouping, padded, whole
from quarry_runtime.training.retriever import LengthGroups

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quarry_runtime.modeling.encoder import Encoder

#: Micro-batches asked for ahead of the one in hand: a round trip and tokenising hide behind two
#: steps.
AHEAD = 3


class Peer(Protocol):
    """What the feed needs of a Connection."""

    def send(self, message: Any, frames: Sequence[Any] = ()) -> None: ...

    def receive(self, timeout: float | None = None) -> Any: ...


@dataclass(frozen=True)
class Rows:
    """Row numbers behind a micro-batch: [Q] and [Q × P]."""

    queries: NDArray[np.int32]
    passages: NDArray[np.int32]


class Feed:
    """One rank's micro-batches, in order, from the step after the checkpoint to the last one.

    Iterating yields the keyword arguments of Retriever.forward, and `rows`. It asks for the rank's
    own micro-batches only; nothing is read for other ranks. It ends early, between two steps and on
    all ranks alike, where a stop finds them waiting for a step that nobody knows yet.
    """

    def __init__(
        self,
        peer: Peer,
        encoder: Encoder,
        task: TrainTask,
        first_step: int,
        is_pinned: bool,
        grouping: Grouping = whole,
    ) -> None:
        self._peer = peer
        self._encoder = encoder
        self._accumulation = task.accumulation_steps
        #: Optimiser steps that the weights have seen at the start.
        self.first_step = first_step
        self._first = self._asked = self._received = first_step * task.accumulation_steps
        self._end = task.max_steps * task.accumulation_steps
        self._is_pinned = is_pinned
        self._grouping = grouping
        #: None: no more micro-batches come.
        self._ready: queue.Queue[dict[str, Any] | BaseException | None] = queue.Queue()
        self._orders: queue.Queue[Evaluation | BaseException] = queue.Queue()
        self._permits: queue.Queue[Seal | BaseException] = queue.Queue()
        self._stop: StopTraining | None = None
        self._wait_seconds = 0.0
        self._thread = threading.Thread(target=self._receive, name="feed", daemon=True)

    def start(self) -> None:
        """Asks for the first micro-batches; called early, they are there for the first step."""
        self._thread.start()
        for _ in range(AHEAD):
            self._ask()

    def stop_wish(self) -> int:
        """0: go on. 1: stop without a checkpoint. 2: save, then stop."""
        return 0 if self._stop is None else 2 if self._stop.save else 1

    def next_order(self) -> Evaluation:
        """Waits for what a rank in an evaluation is told."""
        order = self._orders.get()
        if isinstance(order, BaseException):
            raise order
        return order

    def await_seal(self, step: int) -> None:
        """Waits until the orchestrator has written down all steps up to this one."""
        self._peer.send(Sealing(step=step))
        permit = self._permits.get()
        if isinstance(permit, BaseException):
            raise permit
        if permit.step != step:
            raise ProtocolError(f"Asked to seal step {step}, got {permit.step}.")

    def take_wait_seconds(self) -> float:
        """Seconds that training waited for a micro-batch since the last call."""
        seconds, self._wait_seconds = self._wait_seconds, 0.0
        return seconds

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for _ in range(self._first, self._end):
            began = time.monotonic()
            batch = self._ready.get()
            self._wait_seconds += time.monotonic() - began
            if batch is None:
                return
            if isinstance(batch, BaseException):
                raise batch
            self._ask()
            yield batch

    def _ask(self) -> None:
        if self._asked < self._end:
            step, micro_step = divmod(self._asked, self._accumulation)
            self._asked += 1
            self._peer.send(Next(step=step, micro_step=micro_step))

    def _receive(self) -> None:
        try:
            while True:
                message, frames = receive(self._peer)
                if isinstance(message, Ping):
                    continue
                if isinstance(message, MicroBatch):
                    self._ready.put(self._build(message, frames))
                elif isinstance(message, StopTraining):
                    self._stop = message
                    if message.ends_batches:
                        self._ready.put(None)
                elif isinstance(message, Evaluation):
                    self._orders.put(message)
                elif isinstance(message, Seal):
                    self._permits.put(message)
                else:
                    raise ProtocolError(
                        f"A rank in training got a {type(message).__name__} message."
                    )
        except BaseException as error:
            # Raised where it is noticed: in the training loop.
            self._ready.put(error)
            self._orders.put(error)
            self._permits.put(error)

    def _build(self, message: MicroBatch, frames: Sequence[memoryview]) -> dict[str, Any]:
        expected = divmod(self._received, self._accumulation)
        if (message.step, message.micro_step) != expected:
            got = (message.step, message.micro_step)
            raise ProtocolError(f"Micro-batch {got} came instead of {expected}.")
        self._received += 1
        queries, passages = read_arrow(frames[0]), read_arrow(frames[1])
        labels = to_numpy(message.labels, frames)
        mask = to_numpy(message.mask, frames)
        counts = to_numpy(message.counts, frames)
        sources = to_numpy(message.sources, frames)
        if (
            labels.shape[0] != len(queries.rows)
            or labels.size != len(passages.rows)
            or len(mask) != len(queries.rows)
            or len(counts) != len(queries.rows)
            or len(sources) != len(queries.rows)
        ):
            raise ProtocolError(
                f"A micro-batch of {len(queries.rows)} queries and {len(passages.rows)} passages"
                f" has labels {labels.shape}, mask {mask.shape}, counts {counts.shape} and sources"
                f" {sources.shape}."
            )
        batch = {
            "queries": self._tokens(queries, "query"),
            "passages": self._tokens(passages, "passage"),
            "positive_columns": self._tensor(to_numpy(message.positive_columns, frames)),
            "mask": self._tensor(mask),
            "labels": self._tensor(labels),
            "counts": self._tensor(counts),
            "sources": self._tensor(sources),
            "rows": Rows(queries.rows, passages.rows),
        }
        if queries.extras is not None or passages.extras is not None:
            batch["extras"] = BatchExtras(
                queries.extras or [NO_EXTRAS] * len(queries.rows),
                passages.extras or [NO_EXTRAS] * len(passages.rows),
            )
        return batch

    def _tokens(self, texts: Texts, side: Side) -> dict[str, Any]:
        ids = tokenize(self._encoder, texts, side)["input_ids"]
        batch = padded(self._encoder, ids, side, self._grouping)
        if not self._is_pinned:
            return batch
        if not isinstance(batch, LengthGroups):
            return _pinned(batch)
        batches = [_pinned(each) for each in batch["batches"]]
        return LengthGroups(batches=batches, places=batch["places"].pin_memory())

    def _tensor(self, array: NDArray[Any]) -> torch.Tensor:
        # A copy: the frame's bytes are read-only, and belong to the message.
        tensor = torch.from_numpy(array.copy())
        return tensor.pin_memory() if self._is_pinned else tensor


def _pinned(batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.pin_memory() for name, tensor in batch.items()}
