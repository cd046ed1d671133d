"""The Trainer in one process: what it reads, reports, saves, and says when numbers break."""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from quarry_runtime.errors import ConfigError, ProtocolError, UnusableBatch
from quarry_runtime.modeling.load import load_encoder
from quarry_runtime.protocol.messages import (
    Checkpoint,
    LossSpec,
    MicroBatch,
    Next,
    StopTraining,
    TrainStep,
    TrainTask,
)
from quarry_runtime.protocol.tensor import pack
from quarry_runtime.training.arguments import training_arguments
from quarry_runtime.training.build import build_objective, build_retriever
from quarry_runtime.training.checkpoints import verify
from quarry_runtime.training.feed import Feed
from quarry_runtime.training.loss_state import NAME, load_loss
from quarry_runtime.training.trainer import QuarryTrainer

Q, P = 2, 2
WORDS = ["amber", "river", "stone", "cloud", "violet", "copper", "forest"]


class Orchestrator:
    """Answers `next` with made-up texts, as the TypeScript side does over a socket."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.told: list[Any] = []
        #: Whether each record has its own row as a further field.
        self.has_extras = False
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def send(self, message: Any, frames: Sequence[Any] = ()) -> None:
        assert not frames
        if not isinstance(message, Next):
            self.told.append(message)
            return
        self.asked.append((message.step, message.micro_step))
        self._answers.put(self._micro_batch(message))

    def receive(self, timeout: float | None = None) -> Any:
        return self._answers.get(timeout=timeout)

    def stop(self, save: bool) -> None:
        self._answers.put((StopTraining(save=save), []))

    def _micro_batch(self, ask: Next) -> Any:
        first = (ask.step * 10 + ask.micro_step) * Q
        queries = [first + number for number in range(Q)]
        passages = [1000 + first * P + number for number in range(Q * P)]
        tensors = [
            np.arange(Q, dtype=np.int32) * P,
            np.zeros((Q, Q * P), np.uint8),
            np.zeros((Q, P), np.float32),
            np.full(Q, P, np.int32),
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
        tables = [table(rows, self.has_extras) for rows in (queries, passages)]
        return message, [*tables, *data]


def loss_spec(name: str, **options: Any) -> LossSpec:
    return LossSpec(name=name, weight=1, sources=[], matryoshka=None, options=options)


def table(rows: list[int], has_extras: bool = False) -> memoryview:
    texts = [" ".join(WORDS[(row * k) % len(WORDS)] for k in range(1, 4 + row % 3)) for row in rows]
    columns = {
        "row": pa.array(rows, pa.int32()),
        "idRank": pa.array(rows, pa.int32()),
        "title": pa.array([""] * len(rows), pa.utf8()),
        "text": pa.array(texts, pa.utf8()),
    }
    if has_extras:
        columns["prompt"] = pa.nulls(len(rows), pa.utf8())
        columns["extras"] = pa.array([f'{{"row": {row}}}' for row in rows], pa.utf8())
    batch = pa.record_batch(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return memoryview(sink.getvalue())


@pytest.fixture
def build(tmp_path: Path, tiny_bert: Path, model_spec: Callable[..., Any]) -> Callable[..., Any]:
    def make(
        orchestrator: Orchestrator,
        resume: Path | None = None,
        is_dropout_on: bool = True,
        **changes: Any,
    ) -> QuarryTrainer:
        output = tmp_path / "out"
        fields: dict[str, Any] = {
            "model": model_spec(resume or tiny_bert),
            "losses": [loss_spec("infonce")],
            "sources": ["all"],
            "mini_batch_size": None,
            "retriever": None,
            "args": {"save_steps": 2, "learning_rate": 1e-2},
            "output_dir": str(output),
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
        task = TrainTask(**(fields | changes))
        encoder = load_encoder(task.model, "cpu", for_training=True)
        first = verify(resume, output).step if resume else 0
        feed = Feed(orchestrator, encoder, task, 0, first, is_pinned=False)
        feed.start()
        args, keep = training_arguments(task, is_on_cpu=True)
        retriever = build_retriever(task, encoder, build_objective(task, encoder.contract))
        if resume:
            load_loss(resume, retriever)
        return QuarryTrainer(retriever, args, task, feed, orchestrator.send, keep)

    return make


def steps_of(orchestrator: Orchestrator) -> list[TrainStep]:
    return [message for message in orchestrator.told if isinstance(message, TrainStep)]


def test_a_checkpoint_gives_the_same_vectors_in_transformers_sentence_transformers_and_quarry(
    build: Callable[..., Any], model_spec: Callable[..., Any]
) -> None:
    from sentence_transformers import SentenceTransformer
    from transformers import AutoModel

    orchestrator = Orchestrator()
    trainer = build(orchestrator)
    trainer.train()
    folder = Path(trainer.args.output_dir) / "checkpoint-4"
    assert [m for m in orchestrator.told if isinstance(m, Checkpoint)][-1].path == str(folder)
    texts = ["amber river", "cloud of stone and copper"]
    encoder = trainer.model.encoder.eval()
    ids = encoder.tokenize(texts, "passage")["input_ids"]
    with torch.no_grad():
        expected = encoder(encoder.collate(ids), "passage")
        again = load_encoder(model_spec(folder), "cpu")
        assert torch.equal(again(again.collate(ids), "passage"), expected)
        theirs = torch.tensor(SentenceTransformer(str(folder), device="cpu").encode(texts))
        assert torch.allclose(theirs, expected, atol=1e-5)
        plain = AutoModel.from_pretrained(folder).eval()(**encoder.collate(ids)).last_hidden_state
        mask = encoder.collate(ids)["attention_mask"].unsqueeze(-1)
        pooled = torch.nn.functional.normalize((plain * mask).sum(1) / mask.sum(1), dim=-1)
        assert torch.allclose(pooled, expected, atol=1e-5)


def test_checkpoints_are_written_where_negatives_are_mined_besides_those_that_are_asked_for(
    build: Callable[..., Any],
) -> None:
    orchestrator = Orchestrator()
    build(orchestrator, checkpoint_every=3).train()
    steps = [message.step for message in orchestrator.told if isinstance(message, Checkpoint)]
    assert steps == [2, 3, 4]


def test_every_micro_step_is_asked_for_once_in_order_and_every_step_reported(
    build: Callable[..., Any],
) -> None:
    orchestrator = Orchestrator()
    build(orchestrator).train()
    assert orchestrator.asked == [(step, micro) for step in range(4) for micro in range(2)]
    steps = steps_of(orchestrator)
    assert [step.step for step in steps] == [1, 2, 3, 4]
    assert [step.learning_rate for step in steps] == pytest.approx([1e-2, 7.5e-3, 5e-3, 2.5e-3])
    assert all(
        step.grad_norm and step.seconds > 0 and 0 <= step.wait_seconds <= step.seconds
        for step in steps
    )


def test_a_resume_begins_with_the_very_next_batch_and_repeats_the_curve_with_dropout_on(
    build: Callable[..., Any],
) -> None:
    whole, resumed = Orchestrator(), Orchestrator()
    trainer = build(whole)
    trainer.train()
    folder = Path(trainer.args.output_dir) / "checkpoint-2"
    again = build(resumed, resume=folder)
    # What happened to the generators in between must not matter.
    torch.rand(17)
    again.train(resume_from_checkpoint=str(folder))
    assert resumed.asked[0] == (2, 0)
    wanted = {step.step: step.loss for step in steps_of(whole)}
    found = {step.step: step.loss for step in steps_of(resumed)}
    assert found == {step: pytest.approx(wanted[step], abs=1e-6) for step in (3, 4)}
    for left, right in zip(trainer.model.parameters(), again.model.parameters(), strict=True):
        assert torch.allclose(left, right, atol=1e-6)


def test_dropout_changes_the_curve_and_without_it_the_encoder_stays_in_eval_mode(
    build: Callable[..., Any],
) -> None:
    on, off = Orchestrator(), Orchestrator()
    build(on).train()
    trainer = build(off, is_dropout_on=False)
    trainer.train()
    assert [step.loss for step in steps_of(on)] != [step.loss for step in steps_of(off)]
    assert not trainer.model.encoder.training


@pytest.mark.parametrize("save", [True, False])
def test_a_stop_ends_after_the_step_in_hand_with_a_checkpoint_if_asked(
    build: Callable[..., Any], save: bool
) -> None:
    orchestrator = Orchestrator()
    trainer = build(orchestrator, args={"save_steps": 100})
    orchestrator.stop(save)
    while trainer.feed.stop_wish() == 0:
        pass
    trainer.train()
    assert trainer.state.global_step == 1
    assert (
        Path(trainer.args.output_dir) / "checkpoint-1" / "quarry-checkpoint.json"
    ).exists() == save


def test_a_pause_comes_after_the_checkpoints_that_are_due_and_leaves_no_trace_in_the_losses(
    build: Callable[..., Any],
) -> None:
    undisturbed, paused = Orchestrator(), Orchestrator()
    build(undisturbed).train()
    trainer = build(paused, args={"save_steps": 100, "learning_rate": 1e-2}, eval_steps=3)
    steps: list[int] = []

    def pause(step: int) -> bool:
        folder = Path(trainer.args.output_dir) / f"checkpoint-{step}"
        assert (folder / "quarry-checkpoint.json").exists()
        torch.manual_seed(0)
        steps.append(step)
        return False

    trainer.pause = pause
    trainer.train()
    assert steps == [3, 4]
    losses = [[step.loss for step in steps_of(each)] for each in (undisturbed, paused)]
    assert losses[0] == losses[1]


def test_a_pause_may_end_the_training_with_its_step(build: Callable[..., Any]) -> None:
    trainer = build(Orchestrator(), eval_steps=2)
    trainer.pause = lambda step: step == 2
    trainer.train()
    assert trainer.state.global_step == 2


def test_a_vector_that_is_not_a_number_stops_before_the_weights_change_and_names_its_row(
    build: Callable[..., Any],
) -> None:
    orchestrator = Orchestrator()
    trainer = build(orchestrator, args={"save_steps": 1})
    encoder = trainer.model.encoder
    calls = 0

    def poison(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls != 6:  # Step 2, micro-step 1, passages.
            return output
        broken = torch.zeros_like(output)
        broken[1] = float("nan")
        return output + broken

    encoder.register_forward_hook(poison)
    with pytest.raises(
        UnusableBatch, match="Step 2: the loss or its gradient is not finite"
    ) as caught:
        trainer.train()
    row = 1000 + 10 * Q * P + 1
    assert caught.value.rows == [row]
    assert (caught.value.query_rows, caught.value.passage_rows) == ([], [row])
    assert [step.step for step in steps_of(orchestrator)] == [1]
    assert all(torch.isfinite(parameter).all() for parameter in encoder.parameters())
    output = Path(trainer.args.output_dir)
    assert verify(output / "checkpoint-1", output).step == 1
    assert not (output / "checkpoint-2").exists()


def test_a_learned_temperature_is_trained_and_survives_a_resume_to_the_bit(
    build: Callable[..., Any],
) -> None:
    options: dict[str, Any] = {
        "losses": [loss_spec("infonce", learnableTemperature=True)],
        "args": {"save_steps": 2, "learning_rate": 1e-2, "weight_decay": 0.5},
    }
    whole, resumed = Orchestrator(), Orchestrator()
    trainer = build(whole, **options)
    start = trainer.model.state_dict()["objective.0.temperature.log_scale"].clone()
    trainer.train()
    folder = Path(trainer.args.output_dir) / "checkpoint-2"
    assert NAME in {entry.path for entry in verify(folder, folder.parent).files}
    again = build(resumed, resume=folder, **options)
    loaded = again.model.state_dict()["objective.0.temperature.log_scale"].clone()
    assert not torch.equal(loaded, start)
    again.train(resume_from_checkpoint=str(folder))
    for left, right in zip(trainer.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(left, right)
    assert [s.loss for s in steps_of(resumed)] == [s.loss for s in steps_of(whole)][2:]
    decayed = trainer.get_decay_parameter_names(trainer.model)
    assert decayed
    assert not [name for name in decayed if "log_scale" in name]


def test_a_checkpoint_of_losses_that_learned_something_else_is_not_gone_on_with(
    build: Callable[..., Any],
) -> None:
    trainer = build(Orchestrator())
    trainer.train()
    folder = Path(trainer.args.output_dir) / "checkpoint-2"
    assert not (folder / NAME).exists()
    with pytest.raises(
        ConfigError, match=r"losses that learn nothing, not objective\.0\.temperature"
    ):
        build(Orchestrator(), resume=folder, losses=[loss_spec("kl", learnableTemperature=True)])


def test_training_in_pieces_gives_the_curve_of_the_whole_batch(build: Callable[..., Any]) -> None:
    whole, pieces = Orchestrator(), Orchestrator()
    options: dict[str, Any] = {
        "losses": [loss_spec("infonce", learnableTemperature=True)],
        "is_dropout_on": False,
    }
    expected = build(whole, **options)
    expected.train()
    found = build(pieces, mini_batch_size=1, **options)
    found.train()
    assert [s.loss for s in steps_of(pieces)] == pytest.approx(
        [s.loss for s in steps_of(whole)], abs=1e-5
    )
    assert [s.grad_norm for s in steps_of(pieces)] == pytest.approx(
        [s.grad_norm for s in steps_of(whole)], abs=1e-5
    )


def test_training_in_pieces_repeats_its_curve_after_a_resume_with_dropout_on(
    build: Callable[..., Any],
) -> None:
    whole, resumed = Orchestrator(), Orchestrator()
    trainer = build(whole, mini_batch_size=1)
    trainer.train()
    folder = Path(trainer.args.output_dir) / "checkpoint-2"
    again = build(resumed, resume=folder, mini_batch_size=1)
    again.train(resume_from_checkpoint=str(folder))
    assert [s.loss for s in steps_of(resumed)] == [s.loss for s in steps_of(whole)][2:]


def test_bfloat16_trains_with_float32_weights(build: Callable[..., Any]) -> None:
    orchestrator = Orchestrator()
    trainer = build(orchestrator, args={"bf16": True, "save_steps": 100}, max_steps=2)
    trainer.train()
    assert all(parameter.dtype == torch.float32 for parameter in trainer.model.parameters())
    assert len(steps_of(orchestrator)) == 2


def test_gradient_checkpointing_gives_the_same_curve_and_is_refused_where_it_would_be_skipped(
    build: Callable[..., Any],
) -> None:
    plain, checkpointed = Orchestrator(), Orchestrator()
    build(plain, max_steps=2).train()
    build(
        checkpointed,
        max_steps=2,
        args={"gradient_checkpointing": True, "learning_rate": 1e-2},
    ).train()
    assert [s.loss for s in steps_of(checkpointed)] == pytest.approx(
        [s.loss for s in steps_of(plain)], abs=1e-5
    )
    with pytest.raises(ConfigError, match="dropout: false"):
        build(Orchestrator(), is_dropout_on=False, args={"gradient_checkpointing": True}).train()


def test_a_micro_batch_that_was_not_asked_for_is_a_protocol_error(
    build: Callable[..., Any],
) -> None:
    orchestrator = Orchestrator()
    send = orchestrator.send

    def shifted(message: Any, frames: Sequence[Any] = ()) -> None:
        if isinstance(message, Next):
            message = Next(step=message.step + 1, micro_step=0, rank=0)
        send(message, frames)

    orchestrator.send = shifted
    with pytest.raises(ProtocolError, match="instead of"):
        build(orchestrator).train()


def test_a_compiled_model_has_the_same_curve_and_saves_what_any_other_loads(
    build: Callable[..., Any], model_spec: Callable[..., Any]
) -> None:
    plain, compiled = Orchestrator(), Orchestrator()
    shared = {"max_steps": 2, "is_dropout_on": False}
    # All of torch.compile but the last step, which takes a C++ compiler minutes on a slow machine.
    compiling = {"torch_compile": True, "torch_compile_backend": "aot_eager"}
    build(plain, args={"learning_rate": 1e-2}, **shared).train()
    trainer = build(compiled, args={"learning_rate": 1e-2, **compiling}, **shared)
    trainer.train()
    assert [s.loss for s in steps_of(compiled)] == pytest.approx(
        [s.loss for s in steps_of(plain)], abs=1e-5
    )
    folder = Path(trainer.args.output_dir) / "checkpoint-2"
    encoder = load_encoder(model_spec(folder), "cpu")
    trained = dict(trainer.model.encoder.named_parameters())
    assert all(torch.equal(trained[name], value) for name, value in encoder.named_parameters())
    resumed = Orchestrator()
    again = build(resumed, resume=folder, args=compiling, is_dropout_on=False, max_steps=3)
    again.train(resume_from_checkpoint=str(folder))
    assert [step.step for step in steps_of(resumed)] == [3]


def test_further_fields_of_records_reach_the_loss(build: Callable[..., Any]) -> None:
    orchestrator = Orchestrator()
    orchestrator.has_extras = True
    trainer = build(orchestrator, max_steps=1, accumulation_steps=1)
    seen: list[Any] = []
    own = trainer.model.loss.forward

    def forward(batch: Any) -> Any:
        seen.append(
            ([e["row"] for e in batch.extras.queries], [e["row"] for e in batch.extras.passages])
        )
        return own(batch)

    trainer.model.loss.forward = forward
    trainer.train()
    assert seen == [([0, 1], [1000, 1001, 1002, 1003])]
