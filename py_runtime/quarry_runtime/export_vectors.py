"""`export-vectors`: a NumPy matrix of vectors as Parquet, read mapped and written block by block."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quarry_runtime.errors import DataError
from quarry_runtime.guard.durable import whole_file

_BLOCK_ROWS = 8192


def answer(argv: list[str]) -> dict[str, int]:
    """Converts; the answer is the number of rows.

    Raises:
        DataError: another number of ids or scales than of vectors.
    """
    parser = argparse.ArgumentParser(prog="quarry_runtime export-vectors", description=__doc__)
    parser.add_argument("--vectors", type=Path, required=True)
    parser.add_argument("--scales", type=Path)
    parser.add_argument("--ids", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True, help="the file to write")
    options = parser.parse_args(argv)
    matrix_ND = np.load(options.vectors, mmap_mode="r", allow_pickle=False)
    scales_N = None if options.scales is None else np.load(options.scales, allow_pickle=False)
    ids: list[str] = json.loads(options.ids.read_text(encoding="utf-8"))
    count = len(matrix_ND)
    if len(ids) != count or (scales_N is not None and len(scales_N) != count):
        raise DataError(f"{options.vectors} has {count} rows, {options.ids} {len(ids)} ids.")
    with whole_file(options.to) as temporary:
        _write(temporary, ids, matrix_ND, scales_N)
    return {"rowCount": count}


def _write(path: Path, ids: list[str], matrix_ND: NDArray, scales_N: NDArray | None) -> None:
    """Columns id: string and vector: a fixed-size list of float32; a row group a block."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    vector_type = pa.list_(pa.float32(), matrix_ND.shape[1])
    schema = pa.schema([pa.field("id", pa.string(), False), pa.field("vector", vector_type, False)])
    # Floats hardly shrink, and ids and floats hardly repeat.
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for start in range(0, len(ids), _BLOCK_ROWS):
            part = slice(start, start + _BLOCK_ROWS)
            block_BD = np.ascontiguousarray(matrix_ND[part], dtype=np.float32)
            if scales_N is not None:
                block_BD *= scales_N[part, None]
            flat = pa.array(block_BD.reshape(-1), pa.float32())
            lists = pa.FixedSizeListArray.from_arrays(flat, type=vector_type)
            writer.write_table(
                pa.Table.from_arrays([pa.array(ids[part], pa.string()), lists], schema=schema)
            )
