"""A unit of texts or pairs as it comes over the wire, and the batches it is worked on in."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quarry_runtime.errors import ProtocolError
from quarry_runtime.modeling.text import Pairs, Texts, read_arrow, read_pairs

if TYPE_CHECKING:
    import torch

    from quarry_runtime.modeling.encoder import Encoder
    from quarry_runtime.modeling.tokens import Side


@dataclasses.dataclass(frozen=True)
class Batch:
    """Texts for one forward pass: their positions in the unit, [B], and their token ids."""

    positions: NDArray[np.int64]
    ids: list[list[int]]
    tensors: dict[str, torch.Tensor]


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A unit that is tokenised and cut into batches, ready for the device."""

    rows: NDArray[np.int32]
    ranks: NDArray[np.int32]
    batches: list[Batch]


def read_texts(frame: memoryview, row_count: int) -> Texts:
    """Reads a unit's texts.

    Raises:
        ProtocolError: a stream that is cut, of other columns, or of another number of rows (cut
            between two batches, a stream reads as fewer rows without complaint).
    """
    try:
        unit = read_arrow(frame)
    except ValueError as error:
        raise ProtocolError(f"A unit holds no table of texts: {error}") from error
    if len(unit.rows) != row_count:
        raise ProtocolError(f"A unit of {row_count} rows holds {len(unit.rows)}.")
    return unit


def read_pair_texts(frame: memoryview, row_count: int) -> Pairs:
    """Reads a unit's pairs; raises as `read_texts` does."""
    try:
        unit = read_pairs(frame)
    except ValueError as error:
        raise ProtocolError(f"A unit holds no table of pairs: {error}") from error
    if len(unit.rows) != row_count:
        raise ProtocolError(f"A unit of {row_count} pairs holds {len(unit.rows)}.")
    return unit


def prepare(
    encoder: Encoder,
    side: Side,
    batch_size: int,
    frame: memoryview,
    row_count: int,
    is_pinned: bool,
) -> Prepared:
    """Reads, tokenises, sorts and pads a unit; for the thread that works ahead of the device."""
    from quarry_runtime.modeling.tokens import collate, plan_batches, tokenize

    unit = read_texts(frame, row_count)
    ids = tokenize(encoder, unit, side)["input_ids"]
    lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
    batches = []
    for positions in plan_batches(lengths, batch_size):
        chosen = [ids[position] for position in positions]
        tensors = collate(encoder, chosen, side)
        if is_pinned:
            tensors = {name: tensor.pin_memory() for name, tensor in tensors.items()}
        batches.append(Batch(positions, chosen, tensors))
    return Prepared(unit.rows, unit.ranks, batches)
