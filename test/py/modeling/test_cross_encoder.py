"""Cross-encoders give sentence-transformers' scores, and say what of a checkpoint they follow."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from quarry_runtime.errors import ConfigError
from quarry_runtime.modeling.cross_contract import resolve_cross
from quarry_runtime.modeling.cross_encoder import CrossEncoder, load_cross_encoder

WORDS = ["cat", "dog", "sat", "mat", "on", "the", "blue", "sky", "over", "sea"]
QUERIES = [" ".join(WORDS[(n * k) % 10] for k in range(1, 2 + n % 4)) for n in range(24)]
# Some beyond the 128 positions, so that pairs are cut.
PASSAGES = [" ".join(WORDS[(n + k * k) % 10] for k in range(1 + n * 3)) for n in range(24)]
LONG_QUERIES = [" ".join(WORDS * (n % 9)) or "x" for n in range(24)]


def edit(file: Path, **changes: Any) -> None:
    content = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps({**content, **changes}))


def scores(model: CrossEncoder, queries: list[str], passages: list[str]) -> np.ndarray:
    with torch.inference_mode():
        return model(model.collate(model.tokenize(queries, passages))).numpy()


def reference(folder: Path, **options: Any) -> Any:
    from sentence_transformers import CrossEncoder as Reference

    return Reference(str(folder), device="cpu", **options)


@pytest.mark.parametrize("queries", [QUERIES, LONG_QUERIES], ids=["short", "long"])
def test_scores_of_one_label_are_those_of_sentence_transformers(
    tiny_cross: Callable, cross_spec: Callable, queries: list[str]
) -> None:
    folder = tiny_cross()
    expected = reference(folder).predict(list(zip(queries, PASSAGES, strict=True)), batch_size=5)
    found = scores(load_cross_encoder(cross_spec(folder), "cpu"), queries, PASSAGES)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(found) > 0.1


def test_pairs_are_cut_on_the_side_that_the_tokenizer_says_as_in_sentence_transformers(
    tiny_cross: Callable, cross_spec: Callable
) -> None:
    folder = tiny_cross()
    edit(folder / "tokenizer_config.json", truncation_side="left")
    expected = reference(folder).predict(list(zip(LONG_QUERIES, PASSAGES, strict=True)))
    found = scores(load_cross_encoder(cross_spec(folder), "cpu"), LONG_QUERIES, PASSAGES)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_scores_of_several_labels_are_the_chosen_column(
    tiny_cross: Callable, cross_spec: Callable
) -> None:
    folder = tiny_cross(3)
    pairs = list(zip(QUERIES, PASSAGES, strict=True))
    model = reference(folder)
    logits = model.predict(pairs)
    shares = model.predict(pairs, apply_softmax=True)
    for label in (0, 1, 2, None):
        column = 2 if label is None else label
        softmax = load_cross_encoder(cross_spec(folder, label=label), "cpu")
        np.testing.assert_allclose(scores(softmax, QUERIES, PASSAGES), shares[:, column], atol=1e-5)
        raw = load_cross_encoder(cross_spec(folder, label=label, activation="identity"), "cpu")
        np.testing.assert_allclose(scores(raw, QUERIES, PASSAGES), logits[:, column], atol=1e-5)


def test_a_decoder_scores_a_pair_alike_whatever_stands_beside_it(
    tiny_cross: Callable, cross_spec: Callable
) -> None:
    model = load_cross_encoder(cross_spec(tiny_cross(1, "cross-gpt2")), "cpu")
    together = scores(model, QUERIES, PASSAGES)
    alone = [scores(model, [q], [p])[0] for q, p in zip(QUERIES, PASSAGES, strict=True)]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.ptp(together) > 0.01


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("model_type", ["bert", "roberta", "mpnet", "xlnet", "llama"])
def test_a_score_is_that_of_the_pair_alone_whichever_side_the_tokenizer_pads(
    model_type: str, side: str, tiny_of: Callable[..., Path], cross_spec: Callable
) -> None:
    import transformers

    folder = tiny_of("llama" if model_type == "xlnet" else model_type, side)
    config = transformers.AutoConfig.from_pretrained(folder, num_labels=1)
    if model_type == "xlnet":
        sizes: dict[str, Any] = {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64}
        sizes |= {"vocab_size": 2000, "pad_token_id": 256, "num_labels": 1}
        config = transformers.XLNetConfig(**sizes)
    if model_type == "llama":
        # What the tokenizer pads with need not be what the classifier knows as padding.
        config.pad_token_id = 1999
    config.initializer_range = 0.2
    torch.manual_seed(0)
    kind = transformers.AutoModelForSequenceClassification
    kind.from_config(config).save_pretrained(folder)
    theirs = reference(folder)
    pairs = list(zip(QUERIES[:6], PASSAGES[:6], strict=True))
    expected = [theirs.predict([pair])[0] for pair in pairs]
    found = scores(load_cross_encoder(cross_spec(folder), "cpu"), QUERIES[:6], PASSAGES[:6])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(found) > 0.01


@pytest.mark.parametrize(
    ("stated", "activation"),
    [
        (
            {"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}},
            "identity",
        ),
        ({"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}, "identity"),
        (
            {"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"}},
            "sigmoid",
        ),
        ({}, "sigmoid"),
    ],
)
def test_the_activation_that_a_checkpoint_states_is_followed(
    tiny_cross: Callable, cross_spec: Callable, stated: dict, activation: str
) -> None:
    folder = tiny_cross()
    edit(folder / "config.json", **stated)
    model = load_cross_encoder(cross_spec(folder), "cpu")
    assert model.contract.activation == activation
    expected = reference(folder).predict(list(zip(QUERIES, PASSAGES, strict=True)))
    np.testing.assert_allclose(scores(model, QUERIES, PASSAGES), expected, atol=1e-5)


def test_settings_of_the_newer_layouts_transformer_are_followed_or_named(
    tiny_cross: Callable, cross_spec: Callable, tmp_path: Path
) -> None:
    saved = tmp_path / "saved"
    reference(tiny_cross()).save_pretrained(str(saved))
    edit(saved / "sentence_bert_config.json", processing_kwargs={"text": {"max_length": 12}})
    expected = reference(saved).predict(list(zip(QUERIES, PASSAGES, strict=True)))
    found = scores(load_cross_encoder(cross_spec(saved), "cpu"), QUERIES, PASSAGES)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    edit(saved / "sentence_bert_config.json", model_args={"dtype": "float16"})
    with pytest.raises(ConfigError, match=r"sets model_args\.dtype"):
        resolve_cross(cross_spec(saved))


def test_the_newer_layout_states_the_activation_in_a_file_of_its_own(
    tiny_cross: Callable, cross_spec: Callable, tmp_path: Path
) -> None:
    saved = tmp_path / "saved"
    reference(tiny_cross(), activation_fn=torch.nn.Identity()).save_pretrained(str(saved))
    assert resolve_cross(cross_spec(saved)).activation == "identity"
    model = load_cross_encoder(cross_spec(saved), "cpu")
    expected = reference(saved).predict(list(zip(QUERIES, PASSAGES, strict=True)))
    np.testing.assert_allclose(scores(model, QUERIES, PASSAGES), expected, atol=1e-5)


def test_wishes_win_over_the_checkpoint(tiny_cross: Callable, cross_spec: Callable) -> None:
    resolved = resolve_cross(cross_spec(tiny_cross(), max_length=128, activation="identity"))
    assert (resolved.max_length, resolved.activation, resolved.label_count) == (128, "identity", 1)
    model = load_cross_encoder(cross_spec(tiny_cross(), max_length=20), "cpu")
    assert max(map(len, model.tokenize(LONG_QUERIES, PASSAGES))) == 20


def test_everything_that_changes_a_score_changes_the_fingerprint(
    tiny_cross: Callable, cross_spec: Callable
) -> None:
    folder, other = tiny_cross(2), tiny_cross(2)
    edit(other / "config.json", layer_norm_eps=1e-5)

    def fingerprint(checkpoint: Path, dtype: str = "float32", **wishes: Any) -> str:
        return resolve_cross(cross_spec(checkpoint, **wishes)).contract(dtype, None, ()).fingerprint

    distinct = [
        fingerprint(folder),
        fingerprint(other),
        fingerprint(folder, "bfloat16"),
        fingerprint(folder, label=0),
        fingerprint(folder, max_length=64),
        fingerprint(folder, activation="identity"),
    ]
    assert len(set(distinct)) == len(distinct)
    assert fingerprint(folder, label=1, activation="softmax") == fingerprint(folder)


def test_what_is_no_cross_encoder_is_refused_before_torch_is_needed(
    tiny_bert: Path, cross_spec: Callable
) -> None:
    with pytest.raises(ConfigError, match="BertModel, not a cross-encoder"):
        resolve_cross(cross_spec(tiny_bert))


def test_a_classifier_that_would_be_random_is_refused(
    tiny_bert: Path, tiny_cross: Callable, cross_spec: Callable
) -> None:
    folder = tiny_cross()
    (folder / "model.safetensors").write_bytes((tiny_bert / "model.safetensors").read_bytes())
    with pytest.raises(ConfigError, match="lacks weights of BertForSequenceClassification"):
        load_cross_encoder(cross_spec(folder), "cpu")


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"label": 1}, "has 1 label"),
        ({"max_length": 3}, "no room for two texts"),
        ({"max_length": 129}, "maxLength is 129, and .* has positions for 128 tokens"),
        ({"trust_remote_code": True, "revision": "main"}, "trustRemoteCode"),
    ],
)
def test_wishes_that_cannot_be_followed_are_refused(
    tiny_cross: Callable, cross_spec: Callable, wishes: dict, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_cross_encoder(cross_spec(tiny_cross(), **wishes), "cpu")


def test_softmax_of_a_single_label_is_refused_whoever_names_it(
    tiny_cross: Callable, cross_spec: Callable
) -> None:
    folder = tiny_cross()
    with pytest.raises(ConfigError, match="has one label, whose softmax is 1 for every pair"):
        resolve_cross(cross_spec(folder, activation="softmax"))
    stated = "torch.nn.modules.activation.Softmax"
    edit(folder / "config.json", sentence_transformers={"activation_fn": stated})
    with pytest.raises(ConfigError, match="has one label, whose softmax is 1 for every pair"):
        resolve_cross(cross_spec(folder))
    assert resolve_cross(cross_spec(folder, activation="identity")).activation == "identity"


def test_an_activation_that_is_not_known_is_refused_unless_another_one_is_wished(
    tiny_cross: Callable, cross_spec: Callable
) -> None:
    folder = tiny_cross()
    edit(folder / "config.json", sentence_transformers={"activation_fn": "their.Own"})
    with pytest.raises(ConfigError, match=r"their\.Own"):
        resolve_cross(cross_spec(folder))
    assert resolve_cross(cross_spec(folder, activation="sigmoid")).activation == "sigmoid"


def test_pickled_weights_are_never_read(tiny_cross: Callable, cross_spec: Callable) -> None:
    folder = tiny_cross()
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="pickled weights only"):
        resolve_cross(cross_spec(folder))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_scores_are_near_those_of_float32(
    tiny_cross: Callable, cross_spec: Callable, dtype: str
) -> None:
    folder = tiny_cross()
    exact = scores(load_cross_encoder(cross_spec(folder), "cpu"), QUERIES, PASSAGES)
    model = load_cross_encoder(cross_spec(folder, dtype=dtype), "cpu")
    assert model.contract.dtype == dtype
    found = scores(model, QUERIES, PASSAGES)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exact, atol=0.05)
