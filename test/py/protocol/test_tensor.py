"""Arrays keep their numbers on the wire, and a frame of another size is refused."""

from __future__ import annotations

import numpy as np
import pytest

from quarry_runtime.errors import ProtocolError
from quarry_runtime.protocol.messages import TensorSpec
from quarry_runtime.protocol.tensor import pack, to_numpy


@pytest.mark.parametrize("dtype", ["float32", "float16", "int32", "uint8"])
@pytest.mark.parametrize("shape", [(3, 4), (0, 5), (7,), ()])
def test_an_array_comes_back_equal(dtype: str, shape: tuple[int, ...]) -> None:
    array = (np.random.default_rng(1).random(shape) * 100).astype(dtype)
    array = np.asarray(array)
    spec, data = pack(array, 1)
    back = to_numpy(spec, [memoryview(bytes(data))])
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)


def test_a_transposed_array_is_laid_out_in_c_order() -> None:
    array = np.arange(6, dtype=np.int32).reshape(2, 3).T
    spec, data = pack(array, 2)
    assert np.array_equal(to_numpy(spec, [memoryview(b""), data]), array)


def test_bfloat16_is_widened_exactly() -> None:
    halves = np.array([0x3F80, 0xC000, 0x3E20], dtype="<u2")
    spec = TensorSpec(dtype="bfloat16", shape=[3], frame=1)
    assert to_numpy(spec, [memoryview(halves.tobytes())]).tolist() == [1.0, -2.0, 0.15625]


@pytest.mark.parametrize(
    ("shape", "frame"), [([1], 2), ([2], 1), ([2**53 - 1, 2**53 - 1, 2**53 - 1, 4], 1)]
)
def test_a_missing_or_wrong_frame_is_refused(shape: list[int], frame: int) -> None:
    spec = TensorSpec(dtype="float32", shape=shape, frame=frame)
    with pytest.raises(ProtocolError):
        to_numpy(spec, [memoryview(b"\0\0\0\0")])


def test_an_empty_tensor_with_an_uncountable_side_is_refused_or_empty() -> None:
    spec = TensorSpec(dtype="float32", shape=[0, 2**53 - 1, 2**53 - 1, 2**53 - 1], frame=1)
    with pytest.raises(ProtocolError):
        to_numpy(spec, [memoryview(b"")])


def test_a_type_without_a_place_on_the_wire_is_refused() -> None:
    with pytest.raises(ProtocolError, match="float64"):
        pack(np.zeros(3), 1)
