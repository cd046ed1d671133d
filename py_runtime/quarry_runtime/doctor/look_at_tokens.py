"""All checks of texts, tokens and vectors, on samples of the experiment's own texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import torch

from quarry_runtime.doctor.findings import Finding
from quarry_runtime.doctor.invariance import check_batch_size, check_padding_side
from quarry_runtime.doctor.pooled import check_mask, check_pooled
from quarry_runtime.doctor.prompts import check_prompt, read_card
from quarry_runtime.doctor.special_tokens import (
    Names,
    check_cut_end,
    check_special_tokens,
    ends_of,
    special_ids,
)
from quarry_runtime.doctor.texts import check_empty
from quarry_runtime.doctor.truncation import check_truncation
from quarry_runtime.modeling.chat_tokens import make_tokens
from quarry_runtime.modeling.encoder import Encoder
from quarry_runtime.modeling.formatting import format_texts
from quarry_runtime.modeling.layout import read_prompts
from quarry_runtime.modeling.resolved import Resolved
from quarry_runtime.modeling.text import Texts
from quarry_runtime.modeling.tokens import Side, Tokens, tokenize

#: Real forward passes: a handful is enough to see padding reach a vector.
_FORWARD_TEXTS = 8
_NO_LIMIT = 1_000_000


@dataclasses.dataclass(frozen=True)
class Sampled:
    """Texts and what they are."""

    name: str
    side: Side
    texts: Texts
    is_whole: bool


def look_at_tokens(
    encoder: Encoder, resolved: Resolved, samples: Sequence[Sampled], device: str
) -> Iterator[Finding]:
    """Findings about prompts, texts, tokens, pooling and vectors.

    Args:
        encoder: In float32 and eval mode.
        resolved: What checkpoint and wishes come to.
        samples: Texts of both sides.
        device: Where the encoder is.
    """
    declared = read_prompts(resolved.path)
    card = read_card(resolved.path)
    for side in ("query", "passage"):
        used = resolved.query_prompt if side == "query" else resolved.passage_prompt
        yield check_prompt(side, used, declared, card)
    for sample in samples:
        yield check_empty(sample.name, sample.texts.texts)
    tokenizer = getattr(encoder, "tokenizer", None)
    whole = _untruncated(encoder, tokenizer, resolved, samples)
    end = None
    for side in ("query", "passage"):
        own = [sample for sample in samples if sample.side == side and sample.texts.texts]
        if not own:
            continue
        if tokenizer is None:
            yield from _as_cut(encoder, own, resolved)
            continue
        special = special_ids(tokenizer)
        prompt = _alone(tokenizer, resolved, side)
        names = Names(tokenizer)
        if whole is None:
            yield from _as_cut(encoder, own, resolved)
            example = encoder.tokenize(["a"], side)["input_ids"][0]
            end = ends_of(example, special).end
            cut = [
                row for sample in own for row in tokenize(encoder, sample.texts, side)["input_ids"]
            ]
            yield check_special_tokens(side, cut, example, prompt, special, names)
            continue
        example, template = whole(["a", ""], side)
        end = _end(resolved, example, template, special)
        long = {sample.name: _whole_ids(whole, encoder, sample) for sample in own}
        together = [row for rows in long.values() for row in rows]
        is_chat = resolved.chat is not None
        yield check_special_tokens(side, together, example, prompt, special, names, is_chat)
        limit = _limit(resolved, side)
        for sample in own:
            lengths = [len(row) for row in long[sample.name]]
            facts = (limit, len(template), resolved.position_limit, sample.is_whole)
            yield check_truncation(sample.name, side, lengths, *facts)
        cut = [
            row
            for sample in own
            for row, full in zip(
                tokenize(encoder, sample.texts, side)["input_ids"], long[sample.name], strict=True
            )
            if len(full) > limit
        ]
        lost = check_cut_end(side, cut, end, encoder.contract.pooling, names)
        if lost is not None:
            yield lost
    yield from _look_at_vectors(encoder, resolved, samples, device, end)


def _look_at_vectors(
    encoder: Encoder, resolved: Resolved, samples: Sequence[Sampled], device: str, end: int | None
) -> Iterator[Finding]:
    ids = _handful(encoder, samples)
    if len(ids) < 2:
        return
    broken = check_mask(ids, encoder.collate)
    if broken is not None:
        yield broken
    names = Names(encoder.tokenizer) if hasattr(encoder, "tokenizer") else str
    is_built_in = type(encoder) is Encoder
    if is_built_in:
        yield check_pooled(ids, encoder.collate, encoder.contract.pooling, end, names)
    yield check_batch_size(ids, encoder.collate, _encode(encoder, device))
    other = _other_side(encoder, resolved) if is_built_in else None
    yield check_padding_side(
        ids,
        (encoder.contract.padding_side, encoder.collate, _encode(encoder, device)),
        None if other is None else (other.collate, _encode(other, device)),
    )


def _encode(encoder: Encoder, device: str) -> Callable[[dict[str, torch.Tensor]], torch.Tensor]:
    def encode(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        with torch.inference_mode():
            moved = {name: tensor.to(device) for name, tensor in batch.items()}
            return encoder(moved, "passage").float().cpu()

    return encode


def _other_side(encoder: Encoder, resolved: Resolved) -> Encoder:
    """The same weights, padded on the other side."""
    side = "left" if encoder.contract.padding_side == "right" else "right"
    contract = msgspec.structs.replace(encoder.contract, padding_side=side)
    twin = Encoder(
        encoder.transformer, encoder.tokenizer, resolved, contract, encoder.after_pooling
    )
    return twin.eval()


def _handful(encoder: Encoder, samples: Sequence[Sampled]) -> list[list[int]]:
    """Token ids of a few texts of different lengths, as far as the texts have any: cut where they have not."""
    passages = next((sample for sample in samples if sample.side == "passage"), None)
    chosen = passages or next(iter(samples), None)
    # An encoder of the queries' own has other token ids than the one that is looked at.
    if chosen is None or (passages is None and hasattr(encoder, "tower")):
        return []
    ids = [row for row in tokenize(encoder, chosen.texts, chosen.side)["input_ids"] if row]
    ids.sort(key=len)
    count = min(_FORWARD_TEXTS, len(ids))
    rows = [ids[place * (len(ids) - 1) // max(1, count - 1)] for place in range(count)]
    if len({len(row) for row in rows}) > 1:
        return rows
    # All are cut to the maximum, so no batch of them would have any padding. A token that ends all goes on doing so.
    keeps_end = len({row[-1] for row in rows}) == 1
    shares = enumerate(rows, start=1)
    return [_shortened(row, len(row) * place // count, keeps_end) for place, row in shares]


def _shortened(ids: list[int], length: int, keeps_end: bool) -> list[int]:
    kept = max(2, length)
    return [*ids[: kept - 1], ids[-1]] if keeps_end else ids[:kept]


def _untruncated(
    encoder: Encoder, tokenizer: Any, resolved: Resolved, samples: Sequence[Sampled]
) -> Tokens | None:
    """The encoder's tokenising without its limit; None for an encoder that does it in a way of its own."""
    if tokenizer is None:
        return None
    prompts: dict[Side, str] = {"query": resolved.query_prompt, "passage": resolved.passage_prompt}
    limits: dict[Side, int] = {"query": _NO_LIMIT, "passage": _NO_LIMIT}
    whole = make_tokens(tokenizer, resolved, prompts, limits)
    for sample in samples:
        limit = _limit(resolved, sample.side)
        own = tokenize(encoder, sample.texts, sample.side)["input_ids"]
        long = _whole_ids(whole, encoder, sample)
        if any(mine != full for mine, full in zip(own, long, strict=True) if len(full) <= limit):
            return None
    return whole


def _whole_ids(whole: Tokens, encoder: Encoder, sample: Sampled) -> list[list[int]]:
    unit = sample.texts
    formed = format_texts(encoder, unit.texts, sample.side, unit.extras)
    return whole(formed, sample.side, unit.prompts)


def _as_cut(encoder: Encoder, samples: Sequence[Sampled], resolved: Resolved) -> Iterator[Finding]:
    """For an encoder that tokenises in its own way: texts as long as the limit may have been cut."""
    for sample in samples:
        ids = tokenize(encoder, sample.texts, sample.side)["input_ids"]
        limit = _limit(resolved, sample.side)
        # A text of exactly the limit counts as cut: nobody can tell.
        lengths = [len(row) + (len(row) >= limit) for row in ids]
        yield check_truncation(
            sample.name, sample.side, lengths, limit, 0, resolved.position_limit, sample.is_whole
        )


def _limit(resolved: Resolved, side: Side) -> int:
    return resolved.query_max_length if side == "query" else resolved.passage_max_length


def _alone(tokenizer: Any, resolved: Resolved, side: Side) -> list[int]:
    prompt = resolved.query_prompt if side == "query" else resolved.passage_prompt
    if not prompt:
        return []
    return list(tokenizer(prompt, add_special_tokens=False)["input_ids"])


def _end(
    resolved: Resolved, example: Sequence[int], empty: Sequence[int], special: frozenset[int]
) -> int | None:
    """What stands behind each text: a special token, or whatever a chat template ends with."""
    if resolved.chat is None:
        return ends_of(example, special).end
    return example[-1] if example[-1:] == empty[-1:] else None
