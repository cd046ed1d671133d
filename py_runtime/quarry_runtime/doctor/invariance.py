"""Whether the vector of a text depends on the text alone: not on its batch, not on the side of padding."""

from __future__ import annotations

from collections.abc import Callable

import torch

from quarry_runtime.counted import counted
from quarry_runtime.doctor.findings import Finding

#: Of a vector's length; float32 sums in another order differ by some 1e-7.
TOLERANCE = 1e-5

Encode = Callable[[dict[str, torch.Tensor]], torch.Tensor]
Collate = Callable[[list[list[int]]], dict[str, torch.Tensor]]


def difference(found_BD: torch.Tensor, wanted_BD: torch.Tensor) -> float:
    """The largest difference of a component, relative to the length of its vector."""
    length_B1 = wanted_BD.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    return float(((found_BD - wanted_BD).abs() / length_B1).max())


def check_batch_size(ids: list[list[int]], collate: Collate, encode: Encode) -> Finding:
    """Vectors of texts one by one against those of one batch with padding.

    Args:
        ids: A handful of texts of different lengths, in the order of their lengths or not.
        collate: Pads token ids into tensors.
        encode: Gives vectors [B, D] in float32, dropout off.
    """
    alone_BD = torch.cat([encode(collate([row])) for row in ids])
    found = difference(encode(collate(ids)), alone_BD)
    longest, shortest = max(map(len, ids)), min(map(len, ids))
    what = f"{counted(len(ids), 'texts')} of {shortest} to {longest} tokens, alone and in one batch"
    if found <= TOLERANCE:
        return Finding(
            check="vectors and batch size",
            status="ok",
            seen=f"{what}: the same within {found:.0e}",
            facts={"difference": found},
        )
    return Finding(
        check="vectors and batch size",
        status="refuse",
        seen=f"{what}: they differ by {found:.1e} of their length",
        todo="Let the encoder read and pool by attention_mask: padding reaches the vector, as"
        " hidden[:, -1] under right padding does.",
        facts={"difference": found},
    )


def check_padding_side(
    ids: list[list[int]],
    own: tuple[str, Collate, Encode],
    other: tuple[Collate, Encode] | None,
) -> Finding:
    """Vectors under the encoder's own padding side against those under the other one.

    Args:
        own: The side's name, collate and encode of the encoder as it is.
        other: The same for an encoder that pads on the other side; None where there is none.
    """
    side, collate, encode = own
    if other is None:
        return Finding(
            check="vectors and padding side",
            status="ok",
            seen=f"the encoder pads on the {side} only",
        )
    found = difference(other[1](other[0](ids)), encode(collate(ids)))
    if found <= TOLERANCE:
        return Finding(
            check="vectors and padding side",
            status="ok",
            seen=f"padded left or right (here: {side}): the same within {found:.0e}",
            facts={"difference": found},
        )
    return Finding(
        check="vectors and padding side",
        status="note",
        seen=f"padded on the other side than {side}, vectors differ by {found:.1e} of their length",
        todo="Keep padding_side as the tokenizer's configuration has it; other programs that pad"
        " differently will not get the same vectors.",
        facts={"difference": found},
    )
