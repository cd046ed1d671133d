"""Orders (score, id rank) as one 64-bit integer, so that the best places need no rule for ties."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

_FLIP = 0x7FFFFFFF
#: Score -inf and rank -1: below every passage; pads lists that are not full.
LOWEST = int((np.array(-np.inf, np.float32).view(np.int32).astype(np.int64) ^ _FLIP) << 32)


def keys_of(scores: NDArray[np.float32], ranks: NDArray[np.int32]) -> NDArray[np.int64]:
    """int64 keys that order as (score, rank) do; -0.0 counts as 0.0, as in comparisons."""
    bits = (scores + np.float32(0)).view(np.int32)
    # Negative floats order backwards as integers: flip all but the sign.
    keys = (bits ^ ((bits >> 31) & _FLIP)).astype(np.int64)
    keys <<= 32
    keys += ranks
    keys += 1
    return keys


def keys_of_tensors(scores: torch.Tensor, ranks: torch.Tensor) -> torch.Tensor:
    """As keys_of, on the device."""
    bits = (scores + 0.0).view(torch.int32)
    ordered = (bits ^ ((bits >> 31) & _FLIP)).to(torch.int64)
    return (ordered << 32) + (ranks.to(torch.int64) + 1)


def scores_of(keys: torch.Tensor) -> torch.Tensor:
    """The float32 scores in keys."""
    bits = (keys >> 32).to(torch.int32)
    return (bits ^ ((bits >> 31) & _FLIP)).view(torch.float32)
