"""Tokenising in bulk, padding, and cutting into batches by length."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from quarry_runtime.modeling.encoder import Encoder
    from quarry_runtime.modeling.text import Texts

Side = Literal["query", "passage"]


class Tokens:
    """Tokenises texts with their side's own prompt and length; safe in another thread.

    Args:
        tokenizer: A transformers tokenizer.
        prompts: Text put before each text of a side.
        lengths: Most tokens of a side, special tokens included; the right end is cut off.
        is_lower_case: Whether the checkpoint wants texts lower-cased first.
    """

    def __init__(
        self,
        tokenizer: Any,
        prompts: dict[Side, str],
        lengths: dict[Side, int],
        is_lower_case: bool = False,
    ) -> None:
        self._tokenizer = tokenizer
        self._prompts = prompts
        self._lengths = lengths
        self._fast: dict[Side, Any] = {}
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            return
        from tokenizers import Tokenizer, normalizers

        for side in ("query", "passage"):
            # A copy for each side: truncation is the tokenizer's state, and switching it is not
            # safe across threads.
            copy = Tokenizer.from_str(backend.to_str())
            copy.no_padding()
            copy.enable_truncation(lengths[side], direction="right")
            if is_lower_case:
                present = [copy.normalizer] if copy.normalizer is not None else []
                copy.normalizer = normalizers.Sequence([normalizers.Lowercase(), *present])
            self._fast[side] = copy

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
        if prompts is not None:
            pairs = zip(prompts, texts, strict=True)
            given = [(own if prompt is None else prompt) + text for prompt, text in pairs]
        else:
            given = [own + text for text in texts] if own else texts
        if self._fast:
            # The fast variant leaves out offsets, which nobody reads here.
            return [encoding.ids for encoding in self._fast[side].encode_batch_fast(given)]
        return self._tokenizer(given, truncation=True, max_length=self._lengths[side])["input_ids"]


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


def pad(
    ids: list[list[int]], pad_id: int, side: Literal["left", "right"]
) -> dict[str, torch.Tensor]:
    """`input_ids` and `attention_mask`, int64 [B, T], padded to the longest list."""
    longest = max(map(len, ids), default=0)
    tokens = np.full((len(ids), longest), pad_id, dtype=np.int64)
    mask = np.zeros((len(ids), longest), dtype=np.int64)
    for number, row in enumerate(ids):
        place = slice(longest - len(row), longest) if side == "left" else slice(0, len(row))
        tokens[number, place] = row
        mask[number, place] = 1
    return {"input_ids": torch.from_numpy(tokens), "attention_mask": torch.from_numpy(mask)}


def plan_batches(lengths: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """Positions of each batch: longest first, ties by position, so that a batch hardly needs
    padding.

    The plan depends on the lengths alone: it is the same on every worker. Longest first, because a
    batch that does not fit into memory then shows at once.
    """
    order = np.argsort(-lengths, kind="stable")
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
