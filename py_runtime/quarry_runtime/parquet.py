"""`python -m quarry_runtime parquet`: writes JSON lines as Parquet, block by block, with columns as told."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import json as arrow_json
from pyarrow import parquet

from quarry_runtime.guard.durable import whole_file

# A line has to fit into a block; blocks become row groups.
BLOCK_BYTES = 32 << 20

SCALARS = {"string": pa.string(), "double": pa.float64(), "int64": pa.int64()}


def answer(argv: list[str]) -> dict[str, int]:
    """`parquet --lines F.jsonl --to F.parquet --columns '{"anchor": "string"}'`."""
    parser = argparse.ArgumentParser(prog="quarry_runtime parquet", description=answer.__doc__)
    parser.add_argument("--lines", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--columns", required=True)
    args = parser.parse_args(argv)
    columns = json.loads(args.columns)
    schema = pa.schema([pa.field(name, arrow_type(kind)) for name, kind in columns.items()])
    return {"rows": to_parquet(args.lines, args.to, schema)}


def arrow_type(kind: Any) -> pa.DataType:
    """A scalar by its name, a list as a list of one kind, a struct as an object of kinds."""
    if isinstance(kind, list):
        return pa.list_(arrow_type(kind[0]))
    if isinstance(kind, dict):
        return pa.struct([pa.field(name, arrow_type(each)) for name, each in kind.items()])
    return SCALARS[kind]


def to_parquet(lines: Path, target: Path, schema: pa.Schema, block_bytes: int = BLOCK_BYTES) -> int:
    """
    Writes beside the file and renames, so that a reader finds it whole or not at all.

    The schema is given rather than inferred: a text that looks like a date would become one.

    Returns:
        The number of rows.
    """
    rows = 0
    with (
        whole_file(target) as temporary,
        parquet.ParquetWriter(temporary, schema, compression="snappy") as writer,
    ):
        if lines.stat().st_size > 0:
            with arrow_json.open_json(
                lines,
                read_options=arrow_json.ReadOptions(block_size=block_bytes),
                parse_options=arrow_json.ParseOptions(
                    explicit_schema=schema, unexpected_field_behavior="error"
                ),
            ) as batches:
                for batch in batches:
                    writer.write_batch(batch)
                    rows += batch.num_rows
    return rows
