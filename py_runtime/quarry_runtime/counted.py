"""Counts and lists in words, as people read them."""

from __future__ import annotations

from collections.abc import Sequence


def counted(count: int, many: str) -> str:
    """A number with what it counts: 12345 of "texts" is "12,345 texts", 1 of "queries" "1 query"."""
    one = f"{many[:-3]}y" if many.endswith("ies") else many.removesuffix("s")
    return f"{count:,} {one if count == 1 else many}"


def first_of(things: Sequence[object], most: int) -> str:
    """The first ones, and dots where there are more: [1, 2, 3] up to 2 is "1, 2, …"."""
    return ", ".join([*map(str, things[:most]), *(["…"] if len(things) > most else [])])
