"""A checkpoint's contract: followed where it speaks, filled in where not, refused if need be."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quarry_runtime.errors import ConfigError, IntegrityError
from quarry_runtime.modeling.contract import position_limit, resolve


@pytest.fixture
def copy(tiny_bert: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bert, tmp_path / "model"))


def edit(file: Path, **changes: Any) -> None:
    content = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps({**content, **changes}))


def test_a_sentence_transformers_checkpoint_is_followed(
    tiny_gpt2: Path, model_spec: Callable
) -> None:
    resolved = resolve(model_spec(tiny_gpt2))
    assert (resolved.pooling, resolved.normalize, resolved.similarity) == ("last", True, "cosine")
    assert (resolved.dimension, resolved.padding_side) == (32, "left")
    assert (resolved.query_max_length, resolved.passage_max_length) == (96, 96)


def test_a_plain_transformers_checkpoint_gets_mean_pooling_length_1_and_cosine(
    copy: Path, model_spec: Callable
) -> None:
    (copy / "modules.json").unlink()
    resolved = resolve(model_spec(copy))
    assert (resolved.pooling, resolved.normalize, resolved.similarity) == ("mean", True, "cosine")
    assert resolved.query_max_length == 128


def test_wishes_win_over_the_checkpoint(copy: Path, model_spec: Callable) -> None:
    wishes = {"pooling": "cls", "normalize": False, "similarity": "dot", "query_prompt": "q: "}
    resolved = resolve(model_spec(copy, **wishes, query_max_length=10, passage_max_length=128))
    assert (resolved.pooling, resolved.normalize, resolved.similarity) == ("cls", False, "dot")
    assert (resolved.query_prompt, resolved.query_max_length, resolved.passage_max_length) == (
        "q: ",
        10,
        128,
    )


def test_texts_longer_than_a_sides_own_model_has_positions_for_are_refused(
    copy: Path, tiny_of: Callable, model_spec: Callable
) -> None:
    with pytest.raises(ConfigError, match=r"model\.passageMaxLength is 129, .* for 128") as caught:
        resolve(model_spec(copy, passage_max_length=129))
    assert caught.value.hint == "Set model.passageMaxLength to 128 or less."
    long = str(tiny_of("bert", max_position_embeddings=300))
    assert resolve(model_spec(copy, query_checkpoint=long, query_max_length=300)).query is not None
    with pytest.raises(ConfigError, match=r"model\.queryMaxLength is 129"):
        resolve(model_spec(long, query_checkpoint=str(copy), query_max_length=129))
    # What a checkpoint itself says is cut down: RoBERTa's say 514 and have 512.
    edit(copy / "sentence_bert_config.json", max_seq_length=514)
    assert resolve(model_spec(copy)).passage_max_length == 128


@pytest.mark.parametrize("name", ["document", "passage", "corpus"])
def test_prompts_are_found_under_every_name_that_is_in_use(
    copy: Path, model_spec: Callable, name: str
) -> None:
    edit(copy / "config_sentence_transformers.json", prompts={"query": "Q: ", name: "P: "})
    resolved = resolve(model_spec(copy))
    assert (resolved.query_prompt, resolved.passage_prompt) == ("Q: ", "P: ")
    assert resolve(model_spec(copy, passage_prompt="")).passage_prompt == ""


def test_of_several_prompts_of_passages_the_first_name_wins_as_in_sentence_transformers(
    copy: Path, model_spec: Callable
) -> None:
    file = copy / "config_sentence_transformers.json"
    for names in (["corpus", "passage", "document"], ["corpus", "passage"]):
        edit(file, prompts={name: f"{name}: " for name in names})
        assert resolve(model_spec(copy)).passage_prompt == f"{names[-1]}: "


def test_where_no_file_names_a_length_texts_are_as_long_as_the_model_has_positions_for(
    tiny_of: Callable, model_spec: Callable
) -> None:
    folder = tiny_of("bert", max_position_embeddings=2_048)
    edit(folder / "tokenizer_config.json", model_max_length=None)
    assert resolve(model_spec(folder)).passage_max_length == 2_048


def test_a_module_that_cannot_be_followed_is_named(copy: Path, model_spec: Callable) -> None:
    modules = json.loads((copy / "modules.json").read_text())
    # A class of the checkpoint's own may do anything, whatever it is called.
    for kind in ("sentence_transformers.models.LSTM", "custom_st.Normalize"):
        modules[2]["type"] = kind
        (copy / "modules.json").write_text(json.dumps(modules))
        with pytest.raises(ConfigError, match=rf"{re.escape(kind)} at place 2"):
            resolve(model_spec(copy))


def test_vectors_that_are_to_be_cut_short_are_refused(copy: Path, model_spec: Callable) -> None:
    edit(copy / "config_sentence_transformers.json", truncate_dim=None)
    assert resolve(model_spec(copy)).dimension == 32
    edit(copy / "config_sentence_transformers.json", truncate_dim=16)
    with pytest.raises(ConfigError, match=r"sets truncate_dim 16") as caught:
        resolve(model_spec(copy))
    assert caught.value.hint is not None
    assert "Delete it from a copy of the model" in caught.value.hint


def test_other_poolings_are_refused(copy: Path, model_spec: Callable) -> None:
    edit(copy / "1_Pooling" / "config.json", pooling_mode="attention")
    with pytest.raises(ConfigError, match="pools by"):
        resolve(model_spec(copy))


def test_another_similarity_is_refused_unless_the_user_chooses(
    copy: Path, model_spec: Callable
) -> None:
    edit(copy / "config_sentence_transformers.json", similarity_fn_name="chebyshev")
    with pytest.raises(ConfigError, match="chebyshev"):
        resolve(model_spec(copy))
    assert resolve(model_spec(copy, similarity="dot")).similarity == "dot"


def test_the_position_limit_knows_robertas_offset() -> None:
    roberta = {"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1}
    assert position_limit(roberta) == 512
    assert (
        position_limit({"model_type": "bert", "max_position_embeddings": 512, "pad_token_id": 0})
        == 512
    )


def test_relative_positions_are_no_limit(copy: Path, model_spec: Callable) -> None:
    for kind in ("t5", "mt5", "umt5"):
        edit(copy / "config.json", model_type=kind, n_positions=64, max_position_embeddings=None)
        edit(copy / "sentence_bert_config.json", max_seq_length=200)
        resolved = resolve(model_spec(copy, passage_max_length=300))
        assert (resolved.query_max_length, resolved.passage_max_length) == (200, 300)


def test_weights_that_are_cut_short_are_found_from_their_header(
    copy: Path, model_spec: Callable
) -> None:
    weights = copy / "model.safetensors"
    whole = weights.read_bytes()
    for length in (4, 100, len(whole) - 1):
        weights.write_bytes(whole[:length])
        with pytest.raises(IntegrityError):
            resolve(model_spec(copy))


def test_the_fingerprint_follows_whatever_shapes_a_vector_and_nothing_else(
    copy: Path,
    tiny_bert: Path,
    model_spec: Callable,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("QUARRY_CACHE", str(tmp_path / "cache"))

    def fingerprint(folder: Path, dtype: str = "float32", **wishes: Any) -> str:
        spec = model_spec(folder, **wishes)
        return resolve(spec).contract(dtype, spec).fingerprint

    same = fingerprint(tiny_bert)
    assert fingerprint(copy) == same
    others = [fingerprint(copy, "bfloat16")]
    others.append(fingerprint(copy, similarity="dot"))
    others.append(fingerprint(copy, pooling="cls"))
    others.append(fingerprint(copy, normalize=False))
    others.append(fingerprint(copy, query_prompt="q"))
    others.append(fingerprint(copy, passage_max_length=9))
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(bytes(weights))
    others.append(fingerprint(copy))
    assert len({same, *others}) == 8


def test_the_fingerprint_follows_a_checkpoints_own_code_where_it_may_run_and_plugins_that_shape_vectors(
    copy: Path, model_spec: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("QUARRY_CACHE", str(tmp_path / "cache"))
    plugin = tmp_path / "plugin.py"

    def fingerprints() -> list[str]:
        trusting = model_spec(copy, trust_remote_code=True, revision="0" * 40)
        extended = model_spec(copy, plugins=[str(plugin)], encoder="mine")
        for_its_loss = model_spec(copy, plugins=[str(plugin)])
        specs = [model_spec(copy), trusting, extended, for_its_loss]
        return [resolve(spec).contract("float32", spec).fingerprint for spec in specs]

    plugin.write_text("A = 1\n")
    before = fingerprints()
    (copy / "modeling_own.py").write_text("A = 1\n")
    plugin.write_text("A = 20\n")
    after = fingerprints()
    assert [old == new for old, new in zip(before, after, strict=True)] == [
        *(True, False, False),
        # Who works on a loss does not encode anew.
        True,
    ]


def test_inspecting_a_checkpoint_imports_neither_torch_nor_transformers(tiny_gpt2: Path) -> None:
    code = (
        "import json, sys; from quarry_runtime.inspect import model_contract\n"
        f"report = model_contract({str(tiny_gpt2)!r})\n"
        "print(json.dumps([report, [m for m in ('torch', 'transformers') if m in sys.modules]]))"
    )
    runtime = Path(__file__).parents[3] / "py_runtime"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(runtime)},
        capture_output=True,
        check=True,
    )
    report, imported = json.loads(done.stdout)
    assert imported == []
    assert report["eos"] == {"text": "<|endoftext|>", "id": 0, "isAdded": True}
    assert report["bos"] is None
    assert (report["paddingSide"], report["parameterCount"]) == ("left", 29_472)
    assert report["files"]["model.safetensors"] > 100_000
