"""A text that others are put into: what stands before, between and behind them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Template:
    """What stands around texts, and in which order they come.

    Example:
        Template.split("Query: ?\\nPassage: !\\n", ["?", "!"]).fill("q", "p")
    """

    #: One more than there are texts.
    pieces: tuple[str, ...]
    #: The number of the text that stands in each place.
    order: tuple[int, ...]
    #: Whether white space around the texts is left out, as some chat templates do.
    is_stripping: bool = False
    #: What an empty text becomes, where a template of one text has something else for it.
    empty: str | None = None

    @staticmethod
    def split(text: str, marks: Sequence[str]) -> Template:
        """Takes a text apart that holds each mark once, in the place of a text."""
        order = sorted(range(len(marks)), key=lambda number: text.index(marks[number]))
        pieces = []
        for number in order:
            before, _, text = text.partition(marks[number])
            pieces.append(before)
        return Template((*pieces, text), tuple(order))

    def fill(self, *texts: str) -> tuple[str, list[range]]:
        """The whole text, and where in it each of the texts stands, in characters."""
        if self.empty is not None and not texts[0]:
            return self.empty, [range(0)]
        if self.is_stripping:
            texts = tuple(text.strip() for text in texts)
        places = [range(0)] * len(texts)
        whole = self.pieces[0]
        for number, piece in zip(self.order, self.pieces[1:], strict=True):
            places[number] = range(len(whole), len(whole) + len(texts[number]))
            whole += texts[number] + piece
        return whole, places
