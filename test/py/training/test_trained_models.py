"""Adapters, encoders of their own and prompts in the Trainer: what is trained, saved and gone on with."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from quarry_runtime.protocol.messages import AdapterSpec, Next

# The made-up orchestrator and the trainer of test_trainer.py: tests are no package to import from.
_SPEC = importlib.util.spec_from_file_location(
    "trainer_harness", Path(__file__).with_name("test_trainer.py")
)
assert _SPEC is not None
assert _SPEC.loader is not None
_harness: Any = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_harness)
build, steps_of, P, Q = _harness.build, _harness.steps_of, _harness.P, _harness.Q
Orchestrator: Any = _harness.Orchestrator


def test_an_adapter_is_all_that_is_trained_and_saved_and_a_resume_goes_on_with_it(
    build: Callable[..., Any], tiny_bert: Path, model_spec: Callable[..., Any]
) -> None:
    adapter = AdapterSpec(
        r=4,
        alpha=8,
        dropout=0.1,
        target_modules=None,
        rslora=False,
        dora=False,
        base_dtype="float32",
    )
    checkpointing = {"save_steps": 2, "learning_rate": 1e-2, "gradient_checkpointing": True}
    whole, resumed = Orchestrator(), Orchestrator()
    trainer = build(whole, model=model_spec(tiny_bert, adapter=adapter), args=checkpointing)
    trainer.train()
    folder = Path(trainer.args.output_dir) / "checkpoint-2"
    names = {path.name for path in folder.iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "modules.json"} <= names
    assert "model.safetensors" not in names
    spec = model_spec(folder, adapter=adapter)
    again = build(resumed, resume=folder, model=spec, args=checkpointing)
    again.train(resume_from_checkpoint=str(folder))
    wanted = {step.step: step.loss for step in steps_of(whole)}
    found = {step.step: step.loss for step in steps_of(resumed)}
    assert found == {step: pytest.approx(wanted[step], abs=1e-6) for step in (3, 4)}
    learned = [p for p in again.model.parameters() if p.requires_grad]
    for left, right in zip(trainer.model.parameters(), again.model.parameters(), strict=True):
        assert torch.allclose(left, right, atol=1e-6)
    assert sum(p.numel() for p in learned) * 5 < sum(p.numel() for p in again.model.parameters())


def test_separate_towers_are_trained_apart_and_a_resume_finds_both(
    build: Callable[..., Any], tiny_bert: Path, model_spec: Callable[..., Any]
) -> None:
    whole, resumed = Orchestrator(), Orchestrator()
    trainer = build(whole, model=model_spec(tiny_bert, towers="separate"))
    trainer.train()
    folder = Path(trainer.args.output_dir) / "checkpoint-2"
    again = build(resumed, resume=folder, model=model_spec(folder, towers="separate"))
    again.train(resume_from_checkpoint=str(folder))
    wanted = {step.step: step.loss for step in steps_of(whole)}
    found = {step.step: step.loss for step in steps_of(resumed)}
    assert found == {step: pytest.approx(wanted[step], abs=1e-6) for step in (3, 4)}
    query, passage = (trainer.model.encoder.tower(side) for side in ("query", "passage"))
    pairs = zip(query.parameters(), passage.parameters(), strict=True)
    assert any(not torch.equal(left, right) for left, right in pairs)


def test_prompts_of_the_data_and_of_the_model_stand_before_the_texts_that_are_trained_on(
    build: Callable[..., Any], tiny_bert: Path, model_spec: Callable[..., Any]
) -> None:
    class Prompting(Orchestrator):
        def _micro_batch(self, ask: Next) -> Any:
            message, frames = super()._micro_batch(ask)
            with pa.ipc.open_stream(frames[1]) as reader:
                passages = reader.read_all()
            prompts = pa.array(["look: ", None] * (len(passages) // 2), pa.utf8())
            passages = passages.append_column("prompt", prompts)
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, passages.schema) as writer:
                writer.write_table(passages)
            return message, [frames[0], memoryview(sink.getvalue()), *frames[2:]]

    prompts = {"query_prompt": "ask: ", "passage_prompt": "read: "}
    trainer = build(Prompting(), model=model_spec(tiny_bert, **prompts))
    plain = build(Orchestrator(), model=model_spec(tiny_bert, query_prompt="", passage_prompt=""))
    batch, without = next(iter(trainer.feed)), next(iter(plain.feed))
    tokenizer = trainer.model.encoder.tokenizer

    def texts(batch: dict[str, Any], side: str) -> list[str]:
        return tokenizer.batch_decode(batch[side]["input_ids"], skip_special_tokens=True)

    def begun(before: list[str], rows: list[str]) -> list[str]:
        ids = [tokenizer(prompt)["input_ids"] for prompt in before]
        starts = tokenizer.batch_decode(ids, skip_special_tokens=True)
        return [f"{start} {row}" for start, row in zip(starts, rows, strict=True)]

    assert texts(batch, "queries") == begun(["ask:"] * Q, texts(without, "queries"))
    expected = ["look:", "read:"] * (Q * P // 2)
    assert texts(batch, "passages") == begun(expected, texts(without, "passages"))
