"""The text that a tokenizer sees: prompt, then title and text."""

from __future__ import annotations

from collections.abc import Sequence


def join_titles(titles: Sequence[str | None], texts: Sequence[str]) -> list[str]:
    """`title + " " + text` where there is a title, else the text, as the BEIR benchmark has it."""
    return [f"{title} {text}" if title else text for title, text in zip(titles, texts, strict=True)]
