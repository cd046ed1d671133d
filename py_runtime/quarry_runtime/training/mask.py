"""Reads a micro-batch's mask, whose bits say why a column is no negative of a query (MASKED in src/data/batches.ts)."""

from __future__ import annotations

import torch
from torch import Tensor

_ALWAYS, _REPEAT, _RANK_REPEAT, _OWN_REPEAT = 1, 2, 4, 8


def masked(bits_QC: Tensor, is_of_rank: bool, own_QP: Tensor | None = None) -> Tensor:
    """bool [Q, C]: True where a column must not count, for a bool mask too.

    Args:
        bits_QC: As the orchestrator sends it, or cut to the rank's columns.
        is_of_rank: Whether a passage counts once among the rank's columns, or among those of all.
        own_QP: The columns of each query's own passages, where what stands there counts nowhere else.
    """
    reasons = _ALWAYS | (_RANK_REPEAT if is_of_rank else _REPEAT)
    if own_QP is None:
        return (bits_QC & reasons) != 0
    is_out_QP = (bits_QC.gather(1, own_QP) & (_ALWAYS | _OWN_REPEAT)) != 0
    return ((bits_QC & (reasons | _OWN_REPEAT)) != 0).scatter(1, own_QP, is_out_QP)


def no_rivals(bits_QC: Tensor) -> Tensor:
    """bool [Q, C]: True where the query must not count against what stands in the column.

    What stands there is relevant to the query, or its label is in the query's own group.
    """
    return (bits_QC & (_ALWAYS | _OWN_REPEAT)) != 0


def cut_to_rank(bits_QC: Tensor, positive_columns: Tensor, count: int) -> Tensor:
    """[Q, count]: the columns of this rank's own passages."""
    if bits_QC.shape[1] == count:
        return bits_QC
    return bits_QC[:, positive_columns[:1] + torch.arange(count, device=bits_QC.device)]
