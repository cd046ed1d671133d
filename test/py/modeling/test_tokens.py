"""Tokenising, padding and the plan of batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_runtime.errors import ConfigError, ProtocolError
from quarry_runtime.modeling.text import join_titles, read_arrow
from quarry_runtime.modeling.tokens import TokenIds, Tokens, pad, plan_batches, tokenize


def test_each_side_has_its_own_prompt_and_length_and_keeps_its_last_special_token(
    tiny_bert: Path, load: Callable
) -> None:
    encoder = load(tiny_bert, query_prompt="ask: ", query_max_length=6, passage_max_length=9)
    query, passage = (
        encoder.tokenize(["some longer text here"], side)["input_ids"][0]
        for side in ("query", "passage")
    )
    assert (len(query), len(passage)) == (6, 9)
    assert query[0] == passage[0] == encoder.tokenizer.cls_token_id
    assert query[-1] == passage[-1] == encoder.tokenizer.sep_token_id
    assert query[1:5] == encoder.tokenize(["ask: some"], "passage")["input_ids"][0][1:5]
    assert encoder.tokenize([], "query") == {"input_ids": []}


def test_a_length_that_special_tokens_fill_is_refused_with_the_least_that_works(
    tiny_bert: Path, tiny_of: Callable, load: Callable
) -> None:
    for length in (1, 2):
        with pytest.raises(ConfigError, match="special tokens alone are 2") as caught:
            load(tiny_bert, query_max_length=length)
        assert caught.value.hint == "Set model.queryMaxLength to 3 or more."
    assert (
        len(load(tiny_bert, query_max_length=3).tokenize(["one two"], "query")["input_ids"][0]) == 3
    )
    # A tokenizer without special tokens, and with the one that is appended.
    llama = tiny_of("llama")
    assert load(llama, passage_max_length=1).contract.passage_max_length == 1
    with pytest.raises(
        ConfigError, match="Passages may have 1 tokens, and special tokens alone are 1"
    ):
        load(llama, passage_max_length=1, append_eos=True)


def test_a_prompt_that_leaves_nothing_of_a_text_is_pooled_itself(
    tiny_of: Callable[..., Path], load: Callable
) -> None:
    folder = tiny_of("gpt2", "left")
    tokenizer = load(folder).tokenizer
    prompts: Any = {"query": "amber river stone ", "passage": "amber "}
    tokens = Tokens(tokenizer, prompts, {"query": 4, "passage": 9}, is_prompt_pooled=False)
    for side, prompt_length in (("query", 0), ("passage", len("amber "))):
        (row,) = tokens(["cloud"], side)  # type: ignore[arg-type]
        assert isinstance(row, TokenIds)
        assert row.prompt_length == prompt_length


def test_padding_goes_to_the_side_that_was_asked_for() -> None:
    left, right = pad([[5, 6], [7]], 9, "left"), pad([[5, 6], [7]], 9, "right")
    assert left["input_ids"].tolist() == [[5, 6], [9, 7]]
    assert left["attention_mask"].tolist() == [[1, 1], [0, 1]]
    assert right["input_ids"].tolist() == [[5, 6], [7, 9]]
    assert right["attention_mask"].tolist() == [[1, 1], [1, 0]]


def test_texts_without_a_token_are_one_column_of_padding() -> None:
    padded = pad([[], []], 9, "right")
    assert padded["input_ids"].tolist() == [[9], [9]]
    assert padded["attention_mask"].tolist() == [[0], [0]]
    assert pad([], 9, "right")["input_ids"].shape == (0, 0)


@given(st.lists(st.integers(1, 20), max_size=60), st.integers(1, 20))
def test_every_text_is_in_one_batch_longest_first_ties_by_position(
    lengths: list[int], size: int
) -> None:
    batches = plan_batches(np.array(lengths, np.int64), size)
    order = [int(position) for batch in batches for position in batch]
    assert order == sorted(range(len(lengths)), key=lambda position: (-lengths[position], position))
    assert all(len(batch) == size for batch in batches[:-1])


def test_a_title_is_put_in_front_only_where_there_is_one() -> None:
    assert join_titles(["T", "", None], ["a", "b", "c"]) == ["T a", "b", "c"]


def test_prompts_of_the_data_take_the_place_of_the_sides_own_row_by_row(
    tiny_bert: Path, load: Callable
) -> None:
    encoder = load(tiny_bert, query_prompt="ask: ")
    given = encoder.tokenize(["cat", "dog", "sea"], "query", prompts=["find: ", None, ""])
    wanted = encoder.tokenize(["find: cat", "ask: dog", "sea"], "passage")
    assert given == wanted


def test_a_table_with_prompts_is_read_and_tokenised_with_them(
    tiny_bert: Path, load: Callable
) -> None:
    table = pa.table(
        {
            "row": pa.array([4, 7], pa.int32()),
            "idRank": pa.array([0, 1], pa.int32()),
            "title": ["", "T"],
            "text": ["cat", "dog"],
            "prompt": pa.array(["find: ", None], pa.string()),
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    texts = read_arrow(memoryview(sink.getvalue()))
    assert (texts.rows.tolist(), texts.prompts) == ([4, 7], ["find: ", None])
    encoder = load(tiny_bert, query_prompt="ask: ")
    wanted = encoder.tokenize(["find: cat", "ask: T dog"], "passage")
    assert tokenize(encoder, texts, "query") == wanted
    with pytest.raises(ProtocolError, match="no table of texts"):
        read_arrow(memoryview(sink.getvalue())[:-40])


def test_extras_of_a_table_reach_an_encoder_that_takes_them(
    tiny_bert: Path, load: Callable
) -> None:
    table = pa.table(
        {
            "row": pa.array([4, 7], pa.int32()),
            "idRank": pa.array([0, 1], pa.int32()),
            "title": ["", ""],
            "text": ["cat", "dog"],
            "prompt": pa.array([None, None], pa.string()),
            "extras": pa.array(['{"task": "find", "year": 1999}', None], pa.string()),
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    texts = read_arrow(memoryview(sink.getvalue()))
    assert texts.extras == [{"task": "find", "year": 1999}, {}]
    encoder = load(tiny_bert)

    class Tasked(type(encoder)):
        def format_query(self, text: str, extras: Mapping[str, Any]) -> str:
            return f"{extras.get('task', 'ask')}: {text}"

    class Deaf:
        def tokenize(self, texts: list[str], side: str, prompts: Any = None) -> Any:
            return encoder.tokenize(texts, side, prompts)

    plain = encoder.tokenize(["cat", "dog"], "query")
    assert tokenize(encoder, texts, "query") == plain
    # The extras may be the loss's alone.
    assert tokenize(Deaf(), texts, "query") == plain  # type: ignore[arg-type]
    encoder.__class__ = Tasked
    wanted = encoder.tokenize(["cat", "dog"], "query", extras=[{"task": "find"}, {}])
    assert tokenize(encoder, texts, "query") == wanted != plain
