"""Refuses scores that are no numbers: torch.topk ranks NaN first, and a run of them looks like a run."""

from __future__ import annotations

import math
from typing import NoReturn

import numpy as np
import torch
from numpy.typing import NDArray

from quarry_runtime.counted import counted, first_of
from quarry_runtime.errors import DataError


def are_finite(scores: torch.Tensor) -> bool:
    """Whether there is neither NaN nor infinity; one pass without a temporary."""
    # A finite overflow of the sum is sorted out below.
    return math.isfinite(scores.sum().item()) or bool(scores.isfinite().all())


def refuse(
    numbers_XN: torch.Tensor, rows_N: torch.Tensor | NDArray[np.int32], what: str = "scores"
) -> NoReturn:
    """Raises a DataError that names the rows of the columns with NaN or infinity."""
    broken_N = ~torch.isfinite(numbers_XN).all(0)
    rows = rows_N[broken_N if isinstance(rows_N, torch.Tensor) else broken_N.numpy()].tolist()
    raise DataError(
        f"The {what} of {counted(len(rows), 'passages')} hold NaN or infinity:"
        f" rows {first_of(rows, 10)}.",
        hint="Try dtype float32 (float16 overflows), or look at these texts and the checkpoint.",
        rows=rows,
    )
