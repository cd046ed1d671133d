"""A model for others: equal vectors, merged and cast as asked, a card that the hub can read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import huggingface_hub
import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from quarry_runtime.errors import ConfigError, EnvironmentFault
from quarry_runtime.export_model import answer, export_model
from quarry_runtime.modeling.exporting import merge
from quarry_runtime.modeling.load import load_encoder
from quarry_runtime.protocol.messages import AdapterSpec

TEXTS = ["a cat sat on the mat", "dog", "amber river stone"]
FACTS: dict[str, Any] = {
    "name": "run-of-scifact",
    "base": "sentence-transformers/all-MiniLM-L6-v2",
    "experiment": {"name": "scifact", "train": {"globalBatchSize": 32}},
    "data": {"train.set": "3f9a"},
    "measures": {"evaluation": {"nDCG@10": 0.6512345}},
    "step": 30,
    "versions": {"quarry": "0.1.0", "torch": "2.13.0"},
    "title": "scifact",
    "license": None,
}


def encode(encoder: Any) -> NDArray[np.float32]:
    with torch.inference_mode():
        return encoder(encoder.collate(encoder.tokenize(TEXTS, "passage")["input_ids"])).numpy()


OWN_CODE = """
from transformers import BertConfig, BertModel

class OwnConfig(BertConfig):
    model_type = "own"

class OwnModel(BertModel):
    config_class = OwnConfig
"""


def wish(**changes: Any) -> AdapterSpec:
    plain: dict[str, Any] = {"r": 4, "alpha": 8, "dropout": 0, "target_modules": None}
    plain |= {"rslora": False, "dora": False, "base_dtype": "float32"}
    return AdapterSpec(**{**plain, **changes})


def save_adapter(spec: Any, folder: Path) -> Path:
    """An adapter that changes vectors."""
    encoder: Any = load_encoder(spec, "cpu", for_training=True)
    torch.manual_seed(0)
    for parameter in encoder.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.2)
    encoder.save(folder)
    return folder


@pytest.fixture
def adapted(tiny_bert: Path, model_spec: Callable[..., Any], tmp_path: Path) -> Path:
    return save_adapter(model_spec(tiny_bert, adapter=wish()), tmp_path / "adapter")


def test_a_merged_adapter_is_a_plain_model_with_the_same_vectors_everywhere(
    adapted: Path, model_spec: Callable[..., Any], load: Callable[..., Any], tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    expected = encode(load(adapted))
    export_model(model_spec(adapted), tmp_path / "out", FACTS, True, None)
    assert (tmp_path / "out" / "model.safetensors").is_file()
    assert not list((tmp_path / "out").glob("adapter*"))
    np.testing.assert_allclose(encode(load(tmp_path / "out")), expected, atol=1e-5)
    peer = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    np.testing.assert_allclose(peer.encode(TEXTS, show_progress_bar=False), expected, atol=1e-5)


def test_an_adapter_alone_stays_one_and_keeps_its_number_format(
    adapted: Path, model_spec: Callable[..., Any], load: Callable[..., Any], tmp_path: Path
) -> None:
    export_model(model_spec(adapted), tmp_path / "out", FACTS, False, None)
    assert np.array_equal(encode(load(tmp_path / "out")), encode(load(adapted)))
    assert "base_model_relation: adapter" in (tmp_path / "out" / "README.md").read_text()
    with pytest.raises(ConfigError, match="keeps its number format"):
        export_model(model_spec(adapted), tmp_path / "other", FACTS, False, "bfloat16")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_weights_are_written_in_the_format_that_was_asked_for(
    dtype: str,
    tiny_bert: Path,
    model_spec: Callable[..., Any],
    load: Callable[..., Any],
    tmp_path: Path,
) -> None:
    export_model(model_spec(tiny_bert), tmp_path / "out", FACTS, False, dtype)
    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {getattr(torch, dtype)}
    again = load(tmp_path / "out", dtype="float32")
    np.testing.assert_allclose(encode(again), encode(load(tiny_bert)), atol=0.05)


def test_the_card_has_a_header_that_the_hubs_client_reads_and_tells_how_it_came_about(
    tiny_bert: Path, model_spec: Callable[..., Any], tmp_path: Path
) -> None:
    base = Path(shutil.copytree(tiny_bert, tmp_path / "base"))
    (base / "README.md").write_text("---\nlicense: mit\n---\n# Base\n")
    export_model(model_spec(base), tmp_path / "out", FACTS, False, None)
    card = huggingface_hub.ModelCard.load(tmp_path / "out" / "README.md")
    data: Any = card.data
    assert (data.license, data.base_model) == ("mit", FACTS["base"])
    assert (data.library_name, data.pipeline_tag) == (
        "sentence-transformers",
        "sentence-similarity",
    )
    assert data.model_name == FACTS["name"]
    [result] = data.eval_results
    assert (result.metric_type, result.metric_value) == ("nDCG@10", 0.651235)
    for said in (
        "| evaluation | nDCG@10 | 0.6512 |",
        "`3f9a`",
        "30 optimiser steps",
        "encode_query",
        "# scifact\n",
        'SentenceTransformer("scifact")',
        'import { biEncoder, defineExperiment, source } from "quarry";',
        'model: biEncoder("scifact"),',
    ):
        assert said in card.text
    assert json.dumps(FACTS["experiment"], indent=2) in card.text
    # Folders of the machine are nobody else's business.
    assert str(tmp_path) not in (tmp_path / "out" / "README.md").read_text()


def test_a_prompt_with_a_line_end_or_a_bar_stays_one_row_of_the_card(
    tiny_bert: Path, model_spec: Callable[..., Any], tmp_path: Path
) -> None:
    spec = model_spec(tiny_bert, query_prompt="Instruct: a|b\nQuery: ")
    export_model(spec, tmp_path / "out", FACTS, False, None)
    card = (tmp_path / "out" / "README.md").read_text()
    assert '| query prompt | `"Instruct: a\\|b\\nQuery: "` |\n' in card


def test_a_disk_that_takes_no_weights_is_told(
    tiny_bert: Path,
    model_spec: Callable[..., Any],
    start_code: Callable[[str], BaseProcess],
    tmp_path: Path,
) -> None:
    disk, told = tmp_path / "disk", tmp_path / "told"
    disk.mkdir()
    spec = msgspec.json.encode(model_spec(tiny_bert))
    process = start_code(
        "import msgspec, resource; from pathlib import Path\n"
        "from quarry_runtime import export_model\n"
        "from quarry_runtime.protocol.messages import ModelSpec\n"
        f"spec = msgspec.json.decode({spec!r}, type=ModelSpec)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        f"try: export_model.export_model(spec, Path({str(disk / 'out')!r}), {{}}, False, None)\n"
        "except Exception as error:\n"
        "    causes = [error, error.__cause__, error.__cause__.__cause__]\n"
        "    words = [*(type(each).__name__ for each in causes), str(error)]\n"
        f"    Path({str(told)!r}).write_text(' '.join(words))"
    )
    process.join(500)
    assert process.exitcode == 0
    assert told.read_text() == (
        f"EnvironmentFault OSError SafetensorError {disk}/out cannot be written: File too large."
    )
    assert list(disk.iterdir()) == []


def test_the_card_of_a_dora_adapter_names_sentence_transformers_only_once_it_is_merged(
    tiny_bert: Path, model_spec: Callable[..., Any], load: Callable[..., Any], tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    adapter = save_adapter(model_spec(tiny_bert, adapter=wish(dora=True)), tmp_path / "adapter")
    expected = encode(load(adapter))
    for is_merged in (False, True):
        folder = tmp_path / str(is_merged)
        export_model(model_spec(adapter), folder, FACTS, is_merged, None)
        card = (folder / "README.md").read_text()
        assert ("model = SentenceTransformer(" in card) == is_merged
        assert ("library_name: sentence-transformers" in card) == is_merged
        assert ("PeftModel.from_pretrained(" in card) != is_merged
        # A release that reads the magnitudes makes the other card needless.
        peer = SentenceTransformer(str(folder), device="cpu")
        vectors = peer.encode(TEXTS, show_progress_bar=False)
        assert np.allclose(vectors, expected, atol=1e-4) == is_merged


def test_the_card_of_a_model_with_code_of_its_own_says_that_it_has_to_be_trusted(
    tiny_bert: Path, model_spec: Callable[..., Any], load: Callable[..., Any], tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    base = Path(shutil.copytree(tiny_bert, tmp_path / "base"))
    (base / "own.py").write_text(OWN_CODE)
    config = json.loads((base / "config.json").read_text())
    classes = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}
    config |= {"model_type": "own", "auto_map": classes}
    (base / "config.json").write_text(json.dumps(config))
    trusting = {"trust_remote_code": True, "revision": "0" * 40}
    export_model(model_spec(base, **trusting), tmp_path / "out", FACTS, False, None)
    card = (tmp_path / "out" / "README.md").read_text()
    assert 'model = SentenceTransformer("scifact", trust_remote_code=True)' in card
    assert 'biEncoder("scifact", {"trustRemoteCode": true, "revision": "<' in card
    peer = SentenceTransformer(str(tmp_path / "out"), device="cpu", trust_remote_code=True)
    vectors = peer.encode(TEXTS, show_progress_bar=False)
    np.testing.assert_allclose(vectors, encode(load(base, **trusting)), atol=1e-5)


def test_the_card_asks_for_a_release_that_knows_lengths_of_a_side_where_they_differ(
    tiny_bert: Path, model_spec: Callable[..., Any], tmp_path: Path
) -> None:
    export_model(model_spec(tiny_bert, query_max_length=9), tmp_path / "out", FACTS, False, None)
    card = (tmp_path / "out" / "README.md").read_text()
    assert 'pip install "sentence-transformers>=6"' in card


def test_a_folder_with_something_in_it_is_left_alone_and_a_failed_export_leaves_none(
    tiny_bert: Path, model_spec: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is there already"):
        export_model(model_spec(tiny_bert), tmp_path / "full", FACTS, False, None)

    def no_room(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("quarry_runtime.modeling.encoder.write_files", no_room)
    with pytest.raises(EnvironmentFault, match="No space left"):
        export_model(model_spec(tiny_bert), tmp_path / "out", FACTS, False, None)
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


class Hub:
    """Stands for the hub: keeps what the client was told to send."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.failure: Exception | None = None

    def create_repo(self, repo_id: str, **options: Any) -> str:
        self.calls.append(("create", {"repo_id": repo_id, **options}))
        return f"https://hub.example/{repo_id}"

    def upload_folder(self, **options: Any) -> None:
        if self.failure is not None:
            raise self.failure
        names = sorted(path.name for path in Path(options["folder_path"]).iterdir())
        self.calls.append(("upload", {"repo_id": options["repo_id"], "files": names}))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub()
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    return hub


def run(tmp_path: Path, spec: Any, *flags: str) -> dict[str, Any]:
    (tmp_path / "spec.json").write_bytes(msgspec.json.encode(spec))
    (tmp_path / "facts.json").write_text(json.dumps({**FACTS, "title": "me/scifact"}))
    names = {"--spec": "spec.json", "--facts": "facts.json", "--to": "out"}
    files = [part for flag, name in names.items() for part in (flag, str(tmp_path / name))]
    return answer([*files, *flags])


def test_a_push_makes_the_repository_and_uploads_the_whole_folder(
    tiny_bert: Path, model_spec: Callable[..., Any], tmp_path: Path, hub: Hub
) -> None:
    said = run(tmp_path, model_spec(tiny_bert), "--push", "me/scifact", "--private")
    assert said["url"] == "https://hub.example/me/scifact"
    create, upload = hub.calls
    assert create == ("create", {"repo_id": "me/scifact", "private": True, "exist_ok": True})
    assert {"README.md", "model.safetensors", "modules.json"} <= set(upload[1]["files"])
    assert said["fileCount"] == len(
        [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    )
    assert 'SentenceTransformer("me/scifact")' in (tmp_path / "out" / "README.md").read_text()


def test_what_the_command_is_told_reaches_the_weights(
    adapted: Path, model_spec: Callable[..., Any], tmp_path: Path
) -> None:
    said = run(tmp_path, model_spec(adapted), "--merge", "--dtype", "bfloat16")
    assert said["url"] is None
    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}


def test_an_adapter_is_merged_in_full_precision_whatever_it_is_written_in(
    tiny_bert: Path, model_spec: Callable[..., Any], load: Callable[..., Any], tmp_path: Path
) -> None:
    export_model(model_spec(tiny_bert), tmp_path / "base", FACTS, False, "bfloat16")
    spec = model_spec(tmp_path / "base", adapter=wish())
    adapted = save_adapter(spec, tmp_path / "adapter")
    export_model(model_spec(adapted), tmp_path / "out", FACTS, True, None)
    found = load_file(tmp_path / "out" / "model.safetensors")
    encoder = load(adapted)
    merge(encoder)
    whole = encoder.transformer.state_dict()
    name = "encoder.layer.0.attention.self.query.weight"
    assert found[name].dtype == torch.bfloat16
    assert torch.equal(found[name], whole[name].to(torch.bfloat16))


def test_a_hub_that_refuses_leaves_the_folder_and_says_what_to_do(
    tiny_bert: Path, model_spec: Callable[..., Any], tmp_path: Path, hub: Hub
) -> None:
    hub.failure = ConnectionError("Name or service not known")
    with pytest.raises(EnvironmentFault, match="could not be pushed to: ConnectionError") as caught:
        run(tmp_path, model_spec(tiny_bert), "--push", "me/scifact")
    assert "hf upload me/scifact" in (caught.value.hint or "")
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_offline_is_told_before_anything_is_written(
    tiny_bert: Path,
    model_spec: Callable[..., Any],
    tmp_path: Path,
    hub: Hub,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(EnvironmentFault, match="HF_HUB_OFFLINE is set"):
        run(tmp_path, model_spec(tiny_bert), "--push", "me/scifact")
    assert not (tmp_path / "out").exists()
    assert hub.calls == []


def test_towers_are_exported_as_two(
    tiny_bert: Path,
    tiny_gpt2: Path,
    model_spec: Callable[..., Any],
    load: Callable[..., Any],
    tmp_path: Path,
) -> None:
    spec = model_spec(tiny_bert, query_checkpoint=str(tiny_gpt2))
    export_model(spec, tmp_path / "out", FACTS, False, None)
    both: Any = load(tmp_path / "out")
    assert np.array_equal(encode(both.tower("passage")), encode(load(tiny_bert)))
    assert (tmp_path / "out" / "query_0_Transformer" / "model.safetensors").is_file()


def test_the_card_of_two_encoders_adapters_names_sentence_transformers_only_once_they_are_merged(
    adapted: Path, model_spec: Callable[..., Any], tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    spec = model_spec(adapted, towers="separate")
    for is_merged in (False, True):
        folder = tmp_path / str(is_merged)
        export_model(spec, folder, FACTS, is_merged, None)
        card = (folder / "README.md").read_text()
        assert ("model = SentenceTransformer(" in card) == is_merged
        assert ("library_name: sentence-transformers" in card) == is_merged
    # A release that loads what is not merged makes the other card needless.
    with pytest.raises((OSError, ValueError), match=r"no file named|Unrecognized model"):
        SentenceTransformer(str(tmp_path / "False"), device="cpu")
    SentenceTransformer(str(tmp_path / "True"), device="cpu")
