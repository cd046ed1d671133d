"""The Trainer in one process: what it reads, reports, saves, and says when numbers break."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import TrainingArguments

from quarry_runtime.errors import ConfigError, IntegrityError, ProtocolError, UnusableBatch
from quarry_runtime.modeling.load import load_encoder
from quarry_runtime.protocol.messages import Checkpoint, Next
from quarry_runtime.training.checkpoints import read_manifest, verify
from quarry_runtime.training.retriever import broken_rows
from quarry_runtime.training.trainer import _MicroStep, _StepEnd


def test_a_checkpoint_gives_the_same_vectors_in_transformers_sentence_transformers_and_quarry(
    build: Callable[..., Any], model_spec: Callable[..., Any], fake_orchestrator: Callable[[], Any]
) -> None:
    from sentence_transformers import SentenceTransformer
    from transformers import AutoModel

    orchestrator = fake_orchestrator()
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
    build: Callable[..., Any], fake_orchestrator: Callable[[], Any]
) -> None:
    orchestrator = fake_orchestrator()
    build(orchestrator, checkpoint_every=3).train()
    steps = [message.step for message in orchestrator.told if isinstance(message, Checkpoint)]
    assert steps == [2, 3, 4]


def test_every_micro_step_is_asked_for_once_in_order_and_every_step_reported(
    build: Callable[..., Any], fake_orchestrator: Callable[[], Any]
) -> None:
    orchestrator = fake_orchestrator()
    build(orchestrator).train()
    assert orchestrator.asked == [(step, micro) for step in range(4) for micro in range(2)]
    steps = orchestrator.steps
    assert [step.step for step in steps] == [1, 2, 3, 4]
    assert [step.learning_rate for step in steps] == pytest.approx([1e-2, 7.5e-3, 5e-3, 2.5e-3])
    assert all(
        step.grad_norm and step.seconds > 0 and 0 <= step.wait_seconds <= step.seconds
        for step in steps
    )


def test_a_resume_begins_with_the_very_next_batch_and_repeats_the_curve_with_dropout_on(
    build: Callable[..., Any], fake_orchestrator: Callable[[], Any]
) -> None:
    whole, resumed = fake_orchestrator(), fake_orchestrator()
    trainer = build(whole)
    trainer.train()
    folder = Path(trainer.args.output_dir) / "checkpoint-2"
    again = build(resumed, resume=folder)
    # What happened to the generators in between must not matter.
    torch.rand(17)
    again.train(resume_from_checkpoint=str(folder))
    assert resumed.asked[0] == (2, 0)
    wanted = {step.step: step.loss for step in whole.steps}
    found = {step.step: step.loss for step in resumed.steps}
    assert found == {step: pytest.approx(wanted[step], abs=1e-6) for step in (3, 4)}
    for left, right in zip(trainer.model.parameters(), again.model.parameters(), strict=True):
        assert torch.allclose(left, right, atol=1e-6)


def test_a_resume_saves_as_often_as_its_own_options_say(
    build: Callable[..., Any], fake_orchestrator: Callable[[], Any]
) -> None:
    resumed = fake_orchestrator()
    trainer = build(fake_orchestrator(), max_steps=8)
    trainer.train()
    folder = Path(trainer.args.output_dir) / "checkpoint-2"
    args = {"save_steps": 5, "learning_rate": 1e-2}
    again = build(resumed, resume=folder, max_steps=8, args=args)
    again.train(resume_from_checkpoint=str(folder))
    assert [message.step for message in resumed.told if isinstance(message, Checkpoint)] == [5, 8]


@pytest.mark.parametrize(
    ("args", "what"),
    [
        ({"adam_beta2": 1.0}, "the optimiser cannot be made (ValueError: Invalid beta"),
        ({"optim": "galore_adamw"}, "the optimiser cannot be made ("),
        (
            {
                "lr_scheduler_type": "warmup_stable_decay",
                "lr_scheduler_kwargs": {"num_decay_steps": 1, "decay_type": "soon"},
            },
            "the schedule cannot be made (ValueError: Unknown decay type",
        ),
        (
            {"lr_scheduler_type": "cosine", "lr_scheduler_kwargs": {"cycles": 2}},
            "the schedule cannot be made (TypeError: ",
        ),
    ],
)
def test_what_optimiser_or_schedule_refuse_is_told_as_a_fault_of_the_arguments(
    build: Callable[..., Any],
    fake_orchestrator: Callable[[], Any],
    args: dict[str, Any],
    what: str,
) -> None:
    with pytest.raises(ConfigError) as refused:
        build(fake_orchestrator(), args=args).train()
    assert str(refused.value).startswith(f"train.args: {what}")


def test_dropout_changes_the_curve_and_without_it_the_encoder_stays_in_eval_mode(
    build: Callable[..., Any], fake_orchestrator: Callable[[], Any]
) -> None:
    on, off = fake_orchestrator(), fake_orchestrator()
    build(on).train()
    trainer = build(off, is_dropout_on=False)
    trainer.train()
    assert [step.loss for step in on.steps] != [step.loss for step in off.steps]
    assert not trainer.model.encoder.training


def test_dropout_is_drawn_anew_for_each_rank_step_micro_step_and_piece(
    build: Callable[..., Any],
    fake_orchestrator: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer = build(fake_orchestrator())
    drawn = set()
    for rank, step, micro_step, piece in itertools.product((0, 1), repeat=4):
        monkeypatch.setattr(TrainingArguments, "process_index", rank)
        trainer.state.global_step = step
        trainer._micro_steps = [None] * micro_step
        trainer._seed_piece(piece)
        drawn.add(float(torch.rand(())))
    assert len(drawn) == 16


def another_rank(monkeypatch: pytest.MonkeyPatch, numbers: list[float]) -> None:
    """A process group of two: what is gathered is the other rank's numbers, then this one's."""

    def gather(gathered: torch.Tensor, own: torch.Tensor) -> None:
        gathered.copy_(torch.cat([torch.tensor(numbers), own]))

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_gather_into_tensor", gather)


def test_all_ranks_stop_where_one_heard_of_it_and_a_step_reports_what_all_had(
    build: Callable[..., Any],
    fake_orchestrator: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    orchestrator = fake_orchestrator()
    trainer = build(orchestrator)
    # Loss, seconds of waiting and wish of another rank: a wish of 2 is to save and stop.
    another_rank(monkeypatch, [3.0, 9.0, 2.0])
    trainer._micro_steps = [_MicroStep(None, torch.tensor(1.0), None)]  # type: ignore[arg-type]
    assert trainer.finish_step() == 2
    (step,) = orchestrator.steps
    assert (step.loss, step.wait_seconds) == (2.0, 9.0)


@pytest.mark.parametrize(("name", "scope"), [("kl", 0), ("infonce", 4)])
def test_a_checkpoint_says_which_other_layouts_may_go_on_with_it(
    build: Callable[..., Any],
    fake_orchestrator: Callable[[], Any],
    loss_spec: Callable[..., Any],
    tmp_path: Path,
    name: str,
    scope: int,
) -> None:
    build(fake_orchestrator(), losses=[loss_spec(name)])._seal(tmp_path)
    manifest = read_manifest(tmp_path)
    # A loss over a query's own passages is the same however a batch is cut.
    assert (manifest.negatives_scope, manifest.queries_per_step) == (scope, 4)


def test_what_must_not_change_on_a_resume_counts_the_queries_of_all_ranks(
    build: Callable[..., Any],
    fake_orchestrator: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    trainer = build(fake_orchestrator())
    another_rank(monkeypatch, [])
    trainer._seal(tmp_path)
    manifest = read_manifest(tmp_path)
    assert (manifest.negatives_scope, manifest.queries_per_step, manifest.world_size) == (8, 8, 2)


def test_as_many_checkpoints_stay_as_asked_for_and_nothing_of_a_half_written_one_is_in_them(
    build: Callable[..., Any], fake_orchestrator: Callable[[], Any]
) -> None:
    args = {"save_steps": 1, "save_total_limit": 1}
    trainer = build(fake_orchestrator(), args=args, max_steps=2, accumulation_steps=1)
    output = Path(trainer.args.output_dir)
    half_written = output / "checkpoint-2"
    half_written.mkdir(parents=True)
    (half_written / "adapter_model.safetensors").write_bytes(b"of another day")
    trainer.train()
    assert [folder.name for folder in output.iterdir()] == ["checkpoint-2"]
    assert not (half_written / "adapter_model.safetensors").exists()
    assert verify(half_written, output).step == 2


def test_a_checkpoint_that_was_damaged_is_not_gone_on_with(
    build: Callable[..., Any], fake_orchestrator: Callable[[], Any]
) -> None:
    trainer = build(fake_orchestrator(), max_steps=1, accumulation_steps=1)
    trainer.train()
    folder = Path(trainer.args.output_dir) / "checkpoint-1"
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"model\.safetensors is not what was written"):
        build(fake_orchestrator(), resume=folder)


def test_a_pause_does_not_take_back_the_wish_to_stop() -> None:
    task = SimpleNamespace(eval_steps=2, max_steps=4)
    trainer: Any = SimpleNamespace(task=task, pause=lambda _: False, begin_step=lambda: None)
    state, control = SimpleNamespace(global_step=2), SimpleNamespace(should_training_stop=True)
    _StepEnd(trainer).on_save(None, state, control)
    assert control.should_training_stop
    trainer.pause, control.should_training_stop = lambda _: True, False
    _StepEnd(trainer).on_save(None, state, control)
    assert control.should_training_stop


def test_a_vector_is_broken_by_a_single_number() -> None:
    vectors = torch.tensor([[1.0, float("nan")], [float("inf"), 1.0], [1.0, 2.0]])
    assert broken_rows(vectors).tolist() == [True, True, False]


def infinite(gradient: torch.Tensor) -> torch.Tensor:
    return torch.full_like(gradient, float("inf"))


def test_a_gradient_that_is_not_a_number_stops_before_the_weights_change(
    build: Callable[..., Any], fake_orchestrator: Callable[[], Any]
) -> None:
    trainer = build(fake_orchestrator(), max_steps=1, accumulation_steps=1)
    weight = next(each for each in trainer.model.parameters() if each.requires_grad)
    weight.register_hook(infinite)
    with pytest.raises(UnusableBatch, match="every vector is finite"):
        trainer.train()
    assert all(torch.isfinite(parameter).all() for parameter in trainer.model.parameters())


def test_in_float16_an_infinite_gradient_is_left_to_the_scaler(
    build: Callable[..., Any], fake_orchestrator: Callable[[], Any]
) -> None:
    trainer = build(fake_orchestrator())
    # Without a GPU accelerate has none to train with.
    trainer.args.fp16 = True
    trainer.create_optimizer_and_scheduler(1)
    trainer._micro_steps = [_MicroStep(None, torch.tensor(1.0), None)]  # type: ignore[arg-type]
    assert trainer._get_grad_norm(trainer.model, torch.tensor(float("inf"))) == float("inf")


def test_a_vector_that_is_not_a_number_stops_before_the_weights_change_and_names_its_row(
    build: Callable[..., Any], fake_orchestrator: Callable[[], Any]
) -> None:
    orchestrator = fake_orchestrator()
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
    row = 1000 + 10 * orchestrator.queries * orchestrator.passages_per_query + 1
    assert caught.value.rows == [row]
    assert (caught.value.query_rows, caught.value.passage_rows) == ([], [row])
    assert [step.step for step in orchestrator.steps] == [1]
    assert all(torch.isfinite(parameter).all() for parameter in encoder.parameters())
    output = Path(trainer.args.output_dir)
    assert verify(output / "checkpoint-1", output).step == 1
    assert not (output / "checkpoint-2").exists()


def test_bfloat16_trains_with_float32_weights(
    build: Callable[..., Any], fake_orchestrator: Callable[[], Any]
) -> None:
    orchestrator = fake_orchestrator()
    trainer = build(orchestrator, args={"bf16": True, "save_steps": 100}, max_steps=2)
    trainer.train()
    assert all(parameter.dtype == torch.float32 for parameter in trainer.model.parameters())
    assert len(orchestrator.steps) == 2


def test_gradient_checkpointing_gives_the_same_curve_and_is_refused_where_it_would_be_skipped(
    build: Callable[..., Any], fake_orchestrator: Callable[[], Any]
) -> None:
    plain, checkpointed = fake_orchestrator(), fake_orchestrator()
    build(plain, max_steps=2).train()
    build(
        checkpointed,
        max_steps=2,
        args={"gradient_checkpointing": True, "learning_rate": 1e-2},
    ).train()
    assert [s.loss for s in checkpointed.steps] == pytest.approx(
        [s.loss for s in plain.steps], abs=1e-5
    )
    with pytest.raises(ConfigError, match="dropout: false"):
        build(
            fake_orchestrator(), is_dropout_on=False, args={"gradient_checkpointing": True}
        ).train()


def test_a_micro_batch_that_was_not_asked_for_is_a_protocol_error(
    build: Callable[..., Any], fake_orchestrator: Callable[[], Any]
) -> None:
    orchestrator = fake_orchestrator()
    send = orchestrator.send

    def shifted(message: Any, frames: Sequence[Any] = ()) -> None:
        if isinstance(message, Next):
            message = Next(step=message.step + 1, micro_step=0)
        send(message, frames)

    orchestrator.send = shifted
    with pytest.raises(ProtocolError, match="instead of"):
        build(orchestrator).train()


def test_ranks_that_do_not_see_the_scale_of_gradients_take_that_of_rank_0(
    build: Callable[..., Any],
    fake_orchestrator: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    trainer = build(fake_orchestrator())
    scaler = trainer.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=65_536)
    another_rank(monkeypatch, [1_024.0, 7.0])
    trainer._load_scaler(str(tmp_path / "checkpoint-without-scaler"))
    assert (scaler.get_scale(), scaler.state_dict()["_growth_tracker"]) == (1_024, 7)
