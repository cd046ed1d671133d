"""Tokenising in bulk, padding, and cutting into batches by length."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from quarry_runtime.errors import ConfigError
from quarry_runtime.modeling.eos import end_once

if TYPE_CHECKING:
    from quarry_runtime.modeling.encoder import Encoder
    from quarry_runtime.modeling.text import Texts

Side = Literal["query", "passage"]
_PLURALS: dict[Side, str] = {"query": "Queries", "passage": "Passages"}


class TokenIds(list[int]):
    """Token ids of a text, the first `prompt_length` of which the pooling leaves out."""

    prompt_length = 0


class Tokens:
    """Tokenises texts with their side's own prompt and length; safe in another thread.

    Args:
        tokenizer: A transformers tokenizer.
        prompts: Text put before each text of a side.
        lengths: Most tokens of a side, special tokens included; the end that the tokenizer says is cut off.
        is_lower_case: Whether the checkpoint wants texts lower-cased first.
        eos: The token that every text ends with, exactly once; None leaves it to the tokenizer.
        is_prompt_pooled: False marks the prompt's tokens: ids are then TokenIds.

    Raises:
        ConfigError: a length that special tokens fill.
    """

    #: What stands around a text.
    _around = "special tokens"

    def __init__(
        self,
        tokenizer: Any,
        prompts: dict[Side, str],
        lengths: dict[Side, int],
        is_lower_case: bool = False,
        eos: int | None = None,
        is_prompt_pooled: bool = True,
    ) -> None:
        self._tokenizer = tokenizer
        self._prompts = prompts
        self._lengths = lengths
        self._eos = eos
        self._is_prompt_pooled = is_prompt_pooled
        self._prompt_lengths: dict[tuple[Side, str], int] = {}
        self._fast: dict[Side, Any] = {}
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is not None:
            self._copy(backend, is_lower_case)
        for side in ("query", "passage"):
            self._check_room(side)

    def has_types(self) -> bool:
        """Whether transformers would tell the model of a text's tokens that are of another type than 0."""
        if "token_type_ids" not in getattr(self._tokenizer, "model_input_names", ()):
            return False
        if self._fast:
            return any(self._fast["passage"].encode("a").type_ids)
        return any(self._tokenizer("a")["token_type_ids"])

    def _copy(self, backend: Any, is_lower_case: bool) -> None:
        for side in ("query", "passage"):
            # A copy for each side: truncation is the tokenizer's state, and switching it is not
            # safe across threads.
            copy = copied(backend, is_lower_case)
            copy.enable_truncation(self._lengths[side], direction=self._tokenizer.truncation_side)
            self._fast[side] = copy

    def _check_room(self, side: Side) -> None:
        """A tokenizer cuts nothing off where its special tokens alone are too many."""
        least = 1 + self._bare(side)
        if self._lengths[side] < least:
            raise ConfigError(
                f"{_PLURALS[side]} may have {self._lengths[side]} tokens, and {self._around} alone"
                f" are {least - 1}: nothing of a text would be left.",
                hint=f"Set model.{side}MaxLength to {least} or more.",
            )

    def _bare(self, side: Side) -> int:
        """Tokens of an empty text."""
        bare = self._raw([""], side)[0]
        return len(bare if self._eos is None else end_once(bare, self._eos, len(bare) + 1))

    def __call__(
        self, texts: list[str], side: Side, prompts: Sequence[str | None] | None = None
    ) -> list[list[int]]:
        """Token ids of each text, special tokens included, without padding.

        Args:
            texts: Titles joined already.
            side: Whose prompt and length.
            prompts: A prompt for each text; None stands for the side's own.
        """
        if not texts:
            return []
        own = self._prompts[side]
        before = [own if prompt is None else prompt for prompt in prompts or [own] * len(texts)]
        given = [prompt + text for prompt, text in zip(before, texts, strict=True)]
        ids = self._encode(given, side)
        if self._is_prompt_pooled:
            return ids
        return [self._marked(row, side, prompt) for row, prompt in zip(ids, before, strict=True)]

    def _encode(self, given: list[str], side: Side) -> list[list[int]]:
        ids, most = self._raw(given, side), self._lengths[side]
        return ids if self._eos is None else [end_once(row, self._eos, most) for row in ids]

    def _raw(self, given: list[str], side: Side) -> list[list[int]]:
        """Ids as the tokenizer gives them, cut off."""
        if self._fast:
            # The fast variant leaves out offsets, which nobody reads here.
            return [encoding.ids for encoding in self._fast[side].encode_batch_fast(given)]
        most = self._lengths[side]
        return self._tokenizer(given, truncation=True, max_length=most)["input_ids"]

    def _marked(self, ids: list[int], side: Side, prompt: str) -> TokenIds:
        marked = TokenIds(ids)
        length = self._prompt_length(side, prompt) if prompt else 0
        # A prompt that leaves nothing of the text is pooled: there is nothing else.
        marked.prompt_length = length if length < len(ids) else 0
        return marked

    def _prompt_length(self, side: Side, prompt: str) -> int:
        """Tokens of the prompt alone, as sentence-transformers counts them."""
        if (side, prompt) not in self._prompt_lengths:
            alone = self._encode([prompt], side)[0]
            is_ended = bool(alone) and alone[-1] in self._tokenizer.all_special_ids
            self._prompt_lengths[side, prompt] = len(alone) - is_ended
        return self._prompt_lengths[side, prompt]


def copied(backend: Any, is_lower_case: bool) -> Any:
    """A copy of a tokenizer's fast half that neither pads nor cuts."""
    from tokenizers import Tokenizer, normalizers

    copy = Tokenizer.from_str(backend.to_str())
    copy.no_padding()
    copy.no_truncation()
    if is_lower_case:
        present = [copy.normalizer] if copy.normalizer is not None else []
        copy.normalizer = normalizers.Sequence([normalizers.Lowercase(), *present])
    return copy


def tokenize(encoder: Encoder, unit: Texts, side: Side) -> dict[str, list[list[int]]]:
    """What `encoder.tokenize` gives; prompts and extras of the data are only named where there are
    some, so an encoder that knows none works for all other data."""
    given: dict[str, Any] = {}
    if unit.prompts is not None:
        given["prompts"] = unit.prompts
    # Extras may be meant for the loss alone.
    if unit.extras is not None and _takes_extras(type(encoder)):
        given["extras"] = unit.extras
    return encoder.tokenize(unit.texts, side, **given)


@functools.cache
def _takes_extras(kind: type) -> bool:
    parameters = inspect.signature(kind.tokenize).parameters.values()
    return any(each.name == "extras" or each.kind is each.VAR_KEYWORD for each in parameters)


def collate(encoder: Encoder, ids: Sequence[list[int]], side: Side) -> dict[str, Any]:
    """What `encoder.collate` gives: that of the side's own encoder where there are two."""
    tower: Any = getattr(encoder, "tower", None)
    own: Any = encoder if tower is None else tower(side)
    return own.collate(ids)


def pad(
    ids: Sequence[list[int]],
    pad_id: int,
    side: Literal["left", "right"],
    multiple: int = 1,
    most: int | None = None,
) -> dict[str, torch.Tensor]:
    """`input_ids` and `attention_mask`, int64 [B, T], padded to the longest list.

    With TokenIds there is a `counted_mask` too: 1 for a token that the pooling takes.

    Args:
        multiple: T becomes a multiple of it, which some GPUs are faster with.
        most: Positions that the model has; T grows no further, unless a text is longer.
    """
    # Texts without any token are a column of padding: no model takes a batch without columns.
    longest = max(1, *map(len, ids)) if ids else 0
    width = -(-longest // multiple) * multiple
    width = max(longest, width if most is None else min(width, most))
    tokens = np.full((len(ids), width), pad_id, dtype=np.int64)
    mask = np.zeros((len(ids), width), dtype=np.int64)
    counted = np.zeros_like(mask) if any(isinstance(row, TokenIds) for row in ids) else None
    for number, row in enumerate(ids):
        start = width - len(row) if side == "left" else 0
        place = slice(start, start + len(row))
        tokens[number, place] = row
        mask[number, place] = 1
        if counted is not None:
            skipped = row.prompt_length if isinstance(row, TokenIds) else 0
            counted[number, start + skipped : start + len(row)] = 1
    arrays = {"input_ids": tokens, "attention_mask": mask}
    if counted is not None:
        arrays["counted_mask"] = counted
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def plan_batches(lengths: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """Positions of each batch: longest first, ties by position, so that a batch hardly needs
    padding.

    The plan depends on the lengths alone: it is the same on every worker. Longest first, because a
    batch that does not fit into memory then shows at once.
    """
    order = np.argsort(-lengths, kind="stable")
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
