"""Counts in words, as people read them."""

from __future__ import annotations


def counted(count: int, many: str) -> str:
    """A number with what it counts: 12345 of "texts" is "12,345 texts", 1 of "queries" "1 query"."""
    one = f"{many[:-3]}y" if many.endswith("ies") else many.removesuffix("s")
    return f"{count:,} {one if count == 1 else many}"
