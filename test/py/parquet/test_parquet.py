"""JSON lines as Parquet: the same values, whatever they look like, in several blocks."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from quarry_runtime.parquet import answer, arrow_type, to_parquet

COLUMNS = {"query": "string", "pos": ["string"], "neg_scores": ["double"], "prompt": "string"}


def records(count: int) -> list[dict[str, object]]:
    return [
        {"query": f"{row}", "pos": ["2020-01-01 00:00:00", "naïve 𝒳"], "neg_scores": [row / 3, 1]}
        for row in range(count)
    ]


def written(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), "utf-8")
    return path


def test_texts_that_look_like_dates_and_numbers_stay_texts(tmp_path: Path) -> None:
    lines = written(tmp_path / "a.jsonl", records(3))
    target = tmp_path / "a.parquet"
    argv = ["--lines", lines, "--to", target, "--columns", json.dumps(COLUMNS)]
    assert answer([str(each) for each in argv]) == {"rows": 3}
    expected = [{**row, "prompt": None} for row in records(3)]
    assert parquet.read_table(target).to_pylist() == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "a.parquet"]


def test_many_blocks_make_many_row_groups_and_lose_nothing(tmp_path: Path) -> None:
    lines = written(tmp_path / "a.jsonl", records(500))
    schema = pa.schema([pa.field(name, arrow_type(kind)) for name, kind in COLUMNS.items()])
    assert to_parquet(lines, tmp_path / "a.parquet", schema, block_bytes=4_096) == 500
    file = parquet.ParquetFile(tmp_path / "a.parquet")
    assert file.num_row_groups > 1
    assert [row["query"] for row in file.read().to_pylist()] == [f"{row}" for row in range(500)]


def test_an_empty_file_becomes_an_empty_table_with_its_columns(tmp_path: Path) -> None:
    lines = written(tmp_path / "a.jsonl", [])
    schema = pa.schema([pa.field("passages", arrow_type([{"docid": "string", "score": "double"}]))])
    assert to_parquet(lines, tmp_path / "a.parquet", schema) == 0
    assert parquet.read_table(tmp_path / "a.parquet").schema == schema


def test_a_line_with_another_field_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    lines = written(tmp_path / "a.jsonl", [{"query": "q", "other": 1}])
    with pytest.raises(pa.ArrowInvalid):
        to_parquet(lines, tmp_path / "a.parquet", pa.schema([pa.field("query", pa.string())]))
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]
