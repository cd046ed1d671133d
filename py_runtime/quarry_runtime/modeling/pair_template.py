"""The text that a pair becomes: a template with both texts in their places, cut without touching the rest."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from quarry_runtime.errors import ConfigError

QUERY, PASSAGE = "{query}", "{passage}"
# Private characters, which no template spells out, in the places of the texts.
_MARKS = ("\ue000", "\ue001")


@dataclasses.dataclass(frozen=True)
class PairTemplate:
    """What stands before, between and behind the two texts.

    Example:
        PairTemplate.parse("Query: {query}\\nPassage: {passage}\\nRelevant:").fill("q", "p")
    """

    before: str
    between: str
    behind: str
    is_query_first: bool = True
    #: Whether white space around the texts is left out, as some chat templates do.
    is_stripping: bool = False

    @staticmethod
    def parse(template: str) -> PairTemplate:
        """Reads a template that names {query} and {passage} once each.

        Raises:
            ConfigError: a text that is named not at all, or twice.
        """
        if template.count(QUERY) != 1 or template.count(PASSAGE) != 1:
            raise ConfigError(
                f"The cross-encoder's template has to name {QUERY} and {PASSAGE} once each."
            )
        return _split(template, QUERY, PASSAGE)

    def fill(self, query: str, passage: str) -> tuple[str, range, range]:
        """The whole text, and where in it the query and the passage stand, in characters."""
        if self.is_stripping:
            query, passage = query.strip(), passage.strip()
        one, two = (query, passage) if self.is_query_first else (passage, query)
        first = range(len(self.before), len(self.before) + len(one))
        start = first.stop + len(self.between)
        second = range(start, start + len(two))
        text = f"{self.before}{one}{self.between}{two}{self.behind}"
        return (text, first, second) if self.is_query_first else (text, second, first)

    @property
    def text(self) -> str:
        """As `parse` takes it."""
        one, two = (QUERY, PASSAGE) if self.is_query_first else (PASSAGE, QUERY)
        return f"{self.before}{one}{self.between}{two}{self.behind}"


def chat_template(
    tokenizer: Any,
    checkpoint: str,
    prompt: str | None,
    content: Literal["flat", "structured"] | None,
    options: Mapping[str, Any],
) -> PairTemplate:
    """What a tokenizer's chat template makes of a pair in sentence-transformers' roles.

    These are "query" and "document", behind a "system" message where there is a prompt.

    Args:
        tokenizer: The checkpoint's transformers tokenizer.
        checkpoint: As the user named it.
        prompt: The system's message.
        content: Whether a message holds a text or a list of parts; None: what the template takes.
        options: Further variables of the template.

    Raises:
        ConfigError: a template without room for both texts, or one that changes them.
    """

    def render(kind: str, query: str, passage: str) -> str:
        said = [("system", prompt)] if prompt else []
        messages = [
            {"role": role, "content": [{"type": "text", "text": text}] if kind == "structured" else text}
            for role, text in (*said, ("query", query), ("document", passage))
        ]  # fmt: skip
        return tokenizer.apply_chat_template(messages, tokenize=False, **options)

    for kind in ("flat", "structured") if content is None else (content,):
        try:
            rendered = render(kind, *_MARKS)
        # Whatever a template raises: it is a program of the checkpoint's.
        except Exception:
            continue
        if all(rendered.count(mark) == 1 for mark in _MARKS):
            found = _split(rendered, *_MARKS)
            break
    else:
        raise ConfigError(
            f"The chat template of {checkpoint} has no place for a query and a document.",
            hint="Say with template what a pair becomes, e.g. "
            '"Query: {query}\\nPassage: {passage}\\nRelevant:".',
        )
    probe = " a b \n", "\n c d "
    for template in (found, dataclasses.replace(found, is_stripping=True)):
        if render(kind, *probe) == template.fill(*probe)[0]:
            return template
    raise ConfigError(
        f"The chat template of {checkpoint} changes the texts that it is given.",
        hint="Say with template what a pair becomes.",
    )


def cut(
    ids: list[int],
    offsets: list[tuple[int, int]],
    texts: tuple[range, range],
    max_length: int,
    side: Literal["left", "right"],
) -> list[int]:
    """Takes tokens out of the two texts, one by one out of the longer, until all fit.

    Args:
        ids: Tokens of the whole.
        offsets: First and last character of each, the last one not in it.
        texts: Where the texts stand, in characters.
        max_length: Tokens that may stay.
        side: The end of each text that goes.
    """
    places = [
        [
            place
            for place, (start, stop) in enumerate(offsets)
            if start < stop and start in text and stop - 1 in text
        ]
        for text in texts
    ]
    kept = [len(place) for place in places]
    for _ in range(max(0, min(len(ids) - max_length, sum(kept)))):
        longer = 0 if kept[0] > kept[1] else 1
        kept[longer] -= 1
    gone: set[int] = set()
    for place, count in zip(places, kept, strict=True):
        gone.update(place[: len(place) - count] if side == "left" else place[count:])
    return [id for at, id in enumerate(ids) if at not in gone]


def _split(text: str, query: str, passage: str) -> PairTemplate:
    is_query_first = text.index(query) < text.index(passage)
    one, two = (query, passage) if is_query_first else (passage, query)
    before, rest = text.split(one)
    between, behind = rest.split(two)
    return PairTemplate(before, between, behind, is_query_first)
