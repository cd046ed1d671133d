"""Counts read as people write them."""

import pytest

from quarry_runtime.counted import counted


@pytest.mark.parametrize(
    ("count", "many", "text"),
    [
        (1, "queries", "1 query"),
        (1, "texts", "1 text"),
        (1, "GPUs", "1 GPU"),
        (0, "labels", "0 labels"),
        (12_345, "texts", "12,345 texts"),
    ],
)
def test_counts(count: int, many: str, text: str) -> None:
    assert counted(count, many) == text
