"""Which token a vector is taken from, and whether padding can be it."""

from __future__ import annotations

from collections.abc import Callable

import torch

from quarry_runtime.counted import first_of
from quarry_runtime.doctor.findings import Finding
from quarry_runtime.modeling.layout import is_built_in
from quarry_runtime.modeling.pooling import pool

Collate = Callable[[list[list[int]]], dict[str, torch.Tensor]]


def check_mask(ids: list[list[int]], collate: Collate) -> Finding | None:
    """A refusal when the attention mask counts other tokens than the texts have."""
    mask_BT = collate(ids).get("attention_mask")
    if mask_BT is None:
        return Finding(
            check="padding",
            status="note",
            seen="the encoder's batches have no attention_mask, so padding cannot be told apart",
            todo="Return attention_mask from collate, 1 for tokens and 0 for padding.",
        )
    counted, wanted = mask_BT.sum(1).tolist(), [len(row) for row in ids]
    if counted == wanted:
        return None
    return Finding(
        check="padding",
        status="refuse",
        seen=f"the attention mask counts {counted[0]} tokens where the text has {wanted[0]}",
        todo="Set attention_mask to 1 for the tokens of the text and to 0 for padding.",
    )


def check_pooled(
    ids: list[list[int]],
    collate: Collate,
    mode: str,
    end: int | None,
    names: Callable[[int], str],
) -> Finding:
    """Names the token that `pool` takes, in a batch with padding.

    Args:
        ids: Texts of different lengths.
        collate: The encoder's own.
        mode: The contract's pooling.
        end: What stands behind each text; None where nothing does.
        names: Gives the text of an id.
    """
    if not is_built_in(mode):
        return Finding(check="pooled token", status="ok", seen=f"{mode} is a plugin's own pooling")
    if mode not in ("cls", "last"):
        return Finding(check="pooled token", status="ok", seen=f"{mode} over the tokens of a text")
    batch = collate(ids)
    taken = pool(batch["input_ids"].unsqueeze(-1).float(), batch["attention_mask"], mode)
    found = [int(token) for token in taken.squeeze(-1).tolist()]
    wanted = [row[0] if mode == "cls" else row[-1] for row in ids]
    if found != wanted:
        at = next(
            place
            for place, pair in enumerate(zip(found, wanted, strict=True))
            if len(set(pair)) > 1
        )
        return Finding(
            check="pooled token",
            status="refuse",
            seen=f"{mode} pooling takes {names(found[at])} where the text has {names(wanted[at])}",
            todo="Pool by the attention mask; quarry_runtime.modeling.pooling.pool does.",
        )
    where = "first" if mode == "cls" else "last"
    kinds = sorted({names(token) for token in found})
    if mode == "last" and (end is None or set(found) != {end}):
        return Finding(
            check="pooled token",
            status="note",
            seen=f"last pooling takes a word of the text ({first_of(kinds, 3)}): nothing ends it",
            todo="Use a tokenizer that appends its end token; models with this pooling are trained so.",
        )
    return Finding(
        check="pooled token",
        status="ok",
        seen=f"{mode} pooling takes the text's {where} token, {first_of(kinds, 3)}, never padding",
    )
