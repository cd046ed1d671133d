"""A unit of stored vectors as it comes over the wire."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray

from quarry_runtime.errors import ProtocolError
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
    import pyarrow as pa

    try:
        table = pa.ipc.open_stream(pa.py_buffer(frame)).read_all().combine_chunks()
        rows, ranks = (table[name].combine_chunks().to_numpy() for name in ("row", "idRank"))
        lists = table["vector"].combine_chunks()
        flat = lists.flatten().to_numpy(zero_copy_only=True)
        scales = table["scale"].combine_chunks().to_numpy() if dtype == "int8" else None
    # A stream that is cut within a batch raises OSError; other columns lack methods.
    except (pa.ArrowException, OSError, ValueError, KeyError, AttributeError) as error:
        raise ProtocolError(f"A unit holds no table of vectors: {error}") from error
    if len(rows) != row_count or flat.size != row_count * dimension or flat.dtype != _NUMPY[dtype]:
        raise ProtocolError(
            f"A unit of {row_count} x {dimension} {dtype} holds {len(rows)} rows,"
            f" {flat.size} numbers of {flat.dtype}."
        )
    # torch has no read-only tensors and warns; nothing here writes to a unit.
    codes = torch.frombuffer(bytearray(flat.tobytes()), dtype=_TORCH[dtype])
    return StoredUnit(
        rows.astype(np.int32, copy=False),
        ranks.astype(np.int32, copy=False),
        codes.reshape(row_count, dimension),
        None if scales is None else torch.from_numpy(scales.copy()),
    )


_TORCH = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "int8": torch.int8,
}
