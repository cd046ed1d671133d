"""`appendEos`: every text ends with one end token, in Quarry and in whatever loads the checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from quarry_runtime.errors import ConfigError
from quarry_runtime.modeling.eos import end_once

TEXTS = ["a cat", "", "long " * 60, "spelt out<|endoftext|>"]
END = 0


def ids_of(encoder: Any, texts: list[str]) -> list[list[int]]:
    return encoder.tokenize(texts, "passage")["input_ids"]


def test_a_decoder_without_a_template_gets_one_end_token_also_where_a_text_is_cut(
    tiny_of: Callable[..., Path], load: Callable[..., Any]
) -> None:
    folder = tiny_of("llama")
    plain = ids_of(load(folder, passage_max_length=20), TEXTS)
    ended = ids_of(load(folder, passage_max_length=20, append_eos=True), TEXTS)
    assert [row[-1:] == [END] for row in plain] == [False, False, False, True]
    assert ended == [[*plain[0], END], [END], [*plain[2][:19], END], plain[3]]


def test_a_tokenizer_that_ends_texts_by_itself_does_not_do_it_twice(
    tiny_gpt2: Path, load: Callable[..., Any]
) -> None:
    plain = ids_of(load(tiny_gpt2), TEXTS[:3])
    assert ids_of(load(tiny_gpt2, append_eos=True), TEXTS[:3]) == plain
    assert all(row[-1] == END and END not in row[:-1] for row in plain)


def test_a_begin_token_of_a_template_stays(
    tiny_of: Callable[..., Path], load: Callable[..., Any]
) -> None:
    folder = tiny_of("llama")
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    content["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "<|pad|>", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
        ],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<|pad|>": {"id": "<|pad|>", "ids": [257], "tokens": ["<|pad|>"]}},
    }
    file.write_text(json.dumps(content))
    rows = ids_of(load(folder, passage_max_length=20, append_eos=True), TEXTS[:3])
    assert [(row[0], row[-1], row.count(END)) for row in rows] == [(257, END, 1)] * 3
    assert len(rows[2]) == 20


@pytest.mark.parametrize("explicit", [{}, {"add_eos_token": False, "add_bos_token": False}])
def test_a_saved_model_ends_texts_in_sentence_transformers_too(
    explicit: dict[str, bool],
    tiny_of: Callable[..., Path],
    load: Callable[..., Any],
    tmp_path: Path,
) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    folder = tiny_of("qwen2", "left")
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **explicit}))
    lengths = {"query_max_length": 30, "passage_max_length": 30}
    encoder = load(folder, append_eos=True, pooling="last", **lengths)
    encoder.save(tmp_path / "saved")
    again = load(tmp_path / "saved")
    assert ids_of(again, TEXTS) == ids_of(encoder, TEXTS)
    with torch.inference_mode():
        ours = [again(again.collate(ids_of(again, [text]))).numpy()[0] for text in TEXTS[:3]]
    peer = sentence_transformers.SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    theirs = peer.encode(TEXTS[:3], batch_size=1, show_progress_bar=False)
    np.testing.assert_allclose(np.stack(ours), theirs, atol=1e-5)
    # A text that spells its end token out gets a second one there; see docs/models.md.
    spelt = peer.tokenizer(TEXTS)["input_ids"][3]
    assert spelt == [*ids_of(again, TEXTS)[3], END]


def test_a_tokenizer_without_an_end_token_is_refused(
    tiny_bert: Path, load: Callable[..., Any]
) -> None:
    with pytest.raises(ConfigError, match="no end token"):
        load(tiny_bert, append_eos=True)


def test_ends_are_counted_from_behind_only() -> None:
    assert end_once([5, 0, 6, 0, 0], 0, 10) == [5, 0, 6, 0]
    assert end_once([5, 6, 7], 0, 3) == [5, 6, 0]
    assert end_once([], 0, 3) == [0]
