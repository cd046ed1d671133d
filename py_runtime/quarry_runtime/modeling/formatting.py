"""A plugin's say in what is tokenised: `format_query` and `format_passage`, text by text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from types import MappingProxyType
from typing import Any

from quarry_runtime.errors import ConfigError
from quarry_runtime.modeling.tokens import Side

#: The further fields of a record that a source's `extras` asks for, by name; fields that a record
#: lacks are not in it. `source` is the name of the source where `extras.sourceName` asks for it.
Extras = Mapping[str, Any]
NO_EXTRAS: Extras = MappingProxyType({})


def format_texts(
    owner: object, texts: list[str], side: Side, extras: Sequence[Extras] | None
) -> list[str]:
    """The texts as `owner.format_query` or `owner.format_passage` makes them; as they are without
    that method.

    Raises:
        ConfigError: a method that gives something else than a string.
    """
    form: Callable[[str, Extras], str] | None = getattr(owner, f"format_{side}", None)
    if form is None:
        return texts
    pairs = zip(texts, repeat(NO_EXTRAS) if extras is None else extras, strict=False)
    made = [form(text, each) for text, each in pairs]
    wrong = next((each for each in made if not isinstance(each, str)), None)
    if wrong is not None:
        raise ConfigError(
            f"{type(owner).__name__}.format_{side} gave {type(wrong).__name__}, not a string.",
            hint="Return the text that is to be tokenised.",
        )
    return made
