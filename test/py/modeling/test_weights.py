"""What is hashed is what is loaded, and ordinary folders keep the fingerprints that vectors are stored under."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from quarry_runtime.errors import ConfigError
from quarry_runtime.modeling.contract import resolve
from quarry_runtime.modeling.cross_contract import resolve_cross

INDEX = "model.safetensors.index.json"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARRY_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def copy(tiny_bert: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bert, tmp_path / "model"))


def write(folder: Path, files: dict[str, Any]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    return folder


def weights(file: Path, seed: int = 0) -> None:
    """One tensor, in bytes that no library's release changes."""
    header = b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(range(seed, seed + 16)))


CONFIG = {"model_type": "bert", "hidden_size": 4, "max_position_embeddings": 64}
PLAIN = {"config.json": CONFIG, "tokenizer.json": {}, "tokenizer_config.json": {}}
PIPELINE = {
    **PLAIN,
    "modules.json": [
        {"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"path": "2_Dense", "type": "sentence_transformers.models.Dense"},
    ],
    "1_Pooling/config.json": {"pooling_mode": "cls"},
    "2_Dense/config.json": {"in_features": 4, "out_features": 2},
    "config_sentence_transformers.json": {
        "prompts": {"query": "q: ", "other": "o: "},
        "default_prompt_name": "other",
        "truncate_dim": None,
    },
}
SHARDS = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
ADAPTER = {"peft_type": "LORA", "r": 4, "base_model_name_or_path": "../plain"}


def fingerprint(spec: Any) -> str:
    return resolve(spec).contract("float32", spec).fingerprint


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("plain", "054e330e79d5fcfb2a681a48a5bdd061"),
        ("left-padded RoBERTa", "1d9b16827c94724a2b944517820fc48b"),
        ("pipeline", "199c2170ddc6c120294a62c383d1d026"),
        ("shards", "f38d70bb438f2a3d34365488766ff1e0"),
        ("adapter", "051560e681251a4cea8be68052da158d"),
    ],
)
def test_an_ordinary_folder_keeps_its_fingerprint(
    kind: str, expected: str, model_spec: Callable[..., Any], tmp_path: Path
) -> None:
    plain = write(tmp_path / "plain", PLAIN)
    weights(plain / "model.safetensors")
    folder = write(tmp_path / kind, PIPELINE if kind == "pipeline" else PLAIN)
    names = ["model.safetensors"]
    if kind == "left-padded RoBERTa":
        write(folder, {"config.json": {**CONFIG, "model_type": "roberta", "pad_token_id": 1}})
        write(folder, {"tokenizer_config.json": {"padding_side": "left"}})
    elif kind == "pipeline":
        names.append("2_Dense/model.safetensors")
    elif kind == "shards":
        write(folder, {INDEX: SHARDS})
        names = ["model-1.safetensors", "model-2.safetensors"]
    elif kind == "adapter":
        shutil.rmtree(folder)
        write(folder, {"adapter_config.json": ADAPTER})
        names = ["adapter_model.safetensors"]
    for seed, name in enumerate(names):
        weights(folder / name, seed)
    assert fingerprint(model_spec(folder)).startswith(expected)


def test_the_fingerprint_of_a_cross_encoder_stays(
    cross_spec: Callable[..., Any], tmp_path: Path
) -> None:
    labels = {"architectures": ["BertForSequenceClassification"], "num_labels": 1}
    folder = write(tmp_path / "cross", {**PLAIN, "config.json": {**CONFIG, **labels}})
    weights(folder / "model.safetensors")
    found = resolve_cross(cross_spec(folder)).contract("float32", None, ()).fingerprint
    assert found.startswith("442ff8737927f23a698a90baed5091fb")


def test_whole_weights_go_before_shards_as_transformers_loads_them(
    copy: Path, model_spec: Callable[..., Any], load: Callable[..., Any]
) -> None:
    state = load_file(copy / "model.safetensors")
    stale = {name: torch.zeros_like(value) for name, value in state.items()}
    save_file(stale, copy / "model-00001-of-00001.safetensors", {"format": "pt"})
    shard = dict.fromkeys(state, "model-00001-of-00001.safetensors")
    write(copy, {INDEX: {"metadata": {}, "weight_map": shard}})

    def vector() -> np.ndarray:
        encoder = load(copy)
        with torch.inference_mode():
            ids = encoder.tokenize(["a text"], "query")["input_ids"]
            return encoder(encoder.collate(ids)).numpy()

    assert np.isfinite(vector()).all()
    assert [file.name for file in resolve(model_spec(copy)).weights.files] == ["model.safetensors"]
    before, first = fingerprint(model_spec(copy)), vector()
    generator = torch.Generator().manual_seed(1)
    for value in state.values():
        if value.is_floating_point():
            value.add_(torch.rand(value.shape, generator=generator))
    save_file(state, copy / "model.safetensors", {"format": "pt"})
    assert not np.allclose(vector(), first)
    assert fingerprint(model_spec(copy)) != before
    # Left from earlier, and nothing that is needed.
    (copy / "model-00001-of-00001.safetensors").unlink()
    assert resolve(model_spec(copy)).dimension == 32


def test_weights_under_another_name_are_refused(copy: Path, model_spec: Callable[..., Any]) -> None:
    config = json.loads((copy / "config.json").read_text())
    write(copy, {"config.json": {**config, "transformers_weights": "model.safetensors"}})
    assert resolve(model_spec(copy)).dimension == 32
    shutil.copy(copy / "model.safetensors", copy / "other.safetensors")
    write(copy, {"config.json": {**config, "transformers_weights": "other.safetensors"}})
    with pytest.raises(ConfigError, match=r"has the weights in other\.safetensors") as caught:
        resolve(model_spec(copy))
    assert "Rename them to model.safetensors" in (caught.value.hint or "")


@pytest.mark.parametrize("sharded", [False, True])
def test_a_model_with_an_adapter_beside_it_is_refused_with_the_way_out(
    sharded: bool, copy: Path, model_spec: Callable[..., Any], cross_spec: Callable[..., Any]
) -> None:
    write(copy, {"adapter_config.json": {**ADAPTER, "base_model_name_or_path": str(copy)}})
    weights(copy / "adapter_model.safetensors")
    if sharded:
        (copy / "model.safetensors").rename(copy / "model-1.safetensors")
        write(copy, {INDEX: {"weight_map": {"a": "model-1.safetensors"}}})
    for find in (lambda: resolve(model_spec(copy)), lambda: resolve_cross(cross_spec(copy))):
        with pytest.raises(ConfigError, match="holds a model and an adapter") as caught:
            find()
        assert "Move adapter_config.json and adapter_model.safetensors out" in str(
            caught.value.hint
        )
    adapter = copy.parent / "adapter"
    adapter.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (copy / name).rename(adapter / name)
    assert resolve(model_spec(copy)).adapter is None
    assert resolve(model_spec(adapter)).adapter is not None
