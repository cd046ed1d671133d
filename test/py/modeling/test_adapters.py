"""LoRA, rsLoRA and DoRA: trained, saved as peft has it, loaded again, gone on with and merged."""

from __future__ import annotations

import json
import shutil
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from quarry_runtime.errors import ConfigError, EnvironmentFault
from quarry_runtime.guard.adapters import merge
from quarry_runtime.guard.hashes import sha256_of
from quarry_runtime.guard.model_cache import CachedModel
from quarry_runtime.inspect import model_contract
from quarry_runtime.model_files import ModelFiles
from quarry_runtime.modeling.contract import resolve
from quarry_runtime.modeling.cross_contract import resolve_cross
from quarry_runtime.modeling.load import load_encoder
from quarry_runtime.protocol.messages import AdapterSpec, Files, ModelFile

TEXTS = ["a cat sat on the mat", "dog", "amber river stone"]
KINDS = [{}, {"rslora": True}, {"dora": True}]


def wish(**changes: Any) -> AdapterSpec:
    plain: dict[str, Any] = {"r": 4, "alpha": 8, "dropout": 0.0, "target_modules": None}
    plain |= {"rslora": False, "dora": False, "base_dtype": "float32"}
    return AdapterSpec(**{**plain, **changes})


def encode(encoder: Any, texts: list[str] = TEXTS) -> NDArray[np.float32]:
    with torch.inference_mode():
        return encoder(encoder.collate(encoder.tokenize(texts, "passage")["input_ids"])).numpy()


def trained(spec: Any, out: Path) -> Any:
    """A few steps of some loss, saved."""
    encoder: Any = load_encoder(spec, "cpu", for_training=True)
    encoder.train()
    torch.manual_seed(0)
    parameters = [each for each in encoder.parameters() if each.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=0.5)
    batch = encoder.collate(encoder.tokenize(TEXTS, "passage")["input_ids"])
    for _ in range(3):
        optimizer.zero_grad()
        encoder(batch)[:, :7].pow(2).sum().backward()
        optimizer.step()
    encoder.eval()
    encoder.save(out)
    return encoder


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("arch", ["tiny_bert", "tiny_gpt2"])
def test_an_adapter_is_loaded_by_quarry_transformers_peft_and_sentence_transformers(
    options: dict[str, Any],
    arch: str,
    request: pytest.FixtureRequest,
    model_spec: Callable[..., Any],
    load: Callable[..., Any],
    tmp_path: Path,
) -> None:
    import peft
    import sentence_transformers
    import transformers

    base = request.getfixturevalue(arch)
    folder = tmp_path / "adapter"
    encoder = trained(model_spec(base, adapter=wish(**options)), folder)
    expected = encode(encoder)
    assert np.abs(expected - encode(load(base))).max() > 1e-3
    assert not list(folder.rglob("*.bin"))
    assert not (folder / "model.safetensors").exists()
    assert np.array_equal(encode(load(folder)), expected)
    batch = encoder.collate(encoder.tokenize(TEXTS, "passage")["input_ids"])
    plain = transformers.AutoModel.from_pretrained(base)
    peers: list[Any] = [peft.PeftModel.from_pretrained(plain, folder)]
    if "dora" not in options:
        # transformers 5.23, and sentence-transformers through it, leave out DoRA's magnitudes.
        peers.append(transformers.AutoModel.from_pretrained(folder))
        peer = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
        vectors = peer.encode(TEXTS, batch_size=1, show_progress_bar=False)
        np.testing.assert_allclose(vectors, expected, atol=1e-6)
    for theirs in peers:
        with torch.inference_mode():
            hidden = theirs.eval()(**batch).last_hidden_state
            ours = encoder.transformer(**batch).last_hidden_state
        torch.testing.assert_close(hidden, ours, atol=1e-6, rtol=0)


def test_a_base_that_came_over_the_wire_is_found_under_the_name_that_it_has_elsewhere(
    tiny_bert: Path,
    model_spec: Callable[..., Any],
    load: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("QUARRY_CACHE", str(tmp_path / "cache"))
    there = tmp_path / "there"
    shutil.copytree(tiny_bert, there)
    expected = encode(trained(model_spec(there, adapter=wish()), tmp_path / "adapter"))
    own = load(tmp_path / "adapter").contract.fingerprint
    shutil.rmtree(there)
    with pytest.raises(ConfigError, match="which cannot be found"):
        load(tmp_path / "adapter")
    files = [
        ModelFile(path=file.name, bytes=file.stat().st_size, sha256=sha256_of(file))
        for file in tiny_bert.glob("*.*")
    ]
    shutil.copytree(tiny_bert, CachedModel.of(files).folder, dirs_exist_ok=True)
    nobody: Any = None
    ModelFiles(nobody, deque()).bring(Files(checkpoint=str(there), files=files))
    encoder = load(tmp_path / "adapter")
    assert np.array_equal(encode(encoder), expected)
    assert encoder.contract.fingerprint == own


def test_an_adapter_that_was_trained_below_a_head_is_put_on_the_model_alone(
    tiny_bert: Path, model_spec: Callable[..., Any], load: Callable[..., Any], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    encoder = trained(model_spec(tiny_bert, adapter=wish()), tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    below = {
        name.replace("base_model.model.", "base_model.model.bert."): weight
        for name, weight in load_file(file).items()
    }
    save_file(below, file)
    assert np.array_equal(encode(load(tmp_path / "adapter")), encode(encoder))
    save_file({f"{name}.odd": weight for name, weight in below.items()}, file)
    with pytest.raises(ConfigError, match="does not fit"):
        load(tmp_path / "adapter")


@pytest.mark.parametrize(
    "settings",
    [
        {"alpha_pattern": {"transformer.h.0.attn.c_attn": 64}},
        {"rank_pattern": {r"^transformer\.h\.0\.attn\.c_attn": 2}},
        {"target_modules": r"transformer\.h\.\d\.mlp\.c_fc"},
        {"exclude_modules": ["transformer.h.0.attn.c_attn"]},
    ],
)
def test_names_and_patterns_of_modules_below_a_head_are_those_of_the_model_alone(
    settings: dict[str, Any], tiny_gpt2: Path, load: Callable[..., Any], tmp_path: Path
) -> None:
    import transformers
    from peft import LoraConfig, TaskType, get_peft_model

    base = transformers.AutoModelForCausalLM.from_pretrained(tiny_gpt2)
    plain = {"r": 4, "lora_alpha": 8, "target_modules": ["c_attn"], "fan_in_fan_out": True}
    config = LoraConfig(task_type=TaskType.CAUSAL_LM, **{**plain, **settings})
    peer: Any = get_peft_model(base, config).eval()
    torch.manual_seed(0)
    for name, parameter in peer.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    peer.save_pretrained(tmp_path / "adapter")
    encoder = load(tmp_path / "adapter", pooling="mean", normalize=False)
    ids = encoder.tokenize(TEXTS[:1], "passage")["input_ids"]
    with torch.inference_mode():
        states = peer(torch.tensor(ids), output_hidden_states=True).hidden_states
    expected = states[-1].mean(1).numpy()
    np.testing.assert_allclose(encode(encoder, TEXTS[:1]), expected, atol=1e-6)
    encoder.save(tmp_path / "again")
    assert np.array_equal(encode(load(tmp_path / "again")), encode(encoder))


def saved_by_peft(model: Any, folder: Path, **settings: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    peer = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, **settings)).eval()
    torch.manual_seed(0)
    for parameter in peer.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3)
    peer.save_pretrained(str(folder))
    return peer


@pytest.mark.parametrize("saved", ["ln_1", "wte", "lm_head"])
def test_modules_that_were_trained_as_a_whole_come_with_the_adapter_and_a_head_is_left_out(
    saved: str, tiny_gpt2: Path, load: Callable[..., Any], tmp_path: Path
) -> None:
    import transformers

    base = transformers.AutoModelForCausalLM.from_pretrained(tiny_gpt2)
    settings = {"target_modules": ["c_attn"], "fan_in_fan_out": True, "modules_to_save": [saved]}
    peer = saved_by_peft(base, tmp_path / "adapter", task_type="CAUSAL_LM", **settings)
    encoder = load(tmp_path / "adapter", pooling="mean", normalize=False)
    ids = encoder.tokenize(TEXTS[:1], "passage")["input_ids"]
    with torch.inference_mode():
        states = peer(torch.tensor(ids), output_hidden_states=True).hidden_states
    expected = states[-1].mean(1).numpy()
    np.testing.assert_allclose(encode(encoder, TEXTS[:1]), expected, atol=1e-6)
    encoder.save(tmp_path / "again")
    assert np.array_equal(encode(load(tmp_path / "again")), encode(encoder))


@pytest.mark.parametrize(
    "settings", [{"modules_to_save": ["LayerNorm"]}, {"trainable_token_indices": [97, 98, 99]}]
)
def test_a_merged_adapter_is_a_plain_model_whatever_was_trained_as_a_whole(
    settings: dict[str, Any], tiny_bert: Path, load: Callable[..., Any], tmp_path: Path
) -> None:
    import transformers

    base = transformers.AutoModel.from_pretrained(tiny_bert)
    settings |= {"task_type": "FEATURE_EXTRACTION", "target_modules": ["query"]}
    saved_by_peft(base, tmp_path / "adapter", **settings)
    encoder, plain = load(tmp_path / "adapter"), load(tiny_bert)
    expected = encode(encoder)
    merge(encoder.transformer)
    assert list(encoder.transformer.state_dict()) == list(plain.transformer.state_dict())
    np.testing.assert_allclose(encode(encoder), expected, atol=1e-6)


def test_an_adapter_of_a_classifier_says_what_it_holds_and_what_to_do_with_it(
    tiny_bert: Path, load: Callable[..., Any], cross_spec: Callable[..., Any], tmp_path: Path
) -> None:
    import transformers

    base = transformers.AutoModelForSequenceClassification.from_pretrained(tiny_bert)
    saved_by_peft(base, tmp_path / "adapter", task_type="SEQ_CLS", target_modules=["query"])
    with pytest.raises(
        ConfigError, match=r"classifier \(SEQ_CLS\): .* it holds classifier"
    ) as caught:
        load(tmp_path / "adapter")
    assert "merge_and_unload" in (caught.value.hint or "")
    with pytest.raises(
        ConfigError, match="is an adapter, and a cross-encoder is a whole"
    ) as caught:
        resolve_cross(cross_spec(tmp_path / "adapter"))
    assert "merge_and_unload" in (caught.value.hint or "")


@pytest.mark.parametrize("setting", ["alpha_pattern", "rank_pattern"])
def test_a_pattern_that_fits_no_module_of_an_adapter_is_named(
    setting: str,
    tiny_bert: Path,
    model_spec: Callable[..., Any],
    load: Callable[..., Any],
    tmp_path: Path,
) -> None:
    trained(model_spec(tiny_bert, adapter=wish()), tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, setting: {"electra.layer.0": 2}}))
    with pytest.raises(ConfigError, match=rf"{setting} of the adapter .* names electra\.layer\.0"):
        load(tmp_path / "adapter")


def test_only_the_adapter_learns_and_every_part_of_it_gets_a_gradient(
    tiny_bert: Path, model_spec: Callable[..., Any]
) -> None:
    spec = model_spec(tiny_bert, adapter=wish(base_dtype="bfloat16"))
    encoder: Any = load_encoder(spec, "cpu", for_training=True)
    # As Trainer does it: without inputs that want gradients, a checkpointed block would get none.
    options = {"use_reentrant": False}
    encoder.transformer.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)
    encoder(encoder.collate(encoder.tokenize(TEXTS, "passage")["input_ids"])).pow(
        3
    ).sum().backward()
    learning = {name: p for name, p in encoder.named_parameters() if p.requires_grad}
    assert learning
    assert all("lora_" in name and p.dtype == torch.float32 for name, p in learning.items())
    assert all(p.grad is not None for p in learning.values())
    adapted = [name for name, _ in encoder.named_parameters() if "lora_" in name]
    assert not any("pooler" in name for name in adapted)
    assert encoder.transformer.embeddings.word_embeddings.weight.dtype == torch.bfloat16


def test_training_goes_on_from_an_adapter_and_another_one_on_top_is_refused(
    tiny_bert: Path, model_spec: Callable[..., Any], load: Callable[..., Any], tmp_path: Path
) -> None:
    trained(model_spec(tiny_bert, adapter=wish()), tmp_path / "first")
    trained(model_spec(tmp_path / "first"), tmp_path / "second")
    first, second = load(tmp_path / "first"), load(tmp_path / "second")
    assert np.abs(encode(first) - encode(second)).max() > 1e-4
    config = json.loads((tmp_path / "second" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tiny_bert)
    # The same wish again is what a resume says; another one would be forgotten.
    trained(model_spec(tmp_path / "first", adapter=wish()), tmp_path / "third")
    for other, told in (
        (wish(r=8, alpha=32), r"with r 4, alpha 8\.0\."),
        (wish(dropout=0.5), r"with dropout 0\.0\."),
        (wish(rslora=True, dora=True), r"with rslora False, dora False\."),
        (wish(target_modules=["query"]), r"with every linear module as targetModules\."),
    ):
        with pytest.raises(ConfigError, match=f"holds an adapter already, {told}"):
            load_encoder(model_spec(tmp_path / "first", adapter=other), "cpu", for_training=True)


def test_a_resume_may_name_the_modules_of_its_adapter_again_and_no_others(
    tiny_bert: Path, model_spec: Callable[..., Any], tmp_path: Path
) -> None:
    some = wish(target_modules=["query", "attention.output.dense"])
    trained(model_spec(tiny_bert, adapter=some), tmp_path / "some")
    load_encoder(model_spec(tmp_path / "some", adapter=some), "cpu", for_training=True)
    for targets in (None, ["query"], ["query", "dense"]):
        spec = model_spec(tmp_path / "some", adapter=wish(target_modules=targets))
        with pytest.raises(
            ConfigError, match=r"with attention\.output\.dense, query as targetModules"
        ):
            load_encoder(spec, "cpu", for_training=True)


def test_what_is_made_of_an_adapter_finds_its_base_from_wherever_it_lies(
    tiny_bert: Path, model_spec: Callable[..., Any], load: Callable[..., Any], tmp_path: Path
) -> None:
    base = Path(shutil.copytree(tiny_bert, tmp_path / "base"))
    expected = encode(trained(model_spec(base, adapter=wish()), tmp_path / "adapter"))
    file = tmp_path / "adapter" / "adapter_config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, "base_model_name_or_path": "../base"}))
    deeper = tmp_path / "run" / "train" / "checkpoint-1"
    load(tmp_path / "adapter").save(deeper)
    shutil.rmtree(tmp_path / "adapter")
    assert np.array_equal(encode(load(deeper)), expected)


def test_the_fingerprint_covers_the_adapter_and_its_base_but_not_where_that_lies(
    tiny_bert: Path, model_spec: Callable[..., Any], tmp_path: Path
) -> None:
    base = Path(shutil.copytree(tiny_bert, tmp_path / "base"))
    trained(model_spec(base, adapter=wish()), tmp_path / "adapter")

    def fingerprint() -> str:
        spec = model_spec(tmp_path / "adapter")
        return resolve(spec).contract("float32", spec).fingerprint

    same = fingerprint()
    file = tmp_path / "adapter" / "adapter_config.json"
    config = json.loads(file.read_text())
    moved = base.rename(tmp_path / "moved")
    with pytest.raises(ConfigError, match=r"is an adapter of .*base, which cannot be found"):
        fingerprint()
    file.write_text(json.dumps({**config, "base_model_name_or_path": "../moved"}))
    assert fingerprint() == same
    file.write_text(json.dumps({**config, "base_model_name_or_path": str(moved), "lora_alpha": 9}))
    assert fingerprint() != same
    file.write_text(json.dumps({**config, "base_model_name_or_path": str(moved)}))
    for weights in (
        tmp_path / "adapter" / "adapter_model.safetensors",
        moved / "model.safetensors",
    ):
        before, content = fingerprint(), bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(bytes(content))
        assert fingerprint() != before
    report = model_contract(str(tmp_path / "adapter"))
    assert report["adapter"] == str(moved)


def test_modules_that_the_model_does_not_have_are_answered_with_those_it_has(
    tiny_bert: Path, model_spec: Callable[..., Any]
) -> None:
    spec = model_spec(tiny_bert, adapter=wish(target_modules=["q_proj"]))
    with pytest.raises(ConfigError, match="cannot be put on q_proj") as caught:
        load_encoder(spec, "cpu", for_training=True)
    assert "dense, key, query, value" in (caught.value.hint or "")


def test_quantisation_without_bitsandbytes_says_what_is_missing_and_how_to_get_it(
    tiny_bert: Path, model_spec: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else real(name)
    )
    with pytest.raises(EnvironmentFault, match=r"in 4 bits, which needs .* bitsandbytes") as caught:
        load_encoder(model_spec(tiny_bert, quantization="4bit", adapter=wish()), "cpu")
    assert "pip install bitsandbytes" in (caught.value.hint or "")


def test_adapters_of_other_kinds_and_pickled_ones_are_refused(
    tiny_bert: Path, model_spec: Callable[..., Any], tmp_path: Path
) -> None:
    folder = tmp_path / "adapter"
    trained(model_spec(tiny_bert, adapter=wish()), folder)
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, "peft_type": "IA3"}))
    with pytest.raises(ConfigError, match="adapter of kind IA3"):
        resolve(model_spec(folder))
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(ConfigError, match="pickled weights only"):
        resolve(model_spec(folder))
