"""A unit of texts or pairs as it comes over the wire, and the batches it is worked on in."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quarry_runtime.errors import ProtocolError
from quarry_runtime.modeling.text import Pairs, Texts, read_arrow, read_pairs

if TYPE_CHECKING:
    import torch


@dataclasses.dataclass(frozen=True)
class Batch:
    """Texts or pairs for one forward pass: their positions in the unit, [B], and their tokens."""

    positions: NDArray[np.int64]
    ids: list[Any]
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
    unit = read_arrow(frame)
    if len(unit.rows) != row_count:
        raise ProtocolError(f"A unit of {row_count} rows holds {len(unit.rows)}.")
    return unit


def read_pair_texts(frame: memoryview, row_count: int) -> Pairs:
    """Reads a unit's pairs; raises as `read_texts` does."""
    unit = read_pairs(frame)
    if len(unit.rows) != row_count:
        raise ProtocolError(f"A unit of {row_count} pairs holds {len(unit.rows)}.")
    return unit
