"""Encoder-decoders as cross-encoders, in the way of monoT5: the logits of the first token that transformers writes."""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from quarry_runtime.cross_encoder import answer
from quarry_runtime.errors import ConfigError
from quarry_runtime.modeling.cross_contract import resolve_cross
from quarry_runtime.modeling.cross_encoder import CrossEncoder, load_cross_encoder

PAIRS = [
    ("what is a cat", "a cat is an animal"),
    ("Über café 日本", "x"),
    ("one", "a much longer passage " * 4),
    (" spaces around ", "  and here\n"),
    ("{passage}", "{query}"),
]
MONO_T5 = "Query: {query} Document: {passage} Relevant:"
ASKED = {"template": MONO_T5, "true_token": "true", "false_token": "false"}

WORDS = ["▁true", "▁false", "▁Query", "▁Document", "▁Relevant", "▁cat", "ing", "is", "▁a"]
#: "true" is a token of other words as well, as in T5's own vocabulary.
PIECES = [*WORDS, "true", "▁", *string.ascii_letters, *string.digits, *string.punctuation]

SIZES: dict[str, dict[str, Any]] = {
    "t5": {},
    "t5 1.1": {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    "mt5": {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    "umt5": {},
    "longt5": {"local_radius": 3, "encoder_attention_type": "local"},
    "switch_transformers": {
        "num_experts": 2,
        "num_decoder_layers": 2,
        "num_sparse_encoder_layers": 1,
        "num_sparse_decoder_layers": 1,
    },
    "bart": {
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "max_position_embeddings": 128,
        "init_std": 0.2,
        "decoder_start_token_id": 1,
        "bos_token_id": 3,
        "eos_token_id": 1,
    },
}


@pytest.fixture(scope="module")
def encoder_decoder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a folder with a random encoder-decoder and T5's tokenizer, of few words."""

    def make(kind: str = "t5", head: str = "AutoModelForSeq2SeqLM", **changes: Any) -> Path:
        import transformers
        from transformers.models.t5.tokenization_t5 import T5Tokenizer

        folder = tmp_path_factory.mktemp("encoder-decoder")
        specials = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
        pieces = [(piece, -2.0 - (len(piece) == 1)) for piece in PIECES]
        extra = [(f"<extra_id_{number}>", 0.0) for number in reversed(range(12))]
        tokenizer = T5Tokenizer(vocab=[*specials, *pieces, *extra], extra_ids=12)
        tokenizer.model_max_length = 120
        tokenizer.save_pretrained(folder)
        size: dict[str, Any] = {"d_model": 32, "vocab_size": len(tokenizer) + 5}
        size |= {"pad_token_id": 0, "decoder_start_token_id": 0}
        if kind != "bart":
            size |= {"d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
        config = transformers.AutoConfig.for_model(
            kind.split(maxsplit=1)[0], **{**size, **SIZES[kind], **changes}
        )
        torch.manual_seed(0)
        model = getattr(transformers, head).from_config(config)
        if kind != "bart":
            with torch.no_grad():
                # T5 draws the embeddings, which are its head too, so that all scores are near 0 or 1.
                model.get_input_embeddings().weight.mul_(0.3)
        model.save_pretrained(folder)
        return folder

    return make


def scores(model: CrossEncoder, pairs: list[tuple[str, str]] = PAIRS) -> np.ndarray:
    queries, passages = [query for query, _ in pairs], [passage for _, passage in pairs]
    with torch.inference_mode():
        return model(model.collate(model.tokenize(queries, passages))).numpy()


def edit(file: Path, **changes: Any) -> None:
    written = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({name: value for name, value in written.items() if value != "gone"}))


def first_logits(folder: Path) -> torch.Tensor:
    """[N, V]: of the first token that transformers writes about each pair, one pair at a time."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder)
    rows = []
    for query, passage in PAIRS:
        text = f"Query: {query} Document: {passage} Relevant:"
        out = model.generate(
            **tokenizer(text, return_tensors="pt"), max_new_tokens=1, do_sample=False, num_beams=1,
            output_logits=True, return_dict_in_generate=True,
        )  # fmt: skip
        rows.append(out.logits[0][0])
    return torch.stack(rows)


@pytest.mark.parametrize("kind", list(SIZES))
def test_a_score_is_the_share_of_true_in_the_first_token_that_transformers_writes(
    kind: str, encoder_decoder: Callable, cross_spec: Callable
) -> None:
    folder = encoder_decoder(kind)
    model = load_cross_encoder(cross_spec(folder, **ASKED), "cpu")
    yes, no = model.contract.tokens
    assert model.tokenizer.convert_ids_to_tokens([yes, no]) == ["▁true", "▁false"]
    logits = first_logits(folder)
    expected = logits[:, [yes, no]].softmax(-1)[:, 0].numpy()
    found = scores(model)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(found) > 0.01
    alone = [scores(model, [pair])[0] for pair in PAIRS]
    np.testing.assert_allclose(found, alone, atol=1e-5)
    raw = load_cross_encoder(cross_spec(folder, **ASKED, activation="identity"), "cpu")
    np.testing.assert_allclose(scores(raw), logits[:, yes] - logits[:, no], atol=1e-5)


@pytest.mark.parametrize(
    ("told", "piece"),
    [("true", "▁true"), ("▁true", "▁true"), (" a", "▁a"), ("<extra_id_10>", "<extra_id_10>")],
)
def test_an_answer_is_what_the_tokenizer_makes_of_the_word_alone_and_may_stand_without_another_one(
    told: str, piece: str, encoder_decoder: Callable, cross_spec: Callable
) -> None:
    folder = encoder_decoder()
    wishes = {"template": MONO_T5, "true_token": told, "activation": "identity"}
    model = load_cross_encoder(cross_spec(folder, **wishes), "cpu")
    [yes] = model.contract.tokens
    assert model.tokenizer.convert_ids_to_tokens(yes) == piece
    np.testing.assert_allclose(scores(model), first_logits(folder)[:, yes], atol=1e-5)


def test_a_pair_that_is_too_long_loses_words_of_its_texts_and_nothing_of_the_template(
    encoder_decoder: Callable, cross_spec: Callable
) -> None:
    folder = encoder_decoder()
    whole = load_cross_encoder(cross_spec(folder, **ASKED), "cpu")
    short = load_cross_encoder(cross_spec(folder, **ASKED, max_length=40), "cpu")
    assert whole.contract.max_length == 120
    pieces = short.tokenizer.convert_ids_to_tokens
    [long] = short.tokenize(["abc"], ["0123456789" * 9])
    assert len(long) == 40
    assert pieces(long.ids[:7]) == ["▁Query", ":", "▁a", "b", "c", "▁Document", ":"]
    assert pieces(long.ids[7:12]) == ["▁", "0", "1", "2", "3"]
    assert pieces(long.ids[-4:])[1:] == ["▁Relevant", ":", "</s>"]
    [both] = short.tokenize(["q" * 50], ["p" * 80])
    kept = pieces(both.ids)
    assert kept.count("q") == pytest.approx(kept.count("p"), abs=1)
    assert short.tokenize(["one"], ["x"]) == whole.tokenize(["one"], ["x"])
    with pytest.raises(ConfigError, match="a template of 7 tokens around them"):
        load_cross_encoder(cross_spec(folder, **ASKED, max_length=8), "cpu")


def test_the_decoder_begins_with_what_the_checkpoint_says_wherever_it_says_it(
    encoder_decoder: Callable, cross_spec: Callable
) -> None:
    folder = encoder_decoder()
    first = load_cross_encoder(cross_spec(folder, **ASKED), "cpu")
    edit(folder / "generation_config.json", decoder_start_token_id=5)
    second = load_cross_encoder(cross_spec(folder, **ASKED), "cpu")
    yes, no = second.contract.tokens
    expected = first_logits(folder)[:, [yes, no]].softmax(-1)[:, 0].numpy()
    np.testing.assert_allclose(scores(second), expected, atol=1e-5)
    assert np.abs(scores(second) - scores(first)).max() > 1e-3
    assert second.contract.fingerprint != first.contract.fingerprint

    for name in ("generation_config.json", "config.json"):
        edit(folder / name, decoder_start_token_id="gone")
    with pytest.raises(ConfigError, match="names no token that its decoder begins with") as caught:
        resolve_cross(cross_spec(folder, **ASKED))
    assert "Write decoder_start_token_id into the config.json" in str(caught.value.hint)


def test_what_is_asked_is_part_of_the_fingerprint(
    encoder_decoder: Callable, cross_spec: Callable
) -> None:
    folder = encoder_decoder()

    def fingerprint(**wishes: Any) -> str:
        spec = cross_spec(folder, **{**ASKED, **wishes})
        return load_cross_encoder(spec, "cpu").contract.fingerprint

    distinct = [
        fingerprint(),
        fingerprint(true_token="a"),
        fingerprint(false_token=None),
        fingerprint(template="{passage} {query}"),
        fingerprint(max_length=64),
        fingerprint(dtype="bfloat16"),
        fingerprint(activation="identity"),
    ]
    assert len(set(distinct)) == len(distinct)
    assert fingerprint(true_token="▁true") == distinct[0]


@pytest.mark.parametrize(
    ("wishes", "message", "hint"),
    [
        ({}, "does not say how it is asked", 'monoT5\'s, template: "Query: {query} Document: '),
        ({"template": MONO_T5}, "does not say how it is asked", 'trueToken: "true"'),
        ({"true_token": "true"}, "does not say how it is asked", 'falseToken: "false"'),
        ({**ASKED, "true_token": "is"}, "'is' is 2 tokens of .*: '▁', 'is'", "the decoder writes"),
        ({**ASKED, "false_token": "日"}, "'日' is 2 tokens of .*: '▁', '<unk>'", "the decoder writes"),
        ({**ASKED, "label": 0}, "has no labels", "Leave label out"),
        ({**ASKED, "activation": "softmax"}, "has one score, whose softmax is 1", "sigmoid"),
    ],
)  # fmt: skip
def test_an_encoder_decoder_that_nobody_says_how_to_ask_is_refused(
    wishes: dict, message: str, hint: str, encoder_decoder: Callable, cross_spec: Callable
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_cross_encoder(cross_spec(encoder_decoder(), **wishes), "cpu")
    assert hint in str(caught.value.hint)


def test_an_answer_of_several_tokens_is_told_before_any_weights_are_read(
    encoder_decoder: Callable, cross_spec: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = encoder_decoder()

    def look(**wishes: Any) -> dict[str, Any]:
        spec = cross_spec(folder, **{**ASKED, **wishes})
        return answer(["--spec", msgspec.json.encode(spec).decode()])

    assert look() == {}
    with pytest.raises(ConfigError, match="'is' is 2 tokens of"):
        look(false_token="is")
    with pytest.raises(ConfigError, match="does not say how it is asked"):
        look(template=None)
    # Where the workers are elsewhere, they may have what reads this tokenizer.
    (folder / "tokenizer.json").rename(folder / "spiece.model")
    monkeypatch.setattr("quarry_runtime.guard.load._is_installed", lambda _module: False)
    assert look(false_token="is") == {}


def test_the_token_of_what_is_not_known_is_no_answer(
    encoder_decoder: Callable, cross_spec: Callable
) -> None:
    folder = encoder_decoder()
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    # Without the space: what is not known is a single token then.
    content["model"]["vocab"] = [
        ["▁▁" if piece == "▁" else piece, score] for piece, score in content["model"]["vocab"]
    ]
    file.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"'日' is 1 token of .*: '<unk>'; an answer is one that"):
        load_cross_encoder(cross_spec(folder, **{**ASKED, "true_token": "日"}), "cpu")


@pytest.mark.parametrize("head", ["AutoModel", "AutoModelForTextEncoding"])
def test_an_encoder_decoder_without_its_head_or_its_decoder_is_no_cross_encoder(
    head: str, encoder_decoder: Callable, cross_spec: Callable
) -> None:
    folder = encoder_decoder(head=head)
    with pytest.raises(ConfigError, match=r"is a T5(Encoder)?Model, not a cross-encoder") as caught:
        resolve_cross(cross_spec(folder, **ASKED))
    assert "ForConditionalGeneration" in str(caught.value.hint)
    # Models of images are named so, and write behind what they read.
    edit(
        folder / "config.json",
        architectures=["LlavaForConditionalGeneration"],
        is_encoder_decoder=False,
    )
    with pytest.raises(
        ConfigError, match="is a LlavaForConditionalGeneration, not a cross-encoder"
    ):
        resolve_cross(cross_spec(folder, **ASKED))
    whole: dict[str, Any] = {"architectures": ["T5ForConditionalGeneration"]}
    edit(folder / "config.json", **whole, is_encoder_decoder=True)
    if head == "AutoModelForTextEncoding":
        with pytest.raises(ConfigError, match="lacks weights of T5ForConditionalGeneration: dec"):
            load_cross_encoder(cross_spec(folder, **ASKED), "cpu")


def test_a_t5_is_known_by_the_name_that_it_had_before(
    encoder_decoder: Callable, cross_spec: Callable
) -> None:
    folder = encoder_decoder()
    expected = scores(load_cross_encoder(cross_spec(folder, **ASKED), "cpu"))
    edit(folder / "config.json", architectures=["T5WithLMHeadModel"])
    found = scores(load_cross_encoder(cross_spec(folder, **ASKED), "cpu"))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_scores_are_near_those_of_float32(
    dtype: str, encoder_decoder: Callable, cross_spec: Callable
) -> None:
    folder = encoder_decoder()
    exact = scores(load_cross_encoder(cross_spec(folder, **ASKED), "cpu"))
    model = load_cross_encoder(cross_spec(folder, **ASKED, dtype=dtype), "cpu")
    assert model.contract.dtype == dtype
    found = scores(model)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exact, atol=0.05)


def test_what_overflows_in_float16_is_no_number_and_never_a_score(
    encoder_decoder: Callable, cross_spec: Callable
) -> None:
    import transformers

    folder = encoder_decoder()
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder)
    with torch.no_grad():
        model.encoder.block[1].layer[1].DenseReluDense.wi.weight.mul_(1e5)
    model.save_pretrained(folder)
    exact = scores(load_cross_encoder(cross_spec(folder, **ASKED), "cpu"))
    assert np.isfinite(exact).all()
    found = scores(load_cross_encoder(cross_spec(folder, **ASKED, dtype="float16"), "cpu"))
    assert np.isnan(found).all()


def test_a_classifier_of_the_family_is_none_that_writes(
    encoder_decoder: Callable, cross_spec: Callable
) -> None:
    import transformers

    folder = encoder_decoder(head="AutoModelForSequenceClassification", num_labels=1)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    expected = []
    for query, passage in PAIRS:
        with torch.inference_mode():
            logits = theirs(**tokenizer(query, passage, return_tensors="pt")).logits
        expected.append(float(logits.sigmoid()))
    model = load_cross_encoder(cross_spec(folder), "cpu")
    np.testing.assert_allclose(scores(model), expected, atol=1e-5)
    assert np.ptp(expected) > 0.001
    with pytest.raises(ConfigError, match="is a classifier"):
        resolve_cross(cross_spec(folder, **ASKED))
