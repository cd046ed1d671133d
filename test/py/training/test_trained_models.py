"""Adapters, encoders of their own and prompts in the Trainer: what is trained, saved and gone on with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import msgspec
import pytest
import torch

from quarry_runtime.errors import ConfigError
from quarry_runtime.protocol.messages import AdapterSpec, RetrieverSpec
from quarry_runtime.training import rank

ADAPTER = AdapterSpec(
    r=4,
    alpha=8,
    dropout=0.1,
    target_modules=None,
    rslora=False,
    dora=False,
    base_dtype="float32",
)


@pytest.mark.parametrize("base_dtype", ["float32", "bfloat16"])
def test_an_adapter_is_all_that_is_trained_and_saved_and_a_resume_goes_on_with_it(
    base_dtype: Literal["float32", "bfloat16"],
    build: Callable[..., Any],
    fake_orchestrator: Callable[[], Any],
    tiny_bert: Path,
    model_spec: Callable[..., Any],
) -> None:
    adapter = msgspec.structs.replace(ADAPTER, base_dtype=base_dtype)
    checkpointing = {"save_steps": 2, "learning_rate": 1e-2, "gradient_checkpointing": True}
    whole, resumed = fake_orchestrator(), fake_orchestrator()
    spec = model_spec(tiny_bert, adapter=adapter)
    trainer = build(whole, model=spec, args=checkpointing)
    trainer.train()
    folder = Path(trainer.args.output_dir) / "checkpoint-2"
    names = {path.name for path in folder.iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "modules.json"} <= names
    assert "model.safetensors" not in names
    again = build(resumed, resume=folder, model=spec, args=checkpointing)
    again.train(resume_from_checkpoint=str(folder))
    wanted = {step.step: step.loss for step in whole.steps}
    found = {step.step: step.loss for step in resumed.steps}
    assert found == {step: pytest.approx(wanted[step], abs=1e-6) for step in (3, 4)}
    learned = [p for p in again.model.parameters() if p.requires_grad]
    for left, right in zip(trainer.model.parameters(), again.model.parameters(), strict=True):
        assert torch.allclose(left, right, atol=1e-6)
    assert sum(p.numel() for p in learned) * 5 < sum(p.numel() for p in again.model.parameters())


def test_an_adapter_begins_alike_on_each_rank_and_in_each_run(
    build: Callable[..., Any],
    fake_orchestrator: Callable[[], Any],
    tiny_bert: Path,
    model_spec: Callable[..., Any],
) -> None:
    spec = model_spec(tiny_bert, adapter=ADAPTER)
    # Nothing sets the generators back in between but the task's own seed.
    one, other = (build(fake_orchestrator(), model=spec).model for _ in range(2))
    for left, right in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(left, right)


def test_separate_towers_are_trained_apart_and_a_resume_finds_both(
    build: Callable[..., Any],
    fake_orchestrator: Callable[[], Any],
    tiny_bert: Path,
    model_spec: Callable[..., Any],
) -> None:
    whole, resumed = fake_orchestrator(), fake_orchestrator()
    spec = model_spec(tiny_bert, towers="separate")
    trainer = build(whole, model=spec)
    trainer.train()
    folder = Path(trainer.args.output_dir) / "checkpoint-2"
    again = build(resumed, resume=folder, model=spec)
    again.train(resume_from_checkpoint=str(folder))
    wanted = {step.step: step.loss for step in whole.steps}
    found = {step.step: step.loss for step in resumed.steps}
    assert found == {step: pytest.approx(wanted[step], abs=1e-6) for step in (3, 4)}
    query, passage = (trainer.model.encoder.tower(side) for side in ("query", "passage"))
    pairs = zip(query.parameters(), passage.parameters(), strict=True)
    assert any(not torch.equal(left, right) for left, right in pairs)


AROUND = """
import torch
import transformers
from quarry_runtime.modeling.registry import register_encoder
@register_encoder("around")
class Around(torch.nn.Module):
    def __init__(self, folder, options):
        super().__init__()
        self.model = transformers.AutoModel.from_pretrained(folder)
    def forward(self, batch, side):
        return self.model(**batch).last_hidden_state[:, 0]
"""


@pytest.mark.usefixtures("leave_no_names")
@pytest.mark.parametrize("optim", ["adamw_torch", "sgd", "adafactor"])
def test_a_resume_repeats_the_curve_where_some_weights_never_get_a_gradient(
    optim: str,
    build: Callable[..., Any],
    fake_orchestrator: Callable[[], Any],
    tiny_bert: Path,
    tmp_path: Path,
    model_spec: Callable[..., Any],
) -> None:
    plugin = tmp_path / "around.py"
    plugin.write_text(AROUND)
    spec = model_spec(tiny_bert, encoder="around", plugins=[plugin])
    args = {"save_steps": 2, "learning_rate": 1e-2, "optim": optim}
    whole, resumed = fake_orchestrator(), fake_orchestrator()
    trainer = build(whole, model=spec, args=args)
    trainer.train()
    pooler = trainer.model.encoder.module.model.pooler
    assert all(weight.requires_grad and weight.grad is None for weight in pooler.parameters())
    folder = Path(trainer.args.output_dir) / "checkpoint-2"
    again = build(resumed, resume=folder, model=spec, args=args)
    again.train(resume_from_checkpoint=str(folder))
    wanted = {step.step: step.loss for step in whole.steps}
    found = {step.step: step.loss for step in resumed.steps}
    assert found == {step: pytest.approx(wanted[step], abs=1e-6) for step in (3, 4)}
    for left, right in zip(trainer.model.parameters(), again.model.parameters(), strict=True):
        assert torch.allclose(left, right, atol=1e-6)
    state = again.optimizer.optimizer.state
    assert not any(
        weight in state for weight in again.model.encoder.module.model.pooler.parameters()
    )


def test_prompts_of_the_data_and_of_the_model_stand_before_the_texts_that_are_trained_on(
    build: Callable[..., Any],
    fake_orchestrator: Callable[[], Any],
    tiny_bert: Path,
    model_spec: Callable[..., Any],
) -> None:
    prompting = fake_orchestrator()
    prompting.passage_prompts = ["look: ", None]
    prompts = {"query_prompt": "ask: ", "passage_prompt": "read: "}
    trainer = build(prompting, model=model_spec(tiny_bert, **prompts))
    plain = build(
        fake_orchestrator(), model=model_spec(tiny_bert, query_prompt="", passage_prompt="")
    )
    batch, without = next(iter(trainer.feed)), next(iter(plain.feed))
    tokenizer = trainer.model.encoder.tokenizer

    def texts(batch: dict[str, Any], side: str) -> list[str]:
        return tokenizer.batch_decode(batch[side]["input_ids"], skip_special_tokens=True)

    def begun(before: list[str], rows: list[str]) -> list[str]:
        ids = [tokenizer(prompt)["input_ids"] for prompt in before]
        starts = tokenizer.batch_decode(ids, skip_special_tokens=True)
        return [f"{start} {row}" for start, row in zip(starts, rows, strict=True)]

    assert texts(batch, "queries") == begun(["ask:"] * prompting.queries, texts(without, "queries"))
    expected = ["look:", "read:"] * prompting.queries
    assert texts(batch, "passages") == begun(expected, texts(without, "passages"))


def test_a_model_that_can_encode_no_text_is_named_before_any_step(
    build: Callable[..., Any],
    fake_orchestrator: Callable[[], Any],
    tiny_of: Callable[..., Path],
    model_spec: Callable[..., Any],
) -> None:
    folder = tiny_of("pegasus", encoder_ffn_dim=64, decoder_ffn_dim=64)
    orchestrator = fake_orchestrator()
    with pytest.raises(ConfigError, match=r"cannot encode any text: ValueError: .*decoder_input"):
        build(orchestrator, model=model_spec(folder))
    # Not even that it is ready.
    assert orchestrator.told == []


@pytest.mark.parametrize(
    ("asked", "is_dropout_on"),
    [
        ({}, True),
        ({}, False),
        ({"adapter": msgspec.structs.replace(ADAPTER, base_dtype="bfloat16")}, True),
        ({"adapter": ADAPTER, "quantization": "8bit"}, True),
        ({"adapter": ADAPTER, "quantization": "4bit"}, True),
    ],
)
def test_a_text_that_is_tried_first_leaves_the_curve_as_it_is(
    asked: dict[str, Any],
    is_dropout_on: bool,
    build: Callable[..., Any],
    fake_orchestrator: Callable[[], Any],
    tiny_bert: Path,
    model_spec: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "quantization" in asked:
        pytest.importorskip("bitsandbytes")
    curves: list[Any] = []
    for is_tried in (True, False):
        if not is_tried:
            monkeypatch.setattr(rank, "_try", lambda *_: None)
        orchestrator = fake_orchestrator()
        given = {"model": model_spec(tiny_bert, **asked), "max_steps": 2}
        trainer = build(orchestrator, is_dropout_on=is_dropout_on, **given)
        drawn = torch.rand(())
        trainer.train()
        modes = [module.training for module in trainer.model.modules()]
        steps = [(step.loss, step.grad_norm) for step in orchestrator.steps]
        curves.append((drawn, modes, steps))
    assert curves[0] == curves[1]


@pytest.mark.parametrize(("own", "is_sharded"), [(True, False), (False, True)])
def test_a_model_that_a_plugin_calls_or_that_is_not_put_on_its_device_yet_is_not_tried(
    own: bool, is_sharded: bool, load: Callable[..., Any], tiny_bert: Path, model_spec: Any
) -> None:
    encoder = load(tiny_bert)
    encoder.transformer = None
    retriever = RetrieverSpec(name="mine", options={}) if own else None
    task = SimpleNamespace(model=model_spec(tiny_bert), retriever=retriever)
    rank._try(encoder, task, SimpleNamespace(is_fsdp_enabled=is_sharded))  # type: ignore[arg-type]


@pytest.mark.parametrize("is_dropout_on", [True, False])
def test_a_model_is_tried_in_the_mode_that_it_is_trained_in(
    is_dropout_on: bool,
    build: Callable[..., Any],
    fake_orchestrator: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from quarry_runtime.modeling import build as building

    modes: list[bool] = []
    monkeypatch.setattr(building, "try_model", lambda encoder, _: modes.append(encoder.training))
    build(fake_orchestrator(), is_dropout_on=is_dropout_on)
    assert modes == [is_dropout_on]
