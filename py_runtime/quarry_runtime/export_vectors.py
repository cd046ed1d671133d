"""`export-vectors`: a NumPy matrix of vectors as Parquet, read mapped and written block by block."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quarry_runtime.errors import DataError
from quarry_runtime.guard.durable import whole_file
from quarry_runtime.guard.id_list import read_ids

_BLOCK_ROWS = 8192


def answer(argv: list[str]) -> dict[str, int]:
    """Converts; the answer is the number of rows."""
    parser = argparse.ArgumentParser(prog="quarry_runtime export-vectors", description=__doc__)
    parser.add_argument("--vectors", type=Path, required=True)
    parser.add_argument("--scales", type=Path)
    parser.add_argument("--ids", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True, help="the file to write")
    options = parser.parse_args(argv)
    vectors = Vectors(options.vectors, options.scales, options.ids)
    with whole_file(options.to) as temporary:
        write_parquet(vectors, temporary)
    return {"rowCount": vectors.count}


class Vectors:
    """A matrix on disk with its ids: float32 whatever it is kept as; a block of it is in memory.

    Raises:
        DataError: another number of scales than of vectors.
    """

    def __init__(self, vectors: Path, scales: Path | None, ids: Path) -> None:
        self._matrix_ND = np.load(vectors, mmap_mode="r", allow_pickle=False)
        self._scales_N = (
            None if scales is None else np.load(scales, mmap_mode="r", allow_pickle=False)
        )
        self._path, self._ids = vectors, ids
        self.dimension = int(self._matrix_ND.shape[1])
        self.count = len(self._matrix_ND)
        if self._scales_N is not None and len(self._scales_N) != self.count:
            raise DataError(f"{vectors} has {self.count} rows, {scales} {len(self._scales_N)}.")

    def blocks(self) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        """Ids and vectors [B, D] of one block after the other.

        Raises:
            DataError: another number of ids than of vectors.
        """
        ids, id_count = read_ids(self._ids), 0
        for start in range(0, self.count, _BLOCK_ROWS):
            part = slice(start, start + _BLOCK_ROWS)
            block_BD = np.ascontiguousarray(self._matrix_ND[part], dtype=np.float32)
            if self._scales_N is not None:
                block_BD *= self._scales_N[part, None]
            own = list(itertools.islice(ids, len(block_BD)))
            id_count += len(own)
            if len(own) < len(block_BD):
                break
            yield own, block_BD
        id_count += sum(1 for _ in ids)
        if id_count != self.count:
            raise DataError(f"{self._path} has {self.count} rows, {self._ids} {id_count} ids.")


def write_parquet(vectors: Vectors, path: Path) -> None:
    """Columns id: string and vector: a fixed-size list of float32; a row group a block."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    vector_type = pa.list_(pa.float32(), vectors.dimension)
    schema = pa.schema([pa.field("id", pa.string(), False), pa.field("vector", vector_type, False)])
    # Floats hardly shrink, and ids and floats hardly repeat.
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for ids, block_BD in vectors.blocks():
            flat = pa.array(block_BD.reshape(-1), pa.float32())
            lists = pa.FixedSizeListArray.from_arrays(flat, type=vector_type)
            writer.write_table(
                pa.Table.from_arrays([pa.array(ids, pa.string()), lists], schema=schema)
            )
