"""Language models and templates as cross-encoders: sentence-transformers' scores, and texts cut without the rest."""

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
from quarry_runtime.modeling.pair_template import cut, parse_template

PAIRS = [
    ("what is a cat", "a cat is an animal"),
    ("Über café 日本", "x"),
    ("one", "a much longer passage " * 4),
    (" spaces around ", "  and here\n"),
    ("{passage}", "{query}"),
]
QUERIES, PASSAGES = [query for query, _ in PAIRS], [passage for _, passage in PAIRS]
TEMPLATE = "Query: {query}\nPassage: {passage}\nRelevant:"

# As rerankers that sentence-transformers reads have it: an instruction with a default, a prefilled answer.
CHAT = (
    "{%- set told = messages | selectattr('role', 'eq', 'system') | map(attribute='content') | first"
    " | default('Find relevant passages') -%}"
    "<Instruct>: {{ told }}\n"
    "<Query>: {{ messages | selectattr('role', 'eq', 'query') | map(attribute='content') | first }}\n"
    "<Document>: {{ messages | selectattr('role', 'eq', 'document') | map(attribute='content') | first }}"
    "\n{% if add_generation_prompt %}Answer{{ mark }}:{% endif %}"
)
STRIPPING = CHAT.replace("| first }}", "| first | trim }}")
STRUCTURED = (
    "<Query>: {{ (messages | selectattr('role', 'eq', 'query') | first).content[0].text }}\n"
    "<Document>: {{ (messages | selectattr('role', 'eq', 'document') | first).content[0].text }}"
)


def scores(model: CrossEncoder, pairs: list[tuple[str, str]] = PAIRS) -> np.ndarray:
    queries, passages = [query for query, _ in pairs], [passage for _, passage in pairs]
    with torch.inference_mode():
        return model(model.collate(model.tokenize(queries, passages))).numpy()


@pytest.fixture(scope="module")
def language_model(tiny_of: Callable[..., Path]) -> Callable[..., Path]:
    """Makes a plain folder with a random language model whose logits differ."""

    def make(model_type: str = "llama", chat: str | None = None) -> Path:
        import transformers

        folder = tiny_of(model_type, max_position_embeddings=512, n_positions=512)
        config = transformers.AutoConfig.from_pretrained(folder)
        config.initializer_range = 0.2
        torch.manual_seed(0)
        kind = transformers.AutoModelForCausalLM
        kind.from_config(config).save_pretrained(folder)
        if chat is not None:
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
            tokenizer.chat_template = chat
            tokenizer.save_pretrained(folder)
        return folder

    return make


def saved_by_peer(folder: Path, out: Path, false_token: int | None = 121, **options: Any) -> Any:
    """A reranker as sentence-transformers saves it; the loaded one."""
    pytest.importorskip("sentence_transformers")
    from sentence_transformers import CrossEncoder as Reference
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.cross_encoder.modules import LogitScore

    variables: Any = {"chat_template": {"add_generation_prompt": True, "mark": "!"}}
    transformer = Transformer(
        str(folder), transformer_task="text-generation", processing_kwargs=variables
    )
    score = LogitScore(true_token_id=120, false_token_id=false_token)
    model = Reference(modules=[transformer, score], device="cpu", **options)
    model.save_pretrained(str(out))
    return Reference(str(out), device="cpu")


@pytest.mark.parametrize("model_type", ["llama", "qwen3", "gemma2", "gpt2"])
def test_a_saved_reranker_has_the_scores_of_sentence_transformers(
    model_type: str, language_model: Callable, cross_spec: Callable, tmp_path: Path
) -> None:
    theirs = saved_by_peer(language_model(model_type, CHAT), tmp_path / "saved")
    model = load_cross_encoder(cross_spec(tmp_path / "saved"), "cpu")
    # One at a time: it lets left padding shift absolute positions.
    expected = np.array([theirs.predict([pair])[0] for pair in PAIRS])
    found = scores(model)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(found) > 0.01
    alone = [scores(model, [pair])[0] for pair in PAIRS]
    np.testing.assert_allclose(found, alone, atol=1e-5)


@pytest.mark.parametrize("chat", [STRIPPING, STRUCTURED], ids=["stripping", "structured"])
@pytest.mark.parametrize("false_token", [None, 121])
def test_chat_templates_are_followed_whatever_they_ask_of_a_message(
    chat: str, false_token: int | None, language_model: Callable, cross_spec: Callable, tmp_path: Path
) -> None:  # fmt: skip
    saved = tmp_path / "saved"
    theirs = saved_by_peer(
        language_model(chat=chat), saved, false_token, activation_fn=torch.nn.Identity()
    )
    model = load_cross_encoder(cross_spec(saved), "cpu")
    assert model.contract.activation == "identity"
    assert len(model.contract.tokens) == (1 if false_token is None else 2)
    np.testing.assert_allclose(scores(model), theirs.predict(PAIRS), atol=1e-4)


def test_an_instruction_is_the_systems_message_the_checkpoints_own_or_a_wish(
    language_model: Callable, cross_spec: Callable, tmp_path: Path
) -> None:
    saved = tmp_path / "saved"
    theirs = saved_by_peer(
        language_model(chat=CHAT), saved, prompts={"q": "Judge law"}, default_prompt_name="q"
    )
    own = load_cross_encoder(cross_spec(saved), "cpu")
    np.testing.assert_allclose(scores(own), theirs.predict(PAIRS), atol=1e-5)
    other = load_cross_encoder(cross_spec(saved, prompt="Judge news"), "cpu")
    expected = theirs.predict(PAIRS, prompt="Judge news")
    np.testing.assert_allclose(scores(other), expected, atol=1e-5)
    assert np.abs(scores(own) - scores(other)).max() > 1e-4
    assert own.contract.fingerprint != other.contract.fingerprint


def test_a_plain_language_model_is_asked_by_template_and_tokens(
    language_model: Callable, cross_spec: Callable
) -> None:
    import transformers

    folder = language_model()
    wishes = {"template": TEMPLATE, "true_token": "y", "false_token": "n"}
    found = scores(load_cross_encoder(cross_spec(folder, **wishes), "cpu"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    yes, no = (tokenizer.encode(word, add_special_tokens=False)[0] for word in "yn")
    for (query, passage), score in zip(PAIRS, found, strict=True):
        text = f"Query: {query}\nPassage: {passage}\nRelevant:"
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
        with torch.inference_mode():
            logits = model(ids).logits[0, -1]
        # P(yes) of the two words alone.
        share = torch.stack([logits[yes], logits[no]]).softmax(0)[0]
        assert score == pytest.approx(float(share), abs=1e-5)


def test_a_classifier_takes_a_template_and_a_prompt_too(
    tiny_cross: Callable, cross_spec: Callable, tmp_path: Path
) -> None:
    from sentence_transformers import CrossEncoder as Reference

    folder = tiny_cross()
    plain: Any = Reference(str(folder), device="cpu")
    templated = load_cross_encoder(cross_spec(folder, template="{passage} for {query}"), "cpu")
    # One text, with the special tokens of one text.
    tokens = plain.tokenizer([f"{p} for {q}" for q, p in PAIRS], padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected = plain.model(**tokens).logits[:, 0].sigmoid().numpy()
    np.testing.assert_allclose(scores(templated), expected, atol=1e-5)

    saved = tmp_path / "saved"
    Reference(
        str(folder), device="cpu", prompts={"q": "dog "}, default_prompt_name="q"
    ).save_pretrained(str(saved))
    expected = Reference(str(saved), device="cpu").predict(PAIRS)
    prompted = load_cross_encoder(cross_spec(saved), "cpu")
    np.testing.assert_allclose(scores(prompted), expected, atol=1e-5)
    assert np.abs(scores(prompted) - plain.predict(PAIRS)).max() > 1e-4


def test_a_pair_that_is_too_long_loses_words_of_its_texts_and_nothing_of_the_template(
    language_model: Callable, cross_spec: Callable
) -> None:
    wishes = {"template": TEMPLATE, "true_token": "y"}
    folder = language_model()
    whole = load_cross_encoder(cross_spec(folder, **wishes), "cpu")
    short = load_cross_encoder(cross_spec(folder, **wishes, max_length=60), "cpu")
    text = short.tokenizer.decode
    [long] = short.tokenize(["abc"], ["0123456789" * 9])
    assert len(long) == 60
    assert text(long.ids).startswith("Query: abc\nPassage: 0123456789")
    assert text(long.ids).endswith("\nRelevant:")
    [both] = short.tokenize(["q" * 50], ["p" * 80])
    assert text(both.ids).count("q") == pytest.approx(text(both.ids).count("p"), abs=2)
    for pair in PAIRS[:2]:
        assert short.tokenize(*[[each] for each in pair]) == whole.tokenize(
            *[[each] for each in pair]
        )
    with pytest.raises(ConfigError, match=r"a template of .* around them"):
        load_cross_encoder(cross_spec(folder, **wishes, max_length=20), "cpu")


def test_tokens_go_from_the_longer_text_at_the_side_that_is_named() -> None:
    offsets = [(at, at + 1) for at in range(12)]
    texts = range(1, 4), range(5, 11)
    ids = list(range(12))
    assert cut(ids, offsets, texts, 10, "right") == [0, 1, 2, 3, 4, 5, 6, 7, 8, 11]
    assert cut(ids, offsets, texts, 10, "left") == [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]
    assert cut(ids, offsets, texts, 7, "right") == [0, 1, 2, 4, 5, 6, 11]
    # No text is left to cut.
    assert cut(ids, offsets, texts, 1, "right") == [0, 4, 11]
    # A token that reaches into the template stays.
    assert cut([7, 8, 9], [(0, 2), (2, 3), (3, 4)], (range(1, 3), range(0)), 2, "left") == [7, 9]


def test_a_template_names_both_texts_once() -> None:
    text, [query, passage] = parse_template("<{passage}|{query}>").fill("{passage}", "p")
    assert text == "<p|{passage}>"
    assert (text[query.start : query.stop], text[passage.start : passage.stop]) == (
        "{passage}",
        "p",
    )
    for wrong in ("{query}", "{query} {passage} {query}", ""):
        with pytest.raises(ConfigError, match="once each"):
            parse_template(wrong)


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({}, "does not say how it is asked"),
        ({"template": TEMPLATE}, "does not say how it is asked"),
        ({"true_token": "y"}, "does not say how it is asked"),
        ({"template": TEMPLATE, "true_token": "yes"}, "'yes' is 3 tokens"),
        ({"template": TEMPLATE, "true_token": "y", "label": 0}, "has no labels"),
        ({"template": TEMPLATE, "true_token": "y", "activation": "softmax"}, "softmax is 1"),
    ],
)
def test_a_language_model_that_nobody_says_how_to_ask_is_refused(
    wishes: dict, message: str, language_model: Callable, cross_spec: Callable
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_cross_encoder(cross_spec(language_model(), **wishes), "cpu")


def test_what_a_layout_asks_that_cannot_be_followed_is_named(
    language_model: Callable, tiny_cross: Callable, cross_spec: Callable, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="is a classifier"):
        resolve_cross(cross_spec(tiny_cross(), true_token="y"))
    saved = tmp_path / "saved"
    chat = CHAT.replace("'role', 'eq', 'document'", "'role', 'eq', 'user'")
    with pytest.raises(ValueError, match="chat template"):
        saved_by_peer(language_model(chat=chat), saved).predict(PAIRS)
    with pytest.raises(ConfigError, match="has no place for a query and a document"):
        load_cross_encoder(cross_spec(saved), "cpu")
    file = saved / "sentence_bert_config.json"
    content = json.loads(file.read_text())
    content["processing_kwargs"]["chat_template"]["max_length"] = 8
    file.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"sets processing_kwargs\.chat_template\.max_length"):
        resolve_cross(cross_spec(saved))
