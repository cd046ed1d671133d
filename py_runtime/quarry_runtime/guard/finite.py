"""Refuses NaN and infinity: torch.topk ranks NaN first, and a run full of them looks like a run."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quarry_runtime.counted import counted, first_of
from quarry_runtime.errors import DataError


def check_finite(vectors: NDArray[np.float32], rows: Any, what: str = "vector") -> None:
    """Raises a DataError that names every row whose vector holds NaN or infinity.

    Args:
        vectors: [N, D].
        rows: [N] row numbers of the texts.
        what: What the vectors are, for the message.
    """
    # One pass without a temporary: any NaN or infinity makes the sum not finite; a finite overflow
    # is sorted out below.
    with np.errstate(over="ignore", invalid="ignore"):
        total = vectors.sum(dtype=np.float64)
    if np.isfinite(total):
        return
    broken = ~np.isfinite(vectors).all(axis=1)
    named = np.asarray(rows)[broken].tolist()
    if not named:
        return
    raise DataError(
        f"The model's {what} of {counted(len(named), 'texts')} holds NaN or infinity:"
        f" rows {first_of(named, 10)}.",
        hint="Try dtype float32 (float16 overflows), or look at these texts and the checkpoint.",
        rows=named,
    )
