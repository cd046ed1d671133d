"""Counts read as people write them."""

import pytest

from quarry_runtime.counted import counted, first_of


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


def test_a_list_ends_in_dots_where_there_are_more() -> None:
    assert first_of([7, 8], 2) == "7, 8"
    assert first_of(["a", "b", "c"], 2) == "a, b, …"
    assert first_of([], 2) == ""
