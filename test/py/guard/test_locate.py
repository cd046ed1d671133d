"""Finding a checkpoint: what is there, what is missing, and what is never loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from quarry_runtime.errors import ConfigError, EnvironmentFault, IntegrityError
from quarry_runtime.guard import locate as module
from quarry_runtime.guard.hashes import sha256_of
from quarry_runtime.guard.locate import EMBEDDED, locate


@pytest.fixture(autouse=True)
def empty_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("QUARRY_CACHE", str(tmp_path / "quarry"))


@pytest.fixture
def copy(tiny_bert: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bert, tmp_path / "model"))


def put_into_cache(model: Path, cache: Path, name: str, commit: str = "a" * 40) -> Path:
    repository = cache / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    return Path(shutil.copytree(model, repository / "snapshots" / commit))


def test_a_folder_is_taken_as_it_is(tiny_bert: Path) -> None:
    assert locate(str(tiny_bert)) == tiny_bert


def test_an_id_is_found_in_the_hubs_local_cache_by_branch_and_by_commit(
    tiny_bert: Path, tmp_path: Path
) -> None:
    snapshot = put_into_cache(tiny_bert, tmp_path / "hub", "some-org/tiny")
    assert locate("some-org/tiny") == snapshot
    assert locate("some-org/tiny", "a" * 40) == snapshot


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_an_id_that_is_not_cached_is_named_with_the_place_and_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv(variable, "1")
    with pytest.raises(ConfigError, match=f"and {variable} is set") as caught:
        locate("some-org/absent")
    assert "some-org/absent" in caught.value.message
    assert str(tmp_path / "hub") in caught.value.message
    assert "hf download some-org/absent" in str(caught.value.hint)


def test_a_network_that_fails_without_a_word_is_told_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> str:
        raise TimeoutError

    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(ConfigError, match=r"could not be fetched: TimeoutError$"):
        locate("some-org/absent")


def test_a_model_that_begins_with_no_transformer_is_refused_by_its_modules_name(
    copy: Path, tmp_path: Path
) -> None:
    (copy / "config.json").unlink()
    static = "sentence_transformers.models.StaticEmbedding"
    (copy / "modules.json").write_text(json.dumps([{"idx": 0, "path": "", "type": static}]))
    put_into_cache(copy, tmp_path / "hub", "some-org/static")
    for checkpoint in (str(copy), "some-org/static"):
        with pytest.raises(ConfigError, match=rf"has a module {static} at place 0"):
            locate(checkpoint)
    router = {"structure": {"query": ["query_0_BoW"]}, "types": {"query_0_BoW": "a.package.BoW"}}
    (copy / "router_config.json").write_text(json.dumps(router))
    kind = "sentence_transformers.models.Router"
    (copy / "modules.json").write_text(json.dumps([{"idx": 0, "path": "", "type": kind}]))
    with pytest.raises(ConfigError, match=r"has a module a\.package\.BoW at place 0"):
        locate(str(copy))


def test_an_incomplete_snapshot_names_what_is_missing(tiny_bert: Path, tmp_path: Path) -> None:
    snapshot = put_into_cache(tiny_bert, tmp_path / "hub", "some-org/half")
    (snapshot / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"is incomplete: model\.safetensors"):
        locate("some-org/half")


@pytest.mark.parametrize(
    "name", ["./no/such/folder", "../nothing/here", "a/b/c", "/nowhere/at/all"]
)
def test_a_path_without_a_folder_is_a_config_error(name: str) -> None:
    with pytest.raises(ConfigError, match="no model folder"):
        locate(name)


def test_pickled_weights_are_refused_without_being_opened(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="never unpickles"):
        locate(str(copy))


@pytest.mark.parametrize("lost", ["model.safetensors", "config.json"])
def test_a_checkpoint_of_a_training_names_what_it_lacks(copy: Path, lost: str) -> None:
    for name in ("optimizer.pt", "scheduler.pt", "training_args.bin", "rng_state.pth"):
        (copy / name).write_bytes(b"")
    (copy / lost).unlink()
    with pytest.raises(ConfigError, match=rf"not a whole checkpoint: {lost} missing in {copy}"):
        locate(str(copy))


def test_a_module_that_leads_out_of_the_checkpoint_is_refused(copy: Path) -> None:
    (copy / "modules.json").write_text(
        '[{"idx": 0, "name": "0", "path": "../x", "type": "a.Transformer"}]'
    )
    with pytest.raises(IntegrityError, match="outside of itself"):
        locate(str(copy))


def test_remote_code_needs_a_pinned_commit(tiny_bert: Path) -> None:
    for revision in (None, "main", "a" * 39, "A" * 40):
        with pytest.raises(ConfigError, match="trustRemoteCode"):
            locate(str(tiny_bert), revision, True)


def test_the_embedded_model_without_its_package_names_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_EMBEDDED_PACKAGE", "no_such_package")
    with pytest.raises(EnvironmentFault) as caught:
        locate(EMBEDDED)
    assert caught.value.hint == "quarry setup --extra demo"


def test_embedded_weights_that_were_changed_are_refused(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_embedded_folder", lambda: copy)
    with pytest.raises(IntegrityError, match="SHA-256"):
        locate(EMBEDDED)


def test_the_hub_id_of_the_embedded_model_prefers_the_cache_and_falls_back(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_embedded_folder", lambda: tiny_bert)
    monkeypatch.setattr(module, "_EMBEDDED_SHA256", sha256_of(tiny_bert / "model.safetensors"))
    name = "sentence-transformers/all-MiniLM-L6-v2"
    assert locate(name) == tiny_bert
    snapshot = put_into_cache(tiny_bert, tmp_path / "hub", name)
    assert locate(name) == snapshot


def test_a_hash_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    first = sha256_of(file)
    assert sha256_of(file) == first
    file.write_bytes(b"other")
    assert sha256_of(file) != first
