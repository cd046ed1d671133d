"""A unit of stored vectors: as it comes over the wire, or read from the files that it names."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from io import FileIO
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from quarry_runtime.errors import EnvironmentFault, IntegrityError, ProtocolError
from quarry_runtime.protocol.table import table_in
from quarry_runtime.search.stored import VectorDtype

_NUMPY: dict[str, type[np.generic]] = {
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": np.uint16,
    "int8": np.int8,
}


@dataclasses.dataclass(frozen=True)
class StoredUnit:
    """Vectors of passages as they are kept: codes [N, D] and, for int8, scales [N]."""

    rows: NDArray[np.int32]
    ranks: NDArray[np.int32]
    codes: torch.Tensor
    scales: torch.Tensor | None


def read_vectors(
    frame: memoryview, row_count: int, dimension: int, dtype: VectorDtype
) -> StoredUnit:
    """Reads a unit of vectors.

    Raises:
        ProtocolError: a stream that is cut, of other columns, or of another number of rows.
    """
    with table_in(frame, "vectors") as table:
        rows, ranks = (_numbers(table, name) for name in ("row", "idRank"))
        flat = table["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=True)
        scales = _numbers(table, "scale") if dtype == "int8" else None
    if len(rows) != row_count or flat.size != row_count * dimension or flat.dtype != _NUMPY[dtype]:
        raise ProtocolError(
            f"A unit of {row_count} x {dimension} {dtype} holds {len(rows)} rows,"
            f" {flat.size} numbers of {flat.dtype}."
        )
    # Copied to where torch puts its own, which products want and no frame's memory is.
    codes = torch.empty((row_count, dimension), dtype=_TORCH[dtype])
    codes.view(torch.uint8).numpy().reshape(-1)[:] = flat.view(np.uint8)
    return StoredUnit(
        rows.astype(np.int32, copy=False),
        ranks.astype(np.int32, copy=False),
        codes,
        None if scales is None else torch.from_numpy(scales.copy()),
    )


# A search may name 1,000 shards, and a process mostly may open 1,024 files.
MAX_OPEN_FILES = 64


class StoredFiles:
    """Files of stored vectors on a disk that the orchestrator sees as well; each is opened when a
    unit first names it, and the last 64 stay so: what is deleted meanwhile can still be read.

    They are read, not mapped: a file that somebody cuts short is an error then, not the end of the
    process, and the copy is made ahead of the device, without Python's lock.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        #: The one that was read last is at the end.
        self._files: dict[int, FileIO] = {}

    def read(
        self, frame: memoryview, row_count: int, dimension: int, dtype: VectorDtype
    ) -> StoredUnit:
        """Reads the vectors that a unit names by their places.

        Raises:
            ProtocolError: a stream that is cut, of other columns, or of another number of rows; a
                file that the task does not name; a place before its begin.
            IntegrityError: a file that has gone or ends too early: what it held has to be made
                again.
            EnvironmentFault: a file that cannot be read for any other reason; it may be whole.
        """
        with table_in(frame, "places") as table:
            rows, ranks, files, offsets = (
                _numbers(table, name) for name in ("row", "idRank", "file", "offset")
            )
            scale_offsets = _numbers(table, "scaleOffset") if dtype == "int8" else None
        if len(rows) != row_count:
            raise ProtocolError(f"A unit of {row_count} rows holds {len(rows)}.")
        if row_count > 0 and (files.min() < 0 or files.max() >= len(self._paths)):
            raise ProtocolError("A unit names a file that its task does not.")
        if any((place < 0).any() for place in (offsets, scale_offsets) if place is not None):
            raise ProtocolError("A unit names a place before the begin of a file.")
        codes = torch.empty((row_count, dimension), dtype=_TORCH[dtype])
        self._gather(files, offsets, codes.view(torch.uint8).numpy())
        scales = None
        if scale_offsets is not None:
            scales = torch.empty(row_count)
            self._gather(files, scale_offsets, scales.view(torch.uint8).numpy().reshape(-1, 4))
        return StoredUnit(rows, ranks, codes, scales)

    def _gather(
        self, files_N: NDArray[np.int32], offsets_N: NDArray[np.int32], out_NB: NDArray[np.uint8]
    ) -> None:
        for start, end in _runs(files_N, offsets_N, out_NB.shape[1]):
            target = out_NB[start:end].data.cast("B")
            number, offset = int(files_N[start]), int(offsets_N[start])
            while target:
                try:
                    file = self._file(number)
                    file.seek(offset)
                    count = file.readinto(target)
                except (FileNotFoundError, NotADirectoryError) as error:
                    raise IntegrityError(f"{self._paths[number]} has gone.") from error
                except OSError as error:
                    raise EnvironmentFault(
                        f"{self._paths[number]} cannot be read: {error.strerror}.",
                        hint="Look at its permissions, its disk, and the limit of open files"
                        " (ulimit -n).",
                        is_retryable=True,
                    ) from error
                if count == 0:
                    raise IntegrityError(f"{self._paths[number]} ends at byte {offset}.")
                target, offset = target[count:], offset + count

    def _file(self, number: int) -> FileIO:
        file = self._files.pop(number, None) or FileIO(self._paths[number])
        self._files[number] = file
        if len(self._files) > MAX_OPEN_FILES:
            self._files.pop(next(iter(self._files))).close()
        return file


def _runs(
    files_N: NDArray[np.int32], offsets_N: NDArray[np.int32], row_bytes: int
) -> Iterator[tuple[int, int]]:
    """Ranges of rows that lie side by side."""
    if len(files_N) == 0:
        return
    is_apart = (np.diff(files_N) != 0) | (np.diff(offsets_N.astype(np.int64)) != row_bytes)
    cuts = [0, *(np.flatnonzero(is_apart) + 1).tolist(), len(files_N)]
    yield from itertools.pairwise(cuts)


def _numbers(table: Any, name: str) -> NDArray[Any]:
    return table[name].combine_chunks().to_numpy()


_TORCH = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "int8": torch.int8,
}
