"""Bi-encoders that put each text into their chat template: sentence-transformers' vectors, whole, cut, saved."""

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

pytest.importorskip("sentence_transformers")

from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.transformer import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling

TEXTS = [
    "what is a cat",
    "Über café 日本",
    " spaces around \n",
    "it ends by itself<|im_end|>\n",
    "{{ messages }} & <b>",
    "one two three four five six " * 30,
    "",
]
# As conftest.py has it.
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' + (mark or '') }}{% endif %}"
)
# As Llama's.
STRIPPING = CHATML.replace("m.content", "m.content | trim")
# As Mistral's: the prompt stands behind the text.
BEHIND = (
    "{% set told = messages | selectattr('role', 'eq', 'system') | map(attribute='content') | first %}"
    "[INST] {{ messages[-1].content }} [/INST]{{ told or '' }}{{ eos_token }}"
)
STRUCTURED = "{% for m in messages %}[{{ m.role }}] {{ m.content[0].text }}\n{% endfor %}<|im_end|>"
BY_TASK = "{{ task }}: {% for m in messages %}{{ m.content }}{% endfor %}<|im_end|>"
WITHOUT_EMPTY = (
    "{% for m in messages %}{% if m.content %}[{{ m.content }}]{% endif %}{% endfor %}<|im_end|>"
)
PROMPTS = {"query": "Find what answers the question", "document": ""}


def saved_by_peer(folder: Path, out: Path, pooling: Any = "mean", **options: Any) -> Any:
    """The model as sentence-transformers saves it; the loaded one."""
    variables = options.pop("variables", {"add_generation_prompt": True, "mark": "!"})
    prompts = options.pop("prompts", PROMPTS)
    include_prompt = options.pop("include_prompt", True)
    transformer = Transformer(
        str(folder), processing_kwargs={"chat_template": variables}, **options
    )
    modules = [transformer, Pooling(32, pooling, include_prompt=include_prompt)]
    model = SentenceTransformer(modules=modules, device="cpu", prompts=prompts)
    model.save_pretrained(str(out), create_model_card=False)
    return SentenceTransformer(str(out), device="cpu")


def ours(encoder: Any, texts: list[str], side: Any, **given: Any) -> NDArray[np.float32]:
    with torch.inference_mode():
        ids = encoder.tokenize(texts, side, **given)["input_ids"]
        own = encoder.tower(side) if hasattr(encoder, "tower") else encoder
        return encoder(own.collate(ids), side).numpy()


def same(encoder: Any, peer: Any, texts: list[str] = TEXTS) -> None:
    for side, encode in (("query", peer.encode_query), ("passage", peer.encode_document)):
        expected = encode(texts, batch_size=1, show_progress_bar=False)
        np.testing.assert_allclose(ours(encoder, texts, side), expected, atol=1e-5)


def edit(file: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("model_type", "padding_side", "pooling"),
    [
        ("llama", "right", "mean"),
        ("llama", "left", "lasttoken"),
        ("qwen2", "right", "lasttoken"),
        ("qwen2", "left", "cls"),
        ("qwen3", "left", "mean"),
    ],
)
def test_texts_have_the_vectors_of_sentence_transformers_before_and_after_saving(
    model_type: str,
    padding_side: str,
    pooling: str,
    tiny_chat: Callable[..., Path],
    load: Callable[..., Any],
    tmp_path: Path,
) -> None:
    folder = tiny_chat(model_type, padding_side=padding_side)
    peer = saved_by_peer(folder, tmp_path / "theirs", pooling)
    encoder = load(tmp_path / "theirs")
    same(encoder, peer)
    encoder.save(tmp_path / "ours")
    same(load(tmp_path / "ours"), SentenceTransformer(str(tmp_path / "ours"), device="cpu"))
    again = load(tmp_path / "ours")
    for side in ("query", "passage"):
        assert np.array_equal(ours(again, TEXTS, side), ours(encoder, TEXTS, side))


@pytest.mark.parametrize(
    "chat",
    [STRIPPING, BEHIND, STRUCTURED, BY_TASK, WITHOUT_EMPTY],
    ids=["stripping", "prompt behind", "structured", "by task", "nothing of an empty text"],
)
def test_templates_are_followed_whatever_they_ask_of_a_message(
    chat: str, tiny_chat: Callable[..., Path], load: Callable[..., Any], tmp_path: Path
) -> None:
    prompts = {"query": "", "document": "Any passage"}
    peer = saved_by_peer(tiny_chat(chat=chat), tmp_path / "theirs", "lasttoken", prompts=prompts)
    same(load(tmp_path / "theirs"), peer)


@pytest.mark.parametrize(
    ("settings", "variables", "truncation_side"),
    [
        ({"max_seq_length": 60}, {}, "right"),
        ({"max_seq_length": 60}, {}, "left"),
        ({"query_length": 55, "document_length": 40}, {}, "right"),
        ({"processing_kwargs": {"text": {"max_length": 50}}}, {}, "right"),
        ({"max_seq_length": 60}, {"restore_suffix": False}, "right"),
    ],
    ids=["one length", "at the left", "a length for each side", "by call", "without the end"],
)
def test_a_long_text_is_cut_and_the_template_stays_behind_it(
    settings: dict[str, Any],
    variables: dict[str, Any],
    truncation_side: str,
    tiny_chat: Callable[..., Path],
    load: Callable[..., Any],
    tmp_path: Path,
) -> None:
    saved = tmp_path / "theirs"
    saved_by_peer(tiny_chat("llama"), saved, "lasttoken", prompts={"query": "Q", "document": ""})
    edit(saved / "tokenizer_config.json", lambda it: it.update(truncation_side=truncation_side))
    edit(saved / "sentence_bert_config.json", lambda it: it.update(settings))
    edit(
        saved / "sentence_bert_config.json",
        lambda it: it.setdefault("processing_kwargs", {}).update(chat_template=variables),
    )
    lengths = [*TEXTS, *("x" * count for count in range(10, 60, 3)), "0123456789" * 20]
    encoder = load(saved)
    same(encoder, SentenceTransformer(str(saved), device="cpu"), lengths)
    [long] = encoder.tokenize(["0123456789" * 20], "passage")["input_ids"]
    text = encoder.tokenizer.decode(long)
    assert len(long) == encoder.contract.passage_max_length
    assert text.endswith("<|im_end|>\n") == (not variables or truncation_side == "left")
    if truncation_side == "right":
        assert text.startswith("<|im_start|>user\n0123456789")
    encoder.save(tmp_path / "ours")
    same(
        load(tmp_path / "ours"), SentenceTransformer(str(tmp_path / "ours"), device="cpu"), lengths
    )


def test_prompts_of_the_data_are_system_messages_text_by_text(
    tiny_chat: Callable[..., Path], load: Callable[..., Any], tmp_path: Path
) -> None:
    # A prompt that is a message is pooled, whatever the pooling says of prompts.
    peer = saved_by_peer(tiny_chat(), tmp_path / "theirs", "mean", include_prompt=False)
    encoder = load(tmp_path / "theirs")
    same(encoder, peer)
    said = [None, "Find duplicates", "", "Find opposites", None, "Find duplicates", None]
    found = ours(encoder, TEXTS, "query", prompts=said)
    for text, prompt, vector in zip(TEXTS, said, found, strict=True):
        own = PROMPTS["query"] if prompt is None else prompt
        [expected] = peer.encode_query([text], prompt=own, show_progress_bar=False)
        np.testing.assert_allclose(vector, expected, atol=1e-5)
    wish = load(tmp_path / "theirs", query_prompt="Find duplicates")
    wish.save(tmp_path / "ours")
    same(wish, SentenceTransformer(str(tmp_path / "ours"), device="cpu"))


def test_lower_casing_reaches_the_template_as_it_does_there(
    tiny_chat: Callable[..., Path], load: Callable[..., Any], tmp_path: Path
) -> None:
    folder = tiny_chat(chat=CHATML.replace("assistant", "Assistant"))
    saved = tmp_path / "theirs"
    saved_by_peer(folder, saved)
    edit(saved / "sentence_bert_config.json", lambda it: it.update(do_lower_case=True))
    encoder = load(saved)
    same(encoder, SentenceTransformer(str(saved), device="cpu"), ["A Cat", *TEXTS])
    first, second = encoder.tokenize(["A Cat", "a cat"], "query")["input_ids"]
    assert first == second


def test_no_text_costs_a_rendering(
    tiny_chat: Callable[..., Path],
    load: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    saved_by_peer(tiny_chat(), tmp_path / "theirs")
    encoder = load(tmp_path / "theirs")
    rendered: list[Any] = []
    whole = encoder.tokenizer.apply_chat_template

    def counted(*given: Any, **options: Any) -> Any:
        rendered.append(given)
        return whole(*given, **options)

    monkeypatch.setattr(encoder.tokenizer, "apply_chat_template", counted)
    encoder.tokenize(TEXTS * 20, "query")
    assert rendered == []
    encoder.tokenize(TEXTS, "query", prompts=["new"] * len(TEXTS))
    once = len(rendered)
    encoder.tokenize(TEXTS * 20, "query", prompts=["new"] * len(TEXTS) * 20)
    assert len(rendered) == once < 40


def test_two_encoders_have_chat_templates_of_their_own(
    tiny_chat: Callable[..., Path], load: Callable[..., Any], tmp_path: Path
) -> None:
    chatty, other, plain = (tmp_path / name for name in ("chatty", "other", "plain"))
    saved_by_peer(tiny_chat("qwen3"), chatty)
    saved_by_peer(tiny_chat("qwen2", STRIPPING), other, prompts={"query": "Q", "document": ""})
    saved_by_peer(tiny_chat(), plain)
    edit(plain / "sentence_bert_config.json", lambda it: it["modality_config"].pop("message"))
    for query in (other, plain):
        towers = load(chatty, query_checkpoint=str(query))
        alone = load(query), load(chatty)
        for side, encoder in zip(("query", "passage"), alone, strict=True):
            assert np.array_equal(ours(towers, TEXTS, side), ours(encoder, TEXTS, side))
        towers.save(tmp_path / "ours")
        same(towers, SentenceTransformer(str(tmp_path / "ours"), device="cpu"))
        again = load(tmp_path / "ours")
        assert np.array_equal(ours(again, TEXTS, "query"), ours(towers, TEXTS, "query"))
        shutil.rmtree(tmp_path / "ours")


@pytest.mark.usefixtures("leave_no_names")
def test_a_plugins_module_gets_the_template_and_keeps_it(
    tiny_chat: Callable[..., Path], load: Callable[..., Any], tmp_path: Path
) -> None:
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "import torch\n"
        "from quarry_runtime.modeling.registry import register_encoder\n"
        "@register_encoder('sums')\n"
        "class Sums(torch.nn.Module):\n"
        "    def __init__(self, folder, options):\n"
        "        super().__init__()\n"
        "        self.weight = torch.nn.Parameter(torch.randn(2000, 8))\n"
        "    def forward(self, batch, side):\n"
        "        return (self.weight[batch['input_ids']] * batch['attention_mask'][..., None]).sum(1)\n"
    )
    saved_by_peer(tiny_chat(), tmp_path / "theirs")
    given = {"plugins": [plugin], "encoder": "sums"}
    encoder = load(tmp_path / "theirs", **given)
    ids = load(tmp_path / "theirs").tokenize(TEXTS, "query")
    assert encoder.tokenize(TEXTS, "query") == ids
    encoder.save(tmp_path / "ours")
    assert load(tmp_path / "ours", **given).tokenize(TEXTS, "query") == ids


def test_a_date_that_is_given_is_followed(
    tiny_chat: Callable[..., Path], load: Callable[..., Any], tmp_path: Path
) -> None:
    chat = CHATML + "{{ date_string if date_string is defined else strftime_now('%d %b %Y') }}"
    saved = tmp_path / "theirs"
    peer = saved_by_peer(tiny_chat(chat=chat), saved, variables={"date_string": "26 Jul 2024"})
    same(load(saved), peer)


def test_no_end_token_is_put_behind_a_template(
    tiny_chat: Callable[..., Path], load: Callable[..., Any], tmp_path: Path
) -> None:
    folder = tiny_chat()
    # As that of many decoders: it puts special tokens of its own around a plain text.
    template = {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}},
        ],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {
            "<|endoftext|>": {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}
        },
    }
    edit(folder / "tokenizer.json", lambda it: it.update(post_processor=template))
    peer = saved_by_peer(folder, tmp_path / "theirs", "lasttoken")
    encoder = load(tmp_path / "theirs")
    same(encoder, peer)
    [ids] = encoder.tokenize(["a"], "query")["input_ids"]
    assert 0 not in ids
