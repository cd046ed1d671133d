"""Vectors equal sentence-transformers' on the same checkpoint, before and after saving."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from quarry_runtime.errors import ConfigError, EnvironmentFault
from quarry_runtime.modeling.encoder import Encoder
from quarry_runtime.modeling.head import Dense
from quarry_runtime.modeling.load import load_encoder
from quarry_runtime.modeling.pooling import pool

TEXTS = ["a cat sat on the mat", "dog", "", "Über café 日本", "long " * 200, "one two three four"]


def encode(encoder: Encoder, texts: list[str], side: Any = "passage") -> NDArray[np.float32]:
    with torch.inference_mode():
        return encoder(encoder.collate(encoder.tokenize(texts, side)["input_ids"]), side).numpy()


def peers_vectors(folder: Path, texts: list[str], **options: Any) -> NDArray[np.float32]:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    model = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    # One at a time: it lets left padding shift absolute positions.
    return model.encode(texts, batch_size=1, show_progress_bar=False, **options)


@pytest.mark.parametrize("arch", ["tiny_bert", "tiny_gpt2"])
def test_vectors_and_saved_vectors_equal_sentence_transformers(
    arch: str, request: pytest.FixtureRequest, load: Callable, tmp_path: Path
) -> None:
    folder = request.getfixturevalue(arch)
    encoder = load(folder)
    vectors = encode(encoder, TEXTS)
    np.testing.assert_allclose(vectors, peers_vectors(folder, TEXTS), atol=1e-5)
    encoder.save(tmp_path / "saved")
    np.testing.assert_allclose(vectors, peers_vectors(tmp_path / "saved", TEXTS), atol=1e-5)
    assert np.array_equal(vectors, encode(load(tmp_path / "saved"), TEXTS))


def test_a_chat_template_of_the_tokenizer_is_left_alone_here_and_by_sentence_transformers(
    tiny_of: Callable[..., Path], load: Callable, tmp_path: Path
) -> None:
    import transformers

    folder = tiny_of("llama")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = "{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}"
    tokenizer.save_pretrained(folder)
    encoder = load(folder)
    encoder.save(tmp_path / "saved")
    texts = ["dog", "one two three four"]
    found = encode(encoder, texts)
    np.testing.assert_allclose(found, peers_vectors(tmp_path / "saved", texts), atol=1e-5)
    # By itself it would take a plain checkpoint's.
    assert np.abs(found - peers_vectors(folder, texts)).max() > 1e-3


def test_prompts_lengths_pooling_and_projections_survive_saving(
    tiny_bert: Path, load: Callable, tmp_path: Path
) -> None:
    wishes = {
        "query_prompt": "query: ",
        "passage_prompt": "passage: ",
        "pooling": "cls",
        "similarity": "dot",
    }
    encoder = load(tiny_bert, **wishes, normalize=False, query_max_length=8, passage_max_length=16)
    torch.manual_seed(0)
    encoder.after_pooling.append(Dense(32, 12, True, "Tanh"))
    encoder.save(tmp_path / "saved")
    again = load(tmp_path / "saved")
    for field in ("query_prompt", "passage_prompt", "pooling", "similarity", "normalize"):
        assert getattr(again.contract, field) == getattr(encoder.contract, field)
    assert (again.contract.query_max_length, again.contract.passage_max_length) == (8, 16)
    assert again.contract.dimension == 12
    for side, name in (("query", "query"), ("passage", "document")):
        assert np.array_equal(encode(again, TEXTS, side), encode(encoder, TEXTS, side))
        short = TEXTS[1:2]
        theirs = peers_vectors(tmp_path / "saved", short, prompt_name=name)
        np.testing.assert_allclose(encode(again, short, side), theirs, atol=1e-5)


@pytest.mark.parametrize("arch", ["tiny_bert", "tiny_gpt2"])
def test_a_text_has_the_same_vector_whatever_it_is_padded_with(
    arch: str, request: pytest.FixtureRequest, load: Callable
) -> None:
    encoder = load(request.getfixturevalue(arch))
    together = encode(encoder, TEXTS)
    alone = np.concatenate([encode(encoder, [text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("mode", ["mean", "cls", "last"])
def test_pooling_ignores_padding_on_either_side(mode: Any) -> None:
    tokens_TH = torch.arange(12.0).view(3, 4)
    expected = {"mean": tokens_TH.mean(0), "cls": tokens_TH[0], "last": tokens_TH[2]}[mode]
    noise_TH = torch.full((2, 4), 99.0)
    hidden_BTH = torch.stack([torch.cat([tokens_TH, noise_TH]), torch.cat([noise_TH, tokens_TH])])
    mask_BT = torch.tensor([[1, 1, 1, 0, 0], [0, 0, 1, 1, 1]])
    pooled_BH = pool(hidden_BTH.bfloat16(), mask_BT, mode)
    assert pooled_BH.dtype == torch.float32
    assert torch.equal(pooled_BH, torch.stack([expected, expected]))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_gives_float32_vectors_of_length_1(
    tiny_bert: Path, load: Callable, dtype: str
) -> None:
    encoder = load(tiny_bert, dtype=dtype)
    vectors = encode(encoder, TEXTS)
    assert (encoder.contract.dtype, vectors.dtype) == (dtype, np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(vectors, encode(load(tiny_bert), TEXTS), atol=0.05)


def test_for_training_every_used_parameter_is_float32_and_gets_a_gradient(
    tiny_bert: Path, model_spec: Callable
) -> None:
    encoder = load_encoder(model_spec(tiny_bert, dtype="bfloat16"), "cpu", for_training=True)
    batch = encoder.collate(encoder.tokenize(TEXTS, "query")["input_ids"])
    encoder(batch, "query").pow(3).sum().backward()
    assert encoder.training
    for name, parameter in encoder.named_parameters():
        assert parameter.dtype == torch.float32
        # DDP waits for ever for a parameter that wants a gradient and gets none.
        assert (parameter.grad is not None) == parameter.requires_grad, name
        assert parameter.requires_grad != name.startswith("transformer.pooler."), name


def test_lacking_weights_are_an_error_and_never_random_numbers(
    tiny_bert: Path, load: Callable, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "model"))
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"lacks weights of BertModel: encoder\.layer\.1\.output"):
        load(folder)


def test_an_unknown_architecture_is_a_config_error(
    tiny_bert: Path, load: Callable, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "model"))
    config = (folder / "config.json").read_text().replace('"bert"', '"never_heard_of"')
    (folder / "config.json").write_text(config)
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load(folder)


def test_a_weight_of_another_shape_is_named_with_both(
    tiny_bert: Path, load: Callable[..., Any], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 40}))
    told = r"0\.intermediate\.dense\.bias is stored as \[64\], and config\.json makes it \[40\]; .* 5 more"
    with pytest.raises(ConfigError, match=told):
        load(folder)


def test_a_tokenizer_with_more_tokens_than_the_model_is_told_apart_from_broken_texts(
    tiny_bert: Path, load: Callable[..., Any], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 100}))
    weights = load_file(folder / "model.safetensors")
    name = "embeddings.word_embeddings.weight"
    weights[name] = weights[name][:100]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    told = rf"ids go up to {config['vocab_size'] - 1}, and the model has embeddings for 100 tokens"
    with pytest.raises(ConfigError, match=told):
        load(folder)


@pytest.mark.skipif(find_spec("sentencepiece") is not None, reason="sentencepiece is installed")
def test_a_tokenizer_that_sentencepiece_alone_reads_names_the_packages_that_it_takes(
    tiny_bert: Path, load: Callable[..., Any], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "model"))
    (folder / "tokenizer.json").rename(folder / "spiece.model")
    with pytest.raises(EnvironmentFault, match=r"tokenizer in spiece\.model alone") as caught:
        load(folder)
    assert "pip install sentencepiece" in (caught.value.hint or "")
