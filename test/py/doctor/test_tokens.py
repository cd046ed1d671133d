"""Each check of texts, tokens and vectors: silent on what is right, and loud on the fault that it is there for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from quarry_runtime.doctor.findings import Finding
from quarry_runtime.doctor.invariance import check_batch_size
from quarry_runtime.doctor.look_at_tokens import Sampled, look_at_tokens
from quarry_runtime.doctor.truncation import check_truncation, wilson
from quarry_runtime.modeling.contract import resolve
from quarry_runtime.modeling.load import load_encoder
from quarry_runtime.modeling.text import Texts
from quarry_runtime.modeling.tokens import pad

BROKEN = str(Path(__file__).parent / "broken_encoders.py")
SHORT = ["amber river", "a stone", "cloud of violet copper", "the forest and the market in winter"]
QUERIES = ["where is amber", "what is a stone"]


def sampled(
    passages: Sequence[str] = SHORT, queries: Sequence[str] = QUERIES, prompts: Any = None
) -> list[Sampled]:
    def texts(given: Sequence[str]) -> Texts:
        rows = np.arange(len(given), dtype=np.int32)
        return Texts(rows, rows, list(given), prompts and list(prompts) * len(given))

    return [
        Sampled("train queries", "query", texts(queries), True),
        Sampled("train passages", "passage", texts(passages), True),
    ]


@pytest.fixture
def look(model_spec: Callable[..., Any]) -> Callable[..., dict[str, Finding]]:
    """The findings about a model and texts, by what was looked at; a worse one of the same name wins."""

    def make(model: Path, samples: list[Sampled] | None = None, **given: Any) -> dict[str, Finding]:
        spec = model_spec(model, **given)
        encoder = load_encoder(spec, "cpu", "float32")
        order = ["ok", "note", "refuse"]
        found = list(look_at_tokens(encoder, resolve(spec), samples or sampled(), "cpu"))
        found.sort(key=lambda finding: order.index(finding.status))
        return {finding.check: finding for finding in found}

    return make


@pytest.fixture
def changed(tmp_path: Path) -> Callable[..., Path]:
    """A copy of a model with files of its own."""

    def make(model: Path, **files: Any) -> Path:
        folder = tmp_path / "changed"
        shutil.copytree(model, folder)
        for name, content in files.items():
            file = folder / name.replace("__", ".")
            file.write_text(content if isinstance(content, str) else json.dumps(content))
        return folder

    return make


@pytest.mark.parametrize("kind", ["tiny_bert", "tiny_gpt2"])
def test_sound_models_have_nothing_to_be_told(
    kind: str, look: Callable[..., Any], request: pytest.FixtureRequest
) -> None:
    found = look(request.getfixturevalue(kind))
    assert {finding.status for finding in found.values()} == {"ok"}
    assert found["vectors and batch size"].facts["difference"] < 1e-5
    assert found["vectors and padding side"].facts["difference"] < 1e-5


def test_the_token_that_is_pooled_is_named(
    look: Callable[..., Any], tiny_gpt2: Path, tiny_bert: Path
) -> None:
    assert "<|endoftext|>, never padding" in look(tiny_gpt2)["pooled token"].seen
    assert "first token, [CLS]" in look(tiny_bert, pooling="cls")["pooled token"].seen


def test_a_doubled_end_is_refused(
    look: Callable[..., Any], changed: Callable[..., Path], tiny_gpt2: Path
) -> None:
    tokenizer = json.loads((tiny_gpt2 / "tokenizer.json").read_text())
    end = tokenizer["post_processor"]["single"][-1]
    tokenizer["post_processor"]["single"].append(end)
    found = look(changed(tiny_gpt2, tokenizer__json=tokenizer))
    finding = found["passage special tokens"]
    assert (finding.status, "stands twice in a row around every text" in finding.seen) == (
        "refuse",
        True,
    )


def test_ends_that_the_data_brings_along_are_refused_when_many_and_noted_when_few(
    look: Callable[..., Any], tiny_bert: Path
) -> None:
    ended = [f"{text} [SEP]" for text in SHORT]
    assert look(tiny_bert, sampled(ended))["passage special tokens"].status == "refuse"
    few = look(tiny_bert, sampled([*SHORT * 20, "a text with a [SEP] in it"]))
    assert few["passage special tokens"].status == "note"
    assert "1 of 81 (1.2 %)" in few["passage special tokens"].seen


def test_a_prompt_that_holds_special_tokens_is_refused(
    look: Callable[..., Any], tiny_bert: Path
) -> None:
    found = look(tiny_bert, query_prompt="[CLS] query: ")
    assert found["query special tokens"].status == "refuse"
    assert found["passage special tokens"].status == "ok"


def test_last_token_pooling_without_an_end_is_noted(
    look: Callable[..., Any], changed: Callable[..., Path], tiny_gpt2: Path
) -> None:
    tokenizer = json.loads((tiny_gpt2 / "tokenizer.json").read_text())
    tokenizer["post_processor"] = None
    finding = look(changed(tiny_gpt2, tokenizer__json=tokenizer))["pooled token"]
    assert (finding.status, "nothing ends it" in finding.seen) == ("note", True)


def test_a_vector_that_changes_by_a_thousandth_with_its_batch_is_refused() -> None:
    def encode(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        count = len(batch["input_ids"])
        return torch.ones(count, 2) * (1.001 if count > 1 else 1.0)

    ids = [[1], [1, 2]]
    finding = check_batch_size(ids, lambda rows: pad(rows, 0, "right"), encode)
    assert finding.status == "refuse"


@pytest.mark.parametrize("encoder", ["last_column", "unmasked"])
def test_an_encoder_whose_padding_reaches_the_vector_is_refused(
    encoder: str, look: Callable[..., Any], tiny_bert: Path
) -> None:
    found = look(tiny_bert, encoder=encoder, plugins=[BROKEN])
    assert found["vectors and batch size"].status == "refuse"
    assert found["vectors and batch size"].facts["difference"] > 1e-2
    if encoder == "unmasked":
        assert found["padding"].status == "refuse"


def test_padding_is_looked_at_where_all_texts_are_cut_to_the_maximum(
    look: Callable[..., Any], tiny_bert: Path, tiny_gpt2: Path
) -> None:
    long = sampled([f"{text} {'amber ' * 20}" for text in SHORT * 2])
    given: dict[str, Any] = {"passage_max_length": 16}
    found = look(tiny_bert, long, encoder="last_column", plugins=[BROKEN], **given)
    assert found["vectors and batch size"].status == "refuse"
    # 2 to 16 tokens, and a token that ends each text ends the shorter ones too.
    for sound in (look(tiny_bert, long, **given), look(tiny_gpt2, long, **given)):
        assert "8 texts of 2 to 16 tokens" in sound["vectors and batch size"].seen
        assert sound["vectors and batch size"].status == "ok"
    assert "<|endoftext|>, never padding" in sound["pooled token"].seen


def test_texts_that_are_cut_are_counted_and_a_length_is_named(
    look: Callable[..., Any], tiny_bert: Path
) -> None:
    long = [" ".join(["amber"] * count) for count in range(1, 21)]
    found = look(tiny_bert, sampled(long), passage_max_length=16)["length of train passages"]
    assert found.status == "note"
    # "amber" is three pieces: 4 words fit between [CLS] and [SEP].
    assert found.facts["cut"] == 16
    assert f"model.passageMaxLength {found.facts['p95']} would keep all of 95 %" in (
        found.todo or ""
    )
    assert look(tiny_bert, sampled(long))["length of train passages"].status == "ok"


def test_a_length_that_leaves_no_room_for_text_is_refused(
    look: Callable[..., Any], tiny_bert: Path
) -> None:
    found = look(tiny_bert, query_prompt="represent this query", query_max_length=8)
    assert found["length of train queries"].status == "refuse"


def test_an_encoder_that_tokenises_in_its_own_way_is_looked_at_by_what_it_gives(
    look: Callable[..., Any], tiny_bert: Path
) -> None:
    found = look(tiny_bert, encoder="twice_ended", plugins=[BROKEN])
    assert found["length of train passages"].status == "ok"
    assert found["passage special tokens"].status == "refuse"


def test_prompts_other_than_the_checkpoints_are_named(
    look: Callable[..., Any], changed: Callable[..., Path], tiny_bert: Path
) -> None:
    config = {
        "prompts": {"query": "query: ", "document": "passage: "},
        "similarity_fn_name": "cosine",
    }
    model = changed(tiny_bert, config_sentence_transformers__json=config)
    assert look(model)["query prompt"].status == "ok"
    found = look(model, query_prompt="Query:", passage_prompt="")
    assert found["query prompt"].status == "note"
    assert "'Query:' is used" in found["query prompt"].seen
    assert "'query: '" in found["query prompt"].seen
    assert "none is used" in found["passage prompt"].seen


def test_prompts_that_only_the_model_card_shows_are_named(
    look: Callable[..., Any], changed: Callable[..., Path], tiny_bert: Path
) -> None:
    card = 'input_texts = ["query: how much protein", "passage: as a general guideline"]'
    model = changed(tiny_bert, README__md=card)
    found = look(model)
    assert (found["query prompt"].status, found["passage prompt"].status) == ("note", "note")
    right = look(model, query_prompt="query: ", passage_prompt="passage: ")
    assert (right["query prompt"].status, right["passage prompt"].status) == ("ok", "ok")


def test_empty_texts_are_counted_and_refused_when_they_are_most(
    look: Callable[..., Any], tiny_bert: Path
) -> None:
    some = look(tiny_bert, sampled([*SHORT, " "]))["text of train passages"]
    assert (some.status, some.facts["empty"]) == ("note", 1)
    assert look(tiny_bert, sampled(["", " ", "amber"]))["text of train passages"].status == "refuse"


def test_the_interval_of_a_share_is_wilsons() -> None:
    # Wilson's interval of 5 of 50, as statsmodels' proportion_confint(5, 50, method="wilson") gives it.
    assert wilson(5, 50) == pytest.approx((0.0434746, 0.2136022), abs=1e-5)
    assert wilson(0, 20)[0] == 0.0
    assert wilson(20, 20)[1] == 1.0


def test_a_text_longer_than_the_models_positions_is_told_apart() -> None:
    found = check_truncation("train passages", "passage", [600] * 10, 512, 2, 512)
    assert (found.status, "split the texts" in (found.todo or "")) == ("note", True)


def test_a_chat_template_is_what_stands_around_a_text(
    look: Callable[..., Any], tiny_chat: Callable[..., Path]
) -> None:
    model = tiny_chat(pooling="lasttoken")
    samples = sampled([*SHORT, "a stone " * 100] * 3)
    found = look(model, samples)
    assert found.pop("length of train passages").seen.startswith("3 of 15 texts are longer")
    # It declares one for queries alone.
    found.pop("passage prompt")
    assert [finding for finding in found.values() if finding.status != "ok"] == []
    assert found["query special tokens"].seen.startswith("4 special tokens of the chat template")
    assert found["passage special tokens"].seen.startswith("2 special tokens of the chat template")
    assert (
        found["pooled token"].seen == "last pooling takes the text's last token, Ċ, never padding"
    )
    # Nothing that all texts end with.
    open_ended = tiny_chat(chat="[{{ messages[-1].content }}", pooling="lasttoken")
    assert "nothing ends it" in look(open_ended)["pooled token"].seen
    spelt = look(model, query_prompt="Find<|im_end|> it")["query special tokens"]
    assert (
        spelt.todo == "Take it out of prompts.query: the chat template adds its tokens by itself."
    )
