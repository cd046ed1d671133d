"""oneDNN's float32 products, which are faster than MKL's on AMD's processors with AVX-512.

torch gives float32 products to MKL, which is written for Intel's: on a Zen 4 with AVX-512 it reaches 60 to
90 % of oneDNN's rate. On a Zen 3, which has AVX2 alone, oneDNN takes 1.02 to 1.06 of MKL's time. torch
carries oneDNN for other number formats, and its compiler calls it as here.
"""

from __future__ import annotations

import functools

import torch

from quarry_runtime.guard.cores import processor


@functools.cache
def is_faster() -> bool:
    """Whether float32 products on the CPU are to be oneDNN's.

    The processor and torch alone decide, never a clock: all workers of a machine, and a run that is
    gone on with, are to compute the same bits.
    """
    if not (torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()):
        return False
    has_wide = "avx512f" in processor("flags").split()
    return has_wide and processor("vendor_id") == "AuthenticAMD" and _works()


def product(
    left_MK: torch.Tensor, right_NK: torch.Tensor, bias_N: torch.Tensor | None = None
) -> torch.Tensor:
    """left · rightᵀ + bias, float32, [..., N]; `right_NK` may be packed. It has no gradient."""
    return torch.ops.mkldnn._linear_pointwise(left_MK, right_NK, bias_N, "none", [], "")


def packed(right_NK: torch.Tensor) -> torch.Tensor:
    """A copy in the order in which oneDNN reads it; only `product` can use it."""
    return torch.ops.mkldnn._reorder_linear_weight(right_NK.detach())


def _works() -> bool:
    """These operators are torch's own affair: another version may lack them."""
    left, right = torch.arange(6.0).view(2, 3), torch.arange(12.0).view(4, 3)
    wanted = left @ right.T
    try:
        return all(
            torch.equal(product(left, weights), wanted) for weights in (right, packed(right))
        )
    except (AttributeError, RuntimeError, TypeError):
        return False
