"""Raw tensors in binary frames: little endian, C order, described by a TensorSpec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from quarry_runtime.protocol.messages import TensorSpec
from quarry_runtime.protocol.scan import refusal

if TYPE_CHECKING:
    from numpy.typing import NDArray

# bfloat16 is unknown to numpy; it arrives as the upper halves of float32.
_DTYPES = {
    "float32": "<f4", "float16": "<f2", "bfloat16": "<u2", "int32": "<i4", "int8": "i1", "uint8": "u1",
}  # fmt: skip


def to_numpy(spec: TensorSpec, frames: Sequence[memoryview]) -> NDArray[Any]:
    """The tensor a spec describes, shaped; bfloat16 becomes float32, the rest are read-only views.

    Raises:
        ProtocolError: when the frame is missing or has another size.
    """
    if spec.frame > len(frames):
        raise refusal(f"a tensor lies in frame {spec.frame}, of {len(frames)}")
    data = frames[spec.frame - 1]
    dtype = np.dtype(_DTYPES[spec.dtype])
    size = dtype.itemsize
    for side in spec.shape:
        size *= side
    if data.nbytes != size:
        raise refusal(f"a tensor {spec.shape} of {spec.dtype} lies in {data.nbytes} bytes")
    if size == 0:
        flat: NDArray[Any] = np.empty(0, dtype)
    else:
        flat = np.frombuffer(data, dtype)
    if spec.dtype == "bfloat16":
        flat = (flat.astype(np.uint32) << 16).view(np.float32)
    try:
        return flat.reshape(spec.shape)
    except ValueError as exc:
        # A zero side beside one that numpy cannot count.
        raise refusal(f"a tensor {spec.shape} cannot be laid out") from exc


def pack(array: NDArray[Any], frame: int) -> tuple[TensorSpec, memoryview]:
    """The spec and the bytes of an array for binary frame ``frame`` (from 1).

    float32, float16, int32, int8 and uint8 have a place on the wire; bfloat16 is sent as float32.
    The bytes are the array's own when it is C-contiguous: do not write to it until they are sent.

    Raises:
        ProtocolError: for any other type of number.

    Example:
        spec, data = pack(vectors, 1)
        encode(Result(unit=unit, attempt=0, tensor=spec, scales=None, seconds=0.1), [data])
    """
    name = array.dtype.name
    if name not in _DTYPES:
        raise refusal(f"an array of {name} has no place on the wire")
    laid_out = np.ascontiguousarray(array, dtype=np.dtype(_DTYPES[name]))
    data = memoryview(b"") if laid_out.size == 0 else laid_out.data.cast("B")
    return TensorSpec(dtype=name, shape=list(array.shape), frame=frame), data
