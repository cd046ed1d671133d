"""Units that name places in files: the vectors that lie there, and what is told when they do not."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from quarry_runtime.errors import EnvironmentFault, IntegrityError, ProtocolError
from quarry_runtime.handlers.vectors import StoredFiles, StoredUnit
from quarry_runtime.search.stored import VectorDtype, to_stored

VECTORS = np.random.default_rng(0).standard_normal((50, 6)).astype(np.float32)
# Not a multiple of any number's size: places are bytes.
HEAD = 13


def unit(files: list[int], offsets: list[int], scale_offsets: list[int] | None) -> memoryview:
    numbers = range(len(files))
    columns = {"row": numbers, "idRank": numbers, "file": files, "offset": offsets}
    if scale_offsets is not None:
        columns["scaleOffset"] = scale_offsets
    arrays = [pa.array(column, pa.int32()) for column in columns.values()]
    batch = pa.record_batch(arrays, names=list(columns))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return memoryview(sink.getvalue().to_pybytes())


def written(path: Path, vectors: np.ndarray, dtype: VectorDtype) -> tuple[int, int]:
    """Writes vectors and then their scales; gives the bytes of a vector and the first scale's place."""
    codes, scales = to_stored(torch.from_numpy(vectors), dtype)
    data = codes.view(torch.uint8).numpy().tobytes()
    path.write_bytes(b"x" * HEAD + data + (b"" if scales is None else scales.numpy().tobytes()))
    return len(data) // max(1, len(vectors)), HEAD + len(data)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8"])
@pytest.mark.parametrize("order", ["in order", "at random"])
def test_a_unit_is_read_from_several_files_in_any_order(
    tmp_path: Path, dtype: VectorDtype, order: str
) -> None:
    paths = [tmp_path / "one", tmp_path / "two"]
    row_bytes, scales_at = written(paths[0], VECTORS[:30], dtype)
    _, later_scales_at = written(paths[1], VECTORS[30:], dtype)
    list_ = np.arange(50)
    if order == "at random":
        np.random.default_rng(1).shuffle(list_)
    files = [int(at >= 30) for at in list_]
    places = [int(at - 30 * file) for at, file in zip(list_, files, strict=True)]
    offsets = [HEAD + place * row_bytes for place in places]
    starts = scales_at, later_scales_at
    scale_offsets = [starts[file] + 4 * place for place, file in zip(places, files, strict=True)]
    frame = unit(files, offsets, scale_offsets if dtype == "int8" else None)
    seen = StoredFiles([str(path) for path in paths]).read(frame, 50, 6, dtype)
    codes, scales = to_stored(torch.from_numpy(VECTORS[list_]), dtype)
    assert torch.equal(seen.codes, codes)
    assert seen.rows.tolist() == list(range(50))
    if scales is None:
        assert seen.scales is None
    else:
        assert seen.scales is not None
        assert torch.equal(seen.scales, scales)


def read(path: Path, files: list[int], offsets: list[int], row_count: int) -> StoredUnit:
    return StoredFiles([str(path)]).read(unit(files, offsets, None), row_count, 6, "float32")


def test_a_file_that_has_gone_or_ends_too_early_is_named_as_damaged(tmp_path: Path) -> None:
    path = tmp_path / "vectors.arrow"
    with pytest.raises(IntegrityError, match=r"vectors\.arrow has gone"):
        read(path, [0], [HEAD], 1)
    written(path, VECTORS[:3], "float32")
    for offset in (HEAD + 2 * 24 + 1, 10_000):
        with pytest.raises(IntegrityError, match=r"vectors\.arrow ends at byte"):
            read(path, [0, 0], [HEAD, offset], 2)


def test_what_is_open_is_read_on_when_the_file_is_deleted(tmp_path: Path) -> None:
    path = tmp_path / "vectors.arrow"
    written(path, VECTORS, "float32")
    files = StoredFiles([str(path)])
    first = files.read(unit([0], [HEAD], None), 1, 6, "float32")
    path.unlink()
    later = files.read(unit([0], [HEAD], None), 1, 6, "float32")
    assert torch.equal(first.codes, later.codes)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_of_a_thousand_files_few_are_open_at_a_time(tmp_path: Path) -> None:
    paths = [tmp_path / f"shard-{number}" for number in range(300)]
    for number, path in enumerate(paths):
        path.write_bytes(np.full(6, number, np.float32).tobytes())
    before, files = open_files(), StoredFiles([str(path) for path in paths])
    order = [*range(300), *range(299, -1, -1)]
    seen = files.read(unit(order, [0] * 600, None), 600, 6, "float32")
    assert seen.codes[:, 0].tolist() == order
    assert open_files() - before <= 64


def test_a_file_that_may_be_whole_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="cannot be read: Is a directory"):
        read(tmp_path, [0], [0], 1)
    path = tmp_path / "vectors.arrow"
    written(path, VECTORS, "float32")
    frame, files = unit([0], [HEAD], None), StoredFiles([str(path)])
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files(), limits[1]))
    held: list[int] = []
    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(os.dup(0))
        with pytest.raises(EnvironmentFault, match="Too many open files") as caught:
            files.read(frame, 1, 6, "float32")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in held:
            os.close(descriptor)
    assert caught.value.is_retryable
    assert torch.equal(files.read(frame, 1, 6, "float32").codes[0], torch.from_numpy(VECTORS[0]))


@pytest.mark.parametrize("file", [-1, 1])
def test_a_file_that_the_task_does_not_name_is_refused(tmp_path: Path, file: int) -> None:
    path = tmp_path / "vectors.arrow"
    written(path, VECTORS, "float32")
    with pytest.raises(ProtocolError, match="names a file that its task does not"):
        read(path, [0, file], [HEAD, HEAD], 2)


def test_a_unit_that_is_cut_of_other_columns_or_length_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vectors.arrow"
    written(path, VECTORS, "float32")
    files, good = StoredFiles([str(path)]), unit([0], [HEAD], None)
    cases: list[tuple[memoryview, int, VectorDtype]] = [
        (good, 2, "float32"),
        (good[:-40], 1, "float32"),
        (good, 1, "int8"),
    ]
    for frame, count, dtype in cases:
        with pytest.raises(ProtocolError):
            files.read(frame, count, 6, dtype)
    with pytest.raises(ProtocolError, match="before the begin"):
        read(path, [0], [-1], 1)


def test_a_unit_without_rows_has_no_vectors(tmp_path: Path) -> None:
    seen = read(tmp_path / "vectors.arrow", [], [], 0)
    assert seen.codes.shape == (0, 6)
