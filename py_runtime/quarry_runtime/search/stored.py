"""How vectors are kept and travel: rounded to a storage dtype, and widened again to be scored."""

from __future__ import annotations

from typing import Literal

import torch

from quarry_runtime.protocol.messages import TensorSpec

VectorDtype = Literal["float32", "float16", "bfloat16", "int8"]
_CODES = 127


def to_stored(
    vectors_ND: torch.Tensor, dtype: VectorDtype
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Rounds to nearest, ties to even; for int8 each vector's largest value becomes ±127.

    Args:
        vectors_ND: float32 on any device.
        dtype: What the vectors are kept as.

    Returns:
        The rounded vectors [N, D] and, for int8, scales float32 [N]: vector ≈ scale * codes.

    Example:
        codes_ND, scales_N = to_stored(vectors_ND, "int8")
    """
    if dtype == "float32":
        return vectors_ND, None
    if dtype == "float16":
        return vectors_ND.half(), None
    if dtype == "bfloat16":
        return vectors_ND.bfloat16(), None
    scales_N = vectors_ND.abs().amax(1) / _CODES
    # A vector of zeros has no scale to divide by.
    divisors_N = torch.where(scales_N > 0, scales_N, torch.ones_like(scales_N))
    codes_ND = (vectors_ND / divisors_N[:, None]).round().clamp(-_CODES, _CODES).to(torch.int8)
    return codes_ND, scales_N


def from_stored(codes_ND: torch.Tensor, scales_N: torch.Tensor) -> torch.Tensor:
    """The float32 vectors that stored ones of int8 stand for; exact but for the rounding of the product."""
    return codes_ND.float() * scales_N[:, None]


def pack_stored(codes_ND: torch.Tensor, frame: int) -> tuple[TensorSpec, memoryview]:
    """The spec and the bytes of stored vectors for a binary frame; bfloat16 keeps its 16 bits."""
    name = str(codes_ND.dtype).removeprefix("torch.")
    bits = codes_ND.view(torch.int16) if codes_ND.dtype == torch.bfloat16 else codes_ND
    array = bits.contiguous().cpu().numpy()
    data = memoryview(b"") if array.size == 0 else array.data.cast("B")
    return TensorSpec(dtype=name, shape=list(codes_ND.shape), frame=frame), data  # type: ignore[arg-type]
