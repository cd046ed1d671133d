"""What the tests of the Trainer share: one in this process, and a made-up orchestrator that feeds it."""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from quarry_runtime.protocol.messages import (
    LossSpec,
    MicroBatch,
    Next,
    Seal,
    Sealing,
    StopTraining,
    TrainStep,
    TrainTask,
)
from quarry_runtime.protocol.tensor import pack
from quarry_runtime.training import rank

#: Queries of a micro-batch, passages of a query.
Q, P = 2, 2
WORDS = ["amber", "river", "stone", "cloud", "violet", "copper", "forest"]


class Orchestrator:
    """Answers `next` with made-up texts, as the TypeScript side does over a socket."""

    queries, passages_per_query = Q, P

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.told: list[Any] = []
        #: Sides whose records have their own row as a further field.
        self.extras_of: tuple[str, ...] = ()
        #: Whether checkpoints may count.
        self.is_sealing = True
        #: As a Connection counts for its heartbeats.
        self.progress = 0
        #: Prompts of the passages' data, in turn.
        self.passage_prompts: list[str | None] = [None]
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def send(self, message: Any, frames: Sequence[Any] = ()) -> None:
        assert not frames
        if not isinstance(message, Next):
            self.told.append(message)
            if isinstance(message, Sealing) and self.is_sealing:
                self.seal(message.step)
            return
        self.asked.append((message.step, message.micro_step))
        self._answers.put(self._micro_batch(message))

    def receive(self, timeout: float | None = None) -> Any:
        return self._answers.get(timeout=timeout)

    @property
    def steps(self) -> list[TrainStep]:
        """What it was told of finished steps."""
        return [message for message in self.told if isinstance(message, TrainStep)]

    def stop(self, save: bool, ends_batches: bool = False) -> None:
        self._answers.put((StopTraining(save=save, ends_batches=ends_batches), []))

    def seal(self, step: int) -> None:
        self._answers.put((Seal(step=step), []))

    def _micro_batch(self, ask: Next) -> Any:
        per_query = self.passages_per_query
        first = (ask.step * 10 + ask.micro_step) * Q
        queries = [first + number for number in range(Q)]
        passages = [1000 + first * per_query + number for number in range(Q * per_query)]
        tensors = [
            np.arange(Q, dtype=np.int32) * per_query,
            np.zeros((Q, Q * per_query), np.uint8),
            np.zeros((Q, per_query), np.float32),
            np.full(Q, per_query, np.int32),
            np.zeros(Q, np.int32),
        ]
        specs, data = zip(*(pack(tensor, 3 + n) for n, tensor in enumerate(tensors)), strict=True)
        message = MicroBatch(
            step=ask.step,
            micro_step=ask.micro_step,
            positive_columns=specs[0],
            mask=specs[1],
            labels=specs[2],
            counts=specs[3],
            sources=specs[4],
        )
        prompts = self.passage_prompts * (Q * per_query // len(self.passage_prompts))
        tables = [
            self._table(queries, [None] * Q, "queries" in self.extras_of),
            self._table(passages, prompts, "passages" in self.extras_of),
        ]
        return message, [*tables, *data]

    def _table(self, rows: list[int], prompts: list[str | None], has_extras: bool) -> memoryview:
        texts = [
            " ".join(WORDS[(row * k) % len(WORDS)] for k in range(1, 4 + row % 3)) for row in rows
        ]
        columns = {
            "row": pa.array(rows, pa.int32()),
            "idRank": pa.array(rows, pa.int32()),
            "title": pa.array([""] * len(rows), pa.utf8()),
            "text": pa.array(texts, pa.utf8()),
            "prompt": pa.array(prompts, pa.utf8()),
        }
        if has_extras:
            columns["extras"] = pa.array([f'{{"row": {row}}}' for row in rows], pa.utf8())
        batch = pa.record_batch(columns)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        return memoryview(sink.getvalue())


@pytest.fixture(scope="session")
def fake_orchestrator() -> Callable[[], Orchestrator]:
    """Makes an orchestrator that nothing was asked of yet."""
    return Orchestrator


@pytest.fixture(scope="session")
def loss_spec() -> Callable[..., LossSpec]:
    """Makes a LossSpec of a name and its options, for all sources."""

    def make(name: str, **options: Any) -> LossSpec:
        return LossSpec(name=name, weight=1, sources=[], matryoshka=None, options=options)

    return make


@pytest.fixture
def build(
    tmp_path: Path,
    tiny_bert: Path,
    model_spec: Callable[..., Any],
    loss_spec: Callable[..., LossSpec],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Any]:
    """Makes a Trainer as a rank does, with the tiny model: 4 steps of 2 micro-steps unless the task is given others."""

    def make(
        orchestrator: Orchestrator,
        resume: Path | None = None,
        is_dropout_on: bool = True,
        **changes: Any,
    ) -> Any:
        fields: dict[str, Any] = {
            "model": model_spec(tiny_bert),
            "losses": [loss_spec("infonce")],
            "sources": ["all"],
            "mini_batch_size": None,
            "length_groups": None,
            "retriever": None,
            "args": {"save_steps": 2, "learning_rate": 1e-2},
            "output_dir": str(tmp_path / "out"),
            "max_steps": 4,
            "queries_per_rank": Q,
            "passages_per_query": P,
            "accumulation_steps": 2,
            "seed": 5,
            "resume_from": str(resume) if resume else None,
            "is_dropout_on": is_dropout_on,
            "eval_steps": None,
            "is_evaluating": False,
            "checkpoint_every": None,
        }
        with monkeypatch.context() as patch:
            patch.setattr("torch.cuda.is_available", lambda: False)
            return rank._build(orchestrator, TrainTask(**(fields | changes)))  # type: ignore[arg-type]

    return make
