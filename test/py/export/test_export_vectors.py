"""Exported vectors are the stored ones, whatever number format they come in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from quarry_runtime.errors import DataError
from quarry_runtime.export_vectors import answer


def written(folder: Path, dtype: str, count: int = 10_000) -> tuple[list[str], np.ndarray]:
    """Writes a matrix with ids; gives the arguments that name them and the vectors they stand for."""
    vectors = np.random.default_rng(0).standard_normal((count, 4)).astype(np.float32)
    args = ["--vectors", str(folder / "v.npy"), "--ids", str(folder / "ids.json")]
    if dtype == "int8":
        scales = (np.abs(vectors).max(1) / 127).astype(np.float32)
        codes = np.rint(vectors / scales[:, None]).astype(np.int8)
        np.save(folder / "s.npy", scales)
        args += ["--scales", str(folder / "s.npy")]
        stored, vectors = codes, codes.astype(np.float32) * scales[:, None]
    else:
        stored = vectors.astype(dtype)
        vectors = stored.astype(np.float32)
    np.save(folder / "v.npy", stored)
    (folder / "ids.json").write_text(json.dumps([f"d{n}" for n in range(count)]))
    return args, vectors


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_parquet_holds_ids_and_vectors_in_order(tmp_path: Path, dtype: str) -> None:
    args, vectors = written(tmp_path, dtype)
    out = tmp_path / "out.parquet"
    assert answer([*args, "--to", str(out)]) == {"rowCount": 10_000}
    table = pq.read_table(out)
    assert table["id"].to_pylist()[9_999] == "d9999"
    flat = table["vector"].combine_chunks().flatten().to_numpy()
    np.testing.assert_array_equal(flat.reshape(-1, 4), vectors)
    assert not list(tmp_path.glob(".*quarry-tmp"))


def test_ids_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    args, _ = written(tmp_path, "float32", 10)
    (tmp_path / "ids.json").write_text("[]")
    with pytest.raises(DataError, match="10 rows"):
        answer([*args, "--to", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
