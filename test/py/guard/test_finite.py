"""Vectors with NaN or infinity never pass."""

from __future__ import annotations

import numpy as np
import pytest

from quarry_runtime.errors import DataError
from quarry_runtime.guard.finite import check_finite


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_every_broken_row_is_named(broken: float) -> None:
    vectors = np.ones((5, 3), np.float32)
    vectors[1, 2] = vectors[4, 0] = broken
    with pytest.raises(DataError) as caught:
        check_finite(vectors, np.array([10, 11, 12, 13, 14], np.int32))
    assert caught.value.rows == [11, 14]
    assert "11, 14" in caught.value.message
    assert not caught.value.is_retryable


def test_opposite_infinities_do_not_cancel_out() -> None:
    vectors = np.array([[np.inf, -np.inf]], np.float32)
    with pytest.raises(DataError):
        check_finite(vectors, [0])


def test_great_but_finite_numbers_and_no_rows_pass() -> None:
    check_finite(np.full((4, 4), np.finfo(np.float32).max, np.float32), range(4))
    check_finite(np.empty((0, 4), np.float32), [])
