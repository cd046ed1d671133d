"""A list of ids that is longer than memory is read as json reads a short one, wherever blocks end."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quarry_runtime.errors import DataError
from quarry_runtime.guard.id_list import read_ids

# No lone surrogate: a file in UTF-8 holds one as an escape only, and that is what ensure_ascii makes of it.
_TEXTS = st.text(st.sampled_from(["a", '"', "\\", "\n", ",", "]", "é", "🪨"]), max_size=6)


@settings(max_examples=200)
@given(st.lists(_TEXTS, max_size=8), st.integers(1, 9), st.booleans(), st.sampled_from([None, 1]))
def test_ids_are_those_of_json(
    tmp_path_factory: pytest.TempPathFactory, ids: list[str], block: int, ascii_: bool, indent: None
) -> None:
    path = tmp_path_factory.getbasetemp() / "ids.json"
    path.write_text(json.dumps(ids, ensure_ascii=ascii_, indent=indent) + "\n", encoding="utf-8")
    assert list(read_ids(path, block)) == ids


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "no list of ids"),
        ('["a", 1]', "each a string"),
        ('["a" "b"]', "no JSON file: a comma"),
        ('["a"', "no JSON file: it ends too early"),
        ('["a', "no JSON file: Unterminated"),
        ('["a"] 1', "no JSON file: something stands behind"),
        ('["\\x"]', "no JSON file: Invalid"),
    ],
)
@pytest.mark.parametrize("block", [1, 3, 1_000])
def test_what_is_no_list_of_ids_is_refused(
    tmp_path: Path, text: str, message: str, block: int
) -> None:
    path = tmp_path / "ids.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        list(read_ids(path, block))


def test_memory_holds_a_block_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "ids.json"
    path.write_text(json.dumps([f"{n}" for n in range(200_000)]))
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_ids(path, 4_096)) == 200_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < path.stat().st_size / 5
