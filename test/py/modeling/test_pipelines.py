"""Any modules.json pipeline gives sentence-transformers' own vectors, before and after saving."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from quarry_runtime.errors import ConfigError
from quarry_runtime.modeling.layout import ACTIVATIONS

pytest.importorskip("sentence_transformers")

from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.dense import Dense
from sentence_transformers.base.modules.normalize import Normalize
from sentence_transformers.base.modules.transformer import Transformer
from sentence_transformers.sentence_transformer.modules import (
    Dropout,
    LayerNorm,
    Pooling,
)
from torch import nn

TEXTS = ["a cat sat on the mat", "dog", "", "amber river " * 30]
PIPELINES: dict[str, Callable[[], list[Any]]] = {
    "weightedmean": lambda: [Pooling(32, "weightedmean")],
    "lasttoken, layer norm": lambda: [Pooling(32, "lasttoken"), LayerNorm(32)],
    "max, dense, normalize": lambda: [Pooling(32, "max"), Dense(32, 8), Normalize()],
    "mean_sqrt_len": lambda: [Pooling(32, "mean_sqrt_len_tokens"), Dropout(0.2)],
    "cls and mean, two dense": lambda: [
        Pooling(32, ("cls", "mean")),
        Dense(64, 16, activation_function=nn.GELU()),
        Dense(16, 8, bias=False, activation_function=nn.Identity()),
    ],
    "all poolings in another order": lambda: [
        Pooling(32, ("lasttoken", "weightedmean", "mean_sqrt_len_tokens", "mean", "max", "cls")),
        Normalize(),
        LayerNorm(192),
        Dense(192, 24, activation_function=nn.SiLU()),
    ],
    "residual": lambda: [
        Pooling(32, "mean"),
        Normalize(),
        Dense(32, 32, use_residual=True),
        Dense(32, 12, use_residual=True),
        Normalize(),
    ],
}


def build(folder: Path, modules: list[Any], out: Path, **options: Any) -> SentenceTransformer:
    torch.manual_seed(0)
    model = SentenceTransformer(
        modules=[Transformer(str(folder)), *modules], device="cpu", **options
    )
    for module in modules:
        for parameter in module.parameters():
            nn.init.normal_(parameter, std=0.5)
    model.save(str(out), create_model_card=False)
    return model


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def ours(encoder: Any, texts: list[str], side: Any = "passage") -> NDArray[np.float32]:
    with torch.inference_mode():
        return encoder(encoder.collate(encoder.tokenize(texts, side)["input_ids"]), side).numpy()


def theirs(model: Any, texts: list[str], **options: Any) -> NDArray[np.float32]:
    return model.encode(texts, batch_size=1, show_progress_bar=False, **options)


@pytest.mark.parametrize("name", list(PIPELINES))
@pytest.mark.parametrize("arch", ["tiny_bert", "tiny_gpt2"])
def test_a_pipeline_gives_their_vectors_before_and_after_saving(
    name: str,
    arch: str,
    request: pytest.FixtureRequest,
    load: Callable[..., Any],
    tmp_path: Path,
) -> None:
    peer = build(request.getfixturevalue(arch), PIPELINES[name](), tmp_path / "theirs")
    encoder = load(tmp_path / "theirs")
    expected = theirs(peer, TEXTS)
    assert encoder.contract.dimension == expected.shape[1]
    np.testing.assert_allclose(ours(encoder, TEXTS), expected, atol=1e-5)
    encoder.save(tmp_path / "ours")
    assert np.array_equal(ours(load(tmp_path / "ours"), TEXTS), ours(encoder, TEXTS))
    again = SentenceTransformer(str(tmp_path / "ours"), device="cpu")
    np.testing.assert_allclose(theirs(again, TEXTS), expected, atol=1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_of_a_dense_layer_is_theirs(
    activation: str, tiny_bert: Path, load: Callable[..., Any], tmp_path: Path
) -> None:
    dense = Dense(32, 8, activation_function=getattr(nn, activation)())
    peer = build(tiny_bert, [Pooling(32, "mean"), dense], tmp_path / "theirs")
    np.testing.assert_allclose(
        ours(load(tmp_path / "theirs"), TEXTS), theirs(peer, TEXTS), atol=1e-5
    )


@pytest.mark.parametrize("mode", ["mean", "weightedmean", "lasttoken", "cls", "max"])
@pytest.mark.parametrize("arch", ["tiny_bert", "tiny_gpt2"])
def test_a_prompt_is_left_out_of_the_pooling_where_the_checkpoint_says_so(
    mode: Any,
    arch: str,
    request: pytest.FixtureRequest,
    load: Callable[..., Any],
    tmp_path: Path,
) -> None:
    pooling = Pooling(32, mode, include_prompt=False)
    prompts = {"query": "find: ", "document": ""}
    peer = build(request.getfixturevalue(arch), [pooling], tmp_path / "theirs", prompts=prompts)
    encoder = load(tmp_path / "theirs")
    for side, name in (("query", "query"), ("passage", "document")):
        expected = theirs(peer, TEXTS, prompt_name=name)
        np.testing.assert_allclose(ours(encoder, TEXTS, side), expected, atol=1e-5)
        # Together they are padded, and the prompts of the data may differ from row to row.
    mixed = encoder.tokenize(TEXTS, "passage", prompts=[None, "look up: ", None, "find: "])
    with torch.inference_mode():
        vectors = encoder(encoder.collate(mixed["input_ids"])).numpy()
    for number, prompt in ((1, "look up: "), (3, "find: ")):
        expected = theirs(peer, [TEXTS[number]], prompt=prompt)[0]
        np.testing.assert_allclose(vectors[number], expected, atol=1e-5)
    encoder.save(tmp_path / "ours")
    assert np.array_equal(
        ours(load(tmp_path / "ours"), TEXTS, "query"), ours(encoder, TEXTS, "query")
    )


def test_a_tokenizer_without_a_padding_token_is_saved_with_the_one_that_quarry_pads_with(
    tiny_of: Callable[..., Path], load: Callable[..., Any], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_of("llama"), tmp_path / "llama"))
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text())
    del config["pad_token"]
    file.write_text(json.dumps(config))
    encoder = load(folder)
    encoder.save(tmp_path / "ours")
    texts = [text or "a <|endoftext|> within" for text in TEXTS]
    again = SentenceTransformer(str(tmp_path / "ours"), device="cpu")
    together = again.encode(texts, show_progress_bar=False)
    np.testing.assert_allclose(together, ours(encoder, texts), atol=1e-5)
    assert np.array_equal(ours(load(tmp_path / "ours"), texts), ours(encoder, texts))


def test_modules_that_do_not_fit_each_other_are_named(
    tiny_bert: Path, model_spec: Callable[..., Any], tmp_path: Path
) -> None:
    from quarry_runtime.modeling.contract import resolve

    build(tiny_bert, [Pooling(32, ("cls", "mean")), Dense(64, 16)], tmp_path / "model")
    with pytest.raises(ConfigError, match=r"2_Dense takes 64 dimensions and gets 32"):
        resolve(model_spec(tmp_path / "model", pooling="cls"))
    file = tmp_path / "model" / "2_Dense" / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, "module_input_name": "token_embeddings"}))
    with pytest.raises(ConfigError, match="works on token_embeddings"):
        resolve(model_spec(tmp_path / "model"))
    file.write_text(json.dumps({**config, "activation_function": "custom_st.Tanh"}))
    with pytest.raises(ConfigError, match=r"has the activation custom_st\.Tanh"):
        resolve(model_spec(tmp_path / "model"))


def test_a_misspelt_pooling_is_answered_with_the_nearest(
    tiny_bert: Path, model_spec: Callable[..., Any]
) -> None:
    from quarry_runtime.modeling.contract import resolve

    with pytest.raises(ConfigError, match="weightedmaen") as caught:
        resolve(model_spec(tiny_bert, pooling="weightedmaen"))
    assert (caught.value.hint or "").startswith("Did you mean weightedmean?")


@pytest.mark.parametrize(
    "lengths", [{"query_length": 9}, {"query_length": 21, "document_length": 9}]
)
def test_a_side_keeps_its_own_length_in_sentence_transformers(
    lengths: dict[str, int], tiny_bert: Path, load: Callable[..., Any], tmp_path: Path
) -> None:
    build(tiny_bert, [Pooling(32, "mean")], tmp_path / "theirs")
    edit(tmp_path / "theirs" / "sentence_bert_config.json", **lengths)
    wishes = {"query_max_length": 30, "passage_max_length": 7}
    for checkpoint, given in ((tmp_path / "theirs", {}), (tiny_bert, wishes)):
        encoder = load(checkpoint, **given)
        encoder.save(tmp_path / "ours")
        again = SentenceTransformer(str(tmp_path / "ours"), device="cpu")
        for side, encode in (("query", again.encode_query), ("passage", again.encode_document)):
            vectors = encode(TEXTS, batch_size=1, show_progress_bar=False)
            np.testing.assert_allclose(vectors, ours(encoder, TEXTS, side), atol=1e-5)


LEFT = {"direction": "Left", "max_length": 9, "strategy": "LongestFirst", "stride": 0}


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("tokenizer_config.json", {"truncation_side": "left"}),
        ("tokenizer.json", {"truncation": LEFT}),
    ],
)
def test_texts_are_cut_on_the_side_that_the_tokenizer_says(
    file: str, change: dict[str, Any], tiny_bert: Path, load: Callable[..., Any], tmp_path: Path
) -> None:
    build(tiny_bert, [Pooling(32, "mean")], tmp_path / "theirs")
    texts = ["amber river " * 60 + "dog", *TEXTS]
    right = load(tmp_path / "theirs").tokenize(texts, "query")
    edit(tmp_path / "theirs" / file, **change)
    peer = SentenceTransformer(str(tmp_path / "theirs"), device="cpu")
    encoder = load(tmp_path / "theirs")
    assert encoder.tokenize(texts, "query") != right
    np.testing.assert_allclose(ours(encoder, texts), theirs(peer, texts), atol=1e-5)
    encoder.save(tmp_path / "ours")
    assert np.array_equal(ours(load(tmp_path / "ours"), texts), ours(encoder, texts))


@pytest.mark.parametrize(
    "settings",
    [
        {"tokenizer_args": {"model_max_length": 9}, "max_seq_length": 20},
        {"processing_kwargs": {"text": {"max_length": 9}}, "query_length": 5},
        {"model_args": {"trust_remote_code": True}, "config_args": {}, "unpad_inputs": False},
    ],
)
def test_settings_of_the_transformer_are_followed(
    settings: dict[str, Any], tiny_bert: Path, load: Callable[..., Any], tmp_path: Path
) -> None:
    build(tiny_bert, [Pooling(32, "mean")], tmp_path / "theirs")
    edit(tmp_path / "theirs" / "sentence_bert_config.json", **settings)
    peer = SentenceTransformer(str(tmp_path / "theirs"), device="cpu")
    encoder = load(tmp_path / "theirs")
    for side, encode in (("query", peer.encode_query), ("passage", peer.encode_document)):
        vectors = encode(TEXTS, batch_size=1, show_progress_bar=False)
        np.testing.assert_allclose(vectors, ours(encoder, TEXTS, side), atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"config_args": {"num_hidden_layers": 1}}, "config_args.num_hidden_layers"),
        ({"model_args": {"dtype": "float16"}}, "model_args.dtype"),
        ({"tokenizer_args": {"padding_side": "left"}}, "tokenizer_args.padding_side"),
        ({"processing_kwargs": {"common": {"a": 1}}}, "processing_kwargs.common.a"),
        ({"query_expansion": {"strategy": "min"}}, "query_expansion.strategy"),
        ({"module_output_name": "sentence_embedding"}, "module_output_name"),
    ],
)
def test_settings_of_the_transformer_that_cannot_be_followed_are_named(
    settings: dict[str, Any],
    name: str,
    tiny_bert: Path,
    model_spec: Callable[..., Any],
    tmp_path: Path,
) -> None:
    from quarry_runtime.modeling.contract import resolve

    build(tiny_bert, [Pooling(32, "mean")], tmp_path / "theirs")
    edit(tmp_path / "theirs" / "sentence_bert_config.json", **settings)
    with pytest.raises(ConfigError, match=rf"sentence_bert_config\.json sets {re.escape(name)},"):
        resolve(model_spec(tmp_path / "theirs"))


def test_prompts_of_other_names_and_which_encode_takes_are_kept_for_others(
    tiny_bert: Path, load: Callable[..., Any], tmp_path: Path
) -> None:
    prompts = {"query": "q: ", "document": "d: ", "clustering": "cluster: "}
    options = {"prompts": prompts, "default_prompt_name": "clustering"}
    peer = build(tiny_bert, [Pooling(32, "mean")], tmp_path / "theirs", **options)
    load(tmp_path / "theirs").save(tmp_path / "ours")
    again = SentenceTransformer(str(tmp_path / "ours"), device="cpu")
    assert again.prompts == prompts
    np.testing.assert_allclose(theirs(again, TEXTS), theirs(peer, TEXTS), atol=1e-5)
    # What the user says goes before what the checkpoint says.
    load(tmp_path / "theirs", passage_prompt="p: ").save(tmp_path / "other")
    again = SentenceTransformer(str(tmp_path / "other"), device="cpu")
    assert again.prompts == {**prompts, "document": "p: "}
