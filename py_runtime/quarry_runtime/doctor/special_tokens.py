"""Counts the tokens at the ends of a text: each once or not at all, whatever template, prompt and text bring along."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from quarry_runtime.counted import counted
from quarry_runtime.doctor.findings import Finding, share

#: So many of the texts may carry a special token of their own before it is the data's fault.
_FEW = 0.05


class Names:
    """The text of a token id."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __call__(self, token: int) -> str:
        found = self._tokenizer.convert_ids_to_tokens([token])[0]
        return str(found) if found is not None else str(token)


def special_ids(tokenizer: Any) -> frozenset[int]:
    """Special ids; unknown and masked words stand for words of a text, and are none here."""
    words = {tokenizer.unk_token_id, tokenizer.mask_token_id}
    ends = {tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.sep_token_id}
    return frozenset(set(tokenizer.all_special_ids) - (words - ends))


@dataclass(frozen=True)
class Ends:
    """The special tokens around a text, as ids; None where nothing is put there."""

    begin: int | None
    end: int | None


def ends_of(example: Sequence[int], special: frozenset[int]) -> Ends:
    """What is put before and behind each text.

    Args:
        example: Ids of a text of one plain word, prompt and special tokens included.
        special: The tokenizer's special ids, those for unknown and masked words left out.
    """
    first, last = (example[0], example[-1]) if example else (None, None)
    return Ends(first if first in special else None, last if last in special else None)


def check_special_tokens(
    side: str,
    ids: Sequence[Sequence[int]],
    example: Sequence[int],
    prompt: Sequence[int],
    special: frozenset[int],
    names: Any,
    is_chat: bool = False,
) -> Finding:
    """BOS and EOS counted in the tokens of a side's texts, as the model gets them.

    Args:
        side: "query" or "passage".
        ids: Of each text, not truncated.
        example: Ids of a text of one plain word.
        prompt: Ids of the side's prompt alone.
        special: The tokenizer's special ids.
        names: Gives the text of an id.
        is_chat: Whether a chat template stands around each text.
    """
    check = f"{side} special tokens"
    ends = ends_of(example, special)
    twice_around = doubled(example, special)
    if twice_around is not None:
        return Finding(
            check=check,
            status="refuse",
            seen=f"{names(twice_around)} stands twice in a row around every text",
            todo="Let one of prompt, chat template and tokenizer put it there, not two.",
        )
    inside = [token for token in prompt if token in special]
    if inside:
        return Finding(
            check=check,
            status="refuse",
            seen=f"the {side} prompt itself holds {names(inside[0])}",
            todo=f"Take it out of prompts.{side}: the {'chat template' if is_chat else 'tokenizer'} adds"
            " its tokens by itself.",
        )
    expected = sum(token in special for token in example)
    extra = [text for text in ids if sum(token in special for token in text) != expected]
    twice = [text for text in extra if doubled(text, special) is not None]
    facts = {"texts": len(ids), "withOwn": len(extra), "doubled": len(twice)}
    if extra:
        first = next(token for token in (twice or extra)[0] if token in special)
        second = doubled(twice[0], special) if twice else first
        what = f"{share(len(extra), len(ids))} hold special tokens of their own"
        if twice:
            what += f"; in {len(twice):,} of them {names(second)} stands twice in a row"
        many = len(extra) > _FEW * len(ids)
        return Finding(
            check=check,
            status="refuse" if many and twice else "note",
            seen=what,
            todo=f"Take {names(second)} out of the texts or the template: the model reads it as an"
            " end or a beginning.",
            facts=facts,
        )
    if is_chat:
        around = f"{counted(expected, 'special tokens')} of the chat template around"
        seen = f"{around} each of {counted(len(ids), 'texts')}"
        return Finding(check=check, status="ok", seen=seen, facts=facts)
    words = [
        f"{names(token)} once {place}" if token is not None else f"nothing {place}"
        for token, place in ((ends.begin, "before"), (ends.end, "behind"))
    ]
    return Finding(
        check=check,
        status="ok",
        seen=f"{', '.join(words)} each of {counted(len(ids), 'texts')}",
        facts=facts,
    )


def check_cut_end(
    side: str, cut: Sequence[Sequence[int]], end: int | None, pooling: str, names: Any
) -> Finding | None:
    """Whether texts that were cut to the maximum length still end as the others do.

    Args:
        cut: Ids of the texts that were cut.
        end: What stands behind a text, as `ends_of` finds it.
    """
    lost = sum(1 for text in cut if end is not None and text[-1] != end)
    if lost == 0:
        return None
    return Finding(
        check=f"{side} special tokens",
        status="refuse" if pooling == "last" else "note",
        seen=f"{share(lost, len(cut))} of the texts that are cut lose their {names(end)}",
        todo="Let the tokenizer add it after cutting (a post-processor), so that it always stands last.",
    )


def doubled(ids: Sequence[int], special: frozenset[int]) -> int | None:
    """A special token that stands twice in a row, or None."""
    if all(token in special for token in ids):
        # An empty text: beginning and end may be one token, and stand side by side.
        return None
    pairs = itertools.pairwise(ids)
    return next((one for one, other in pairs if one == other and one in special), None)
