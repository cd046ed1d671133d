"""The text that a pair becomes: a template with both texts in their places, cut without touching the rest."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

from quarry_runtime.errors import ConfigError
from quarry_runtime.modeling.chat_template import Chat, Rendering
from quarry_runtime.modeling.template import Template

QUERY, PASSAGE = "{query}", "{passage}"


def parse_template(template: str) -> Template:
    """Reads a template that names {query} and {passage} once each.

    Raises:
        ConfigError: a text that is named not at all, or twice.

    Example:
        parse_template("Query: {query}\\nPassage: {passage}\\nRelevant:").fill("q", "p")
    """
    if template.count(QUERY) != 1 or template.count(PASSAGE) != 1:
        raise ConfigError(
            f"The cross-encoder's template has to name {QUERY} and {PASSAGE} once each."
        )
    return Template.split(template, (QUERY, PASSAGE))


def pair_chat_template(tokenizer: Any, checkpoint: str, prompt: str | None, chat: Chat) -> Template:
    """What a tokenizer's chat template makes of a pair in sentence-transformers' roles.

    These are "query" and "document", behind a "system" message where there is a prompt.

    Raises:
        ConfigError: a template without room for both texts, or one that changes them.
    """
    rendering = Rendering(
        tokenizer,
        checkpoint,
        chat,
        roles=("query", "document"),
        what="a query and a document",
        hint="Say with template what a pair becomes, e.g. "
        '"Query: {query}\\nPassage: {passage}\\nRelevant:".',
    )
    return rendering.template(prompt)


def text_of(template: Template) -> str:
    """As `parse_template` takes it."""
    bare = dataclasses.replace(template, is_stripping=False)
    return bare.fill(QUERY, PASSAGE)[0]


def cut(
    ids: list[int],
    offsets: list[tuple[int, int]],
    texts: Sequence[range],
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
