"""Architectures that need something said about them, and what becomes of those that nobody knows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from quarry_runtime.errors import ConfigError
from quarry_runtime.handlers.models import Models
from quarry_runtime.modeling.contract import hidden_size, position_limit, resolve

TEXTS = ["a cat sat on the mat", "dog", "amber river stone " * 12]


def encode(encoder: Any, texts: list[str] = TEXTS) -> NDArray[np.float32]:
    with torch.inference_mode():
        return encoder(encoder.collate(encoder.tokenize(texts, "passage")["input_ids"])).numpy()


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_an_opt_with_a_projection_has_the_size_of_its_words(
    tiny_of: Callable[..., Path], model_spec: Callable[..., Any]
) -> None:
    folder = tiny_of("opt", ffn_dim=64, word_embed_proj_dim=16)
    encoder = Models("cpu").encoder(model_spec(folder))
    assert encoder.contract.dimension == 16
    assert encode(encoder).shape == (3, 16)


def halves_of_t5gemma() -> dict[str, Any]:
    half: dict[str, Any] = {"vocab_size": 2000, "pad_token_id": 256, "head_dim": 8}
    half |= {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    half |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 96}
    nothing = dict.fromkeys(("hidden_size", "max_position_embeddings"))
    return {"encoder": half, "decoder": {**half, "max_position_embeddings": 64}, **nothing}


#: The commit of code that may run does not concern a class of transformers' own.
COMMIT = {"trust_remote_code": True, "revision": "0" * 40}


@pytest.mark.parametrize(
    ("kind", "name", "length", "own", "told", "given"),
    [
        ("t5", "T5", 120, {"d_kv": 8, "d_ff": 64}, {}, {}),
        ("longt5", "LongT5", 120, {"d_kv": 8, "d_ff": 64}, {}, COMMIT),
        ("switch_transformers", "SwitchTransformers", 120, {"d_kv": 8, "d_ff": 64}, {}, {}),
        ("t5gemma", "T5Gemma", 96, halves_of_t5gemma(), {"is_encoder_decoder": False}, {}),
    ],
)
def test_of_an_encoder_decoder_the_encoder_is_taken_where_it_is_a_model_of_its_own(
    kind: str,
    name: str,
    length: int,
    own: dict[str, Any],
    told: dict[str, Any],
    given: dict[str, Any],
    tiny_of: Callable[..., Path],
    model_spec: Callable[..., Any],
    tmp_path: Path,
) -> None:
    transformers = pytest.importorskip("transformers")
    folder = tiny_of(kind, **own)
    # As T5's checkpoints have it, though it is no limit.
    if kind != "t5gemma":
        edit(folder / "config.json", n_positions=64)
    encoder = Models("cpu").encoder(model_spec(folder, normalize=False, **given))
    assert encoder.contract.passage_max_length == length
    encoder.save(tmp_path / "saved")
    again = Models("cpu").encoder(model_spec(tmp_path / "saved", normalize=False))
    assert np.array_equal(encode(again), encode(encoder))
    theirs = getattr(transformers, f"{name}EncoderModel").from_pretrained(folder, **told)
    ids = torch.tensor(encoder.tokenize(TEXTS[:1], "passage")["input_ids"])
    with torch.inference_mode():
        expected = theirs(ids).last_hidden_state.mean(1).numpy()
    np.testing.assert_allclose(encode(encoder, TEXTS[:1]), expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["big_bird", "bigbird_pegasus"])
def test_a_vector_of_bigbird_does_not_depend_on_what_was_encoded_before(
    kind: str, tiny_of: Callable[..., Path], load: Callable[..., Any], tmp_path: Path
) -> None:
    sparse = {"block_size": 4, "num_random_blocks": 1}
    encoder = load(tiny_of(kind, **sparse))
    alone, long = encode(encoder, TEXTS[2:]), encoder.tokenize(TEXTS[2:], "passage")["input_ids"]
    # With so many tokens attention would be sparse.
    assert len(long[0]) > 7 * 4
    encode(encoder, TEXTS[1:2])
    assert np.array_equal(encode(encoder, TEXTS[2:]), alone)
    encoder.save(tmp_path / "saved")
    assert np.array_equal(encode(load(tmp_path / "saved"), TEXTS[2:]), alone)


def test_only_a_sparse_bigbird_has_another_fingerprint_for_it(
    tiny_bert: Path, model_spec: Callable[..., Any], tmp_path: Path
) -> None:
    from quarry_runtime.guard.locate import settled

    folder = Path(shutil.copytree(tiny_bert, tmp_path / "model"))
    spec = model_spec(folder)

    def uncommon(**changes: Any) -> dict[str, Any]:
        edit(folder / "config.json", **changes)
        return resolve(spec)._uncommon(spec)

    assert "settled" not in uncommon()
    assert "settled" not in uncommon(attention_type="block_sparse")
    assert uncommon(model_type="big_bird")["settled"] == {"attention_type": "original_full"}
    assert "settled" not in uncommon(attention_type="original_full")
    assert settled({"model_type": "big_bird"})


def test_sizes_and_limits_are_read_under_the_names_of_older_and_rarer_architectures() -> None:
    assert hidden_size({"model_type": "bloom", "n_embed": 48}) == 48
    assert hidden_size({"model_type": "xlm", "emb_dim": 40}) == 40
    assert hidden_size({"model_type": "opt", "hidden_size": 32, "word_embed_proj_dim": 16}) == 16
    for kind in ("lilt", "layoutlmv3"):
        config = {"model_type": kind, "max_position_embeddings": 514, "pad_token_id": 1}
        assert position_limit(config) == 512
    led = {"max_encoder_position_embeddings": 16384, "max_decoder_position_embeddings": 1024}
    assert position_limit({"model_type": "led", **led}) == 1024


@pytest.mark.parametrize("kind", ["lilt", "led"])
def test_the_longest_text_has_positions(
    kind: str, tiny_of: Callable[..., Path], load: Callable[..., Any]
) -> None:
    own = {
        "lilt": {"hidden_size": 48, "channel_shrink_ratio": 2, "max_2d_position_embeddings": 16},
        "led": {
            "max_encoder_position_embeddings": 64,
            "max_decoder_position_embeddings": 40,
            "attention_window": 8,
            "max_position_embeddings": None,
        },
    }
    folder = tiny_of(kind, **own[kind])
    edit(folder / "tokenizer_config.json", model_max_length=1e30)
    encoder = load(folder)
    assert np.isfinite(encode(encoder, ["amber river stone " * 100])).all()


def test_a_model_that_can_encode_no_text_is_blamed_and_not_its_texts(
    tiny_of: Callable[..., Path], model_spec: Callable[..., Any]
) -> None:
    folder = tiny_of("pegasus", encoder_ffn_dim=64, decoder_ffn_dim=64)
    with pytest.raises(
        ConfigError, match=r"cannot encode any text: ValueError: .*decoder_input"
    ) as caught:
        Models("cpu").encoder(model_spec(folder))
    assert str(folder) in caught.value.message


def test_vectors_of_another_size_than_the_files_say_are_refused_before_any_work(
    tiny_bert: Path, model_spec: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quarry_runtime.modeling.contract.hidden_size", lambda _: 48)
    for spec in (model_spec(tiny_bert), model_spec(tiny_bert, towers="separate")):
        with pytest.raises(ConfigError, match=r"vectors of 32 dimensions, .* stands for 48"):
            Models("cpu").encoder(spec)


@pytest.mark.parametrize("bits", [None, "8bit", "4bit"])
def test_trying_a_model_changes_neither_random_numbers_nor_vectors(
    bits: str | None, tiny_bert: Path, model_spec: Callable[..., Any], load: Callable[..., Any]
) -> None:
    if bits is not None:
        pytest.importorskip("bitsandbytes")
    torch.manual_seed(7)
    expected = encode(load(tiny_bert, quantization=bits))
    drawn = torch.rand(3)
    torch.manual_seed(7)
    vectors = encode(Models("cpu").encoder(model_spec(tiny_bert, quantization=bits)))
    assert torch.equal(torch.rand(3), drawn)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_a_machine_that_fails_at_the_trial_is_not_taken_for_the_model(
    tiny_bert: Path, load: Callable[..., Any]
) -> None:
    from quarry_runtime.modeling.build import try_model

    encoder = load(tiny_bert)
    told = RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")

    def fail(**_: Any) -> None:
        raise told

    encoder.transformer.forward = fail
    with pytest.raises(RuntimeError) as caught:
        try_model(encoder, "cpu")
    assert caught.value is told


def test_token_types_that_would_be_lost_are_refused(
    tiny_bert: Path, load: Callable[..., Any], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "model"))
    content = json.loads((folder / "tokenizer.json").read_text())
    template = content["post_processor"]
    assert template["type"] == "TemplateProcessing"
    for piece in template["single"]:
        next(iter(piece.values()))["type_id"] = 1
    (folder / "tokenizer.json").write_text(json.dumps(content))
    names = ["input_ids", "attention_mask"]
    edit(folder / "tokenizer_config.json", model_input_names=names)
    assert np.array_equal(encode(load(folder)), encode(load(tiny_bert)))
    edit(folder / "tokenizer_config.json", model_input_names=[*names, "token_type_ids"])
    with pytest.raises(ConfigError, match="another type than 0"):
        load(folder)
