"""Dot products of queries and passages, by the way that is fastest for each number of queries."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from quarry_runtime.guard import onednn

#: Passages of one product: few enough that they and their scores stay in a core's cache.
PANEL = 2_048
# Up to so many queries torch's other layout of the same product is 1.4 to 3 times as fast on a CPU.
_MOST_FEW_QUERIES = 8
# oneDNN, up to so many queries: passages times queries and the result turned round is up to 1.5 times as
# fast as queries times passages.
_MOST_TURNED_QUERIES = 64
_ALIGNMENT_BYTES = 64


def dot_into(out_QN: torch.Tensor, queries_QD: torch.Tensor, passages_ND: torch.Tensor) -> None:
    """Writes the dot products, float32, into out_QN, whose rows may lie apart.

    The bits depend on the vectors and their number alone: panels are counted from the first
    passage, and what is not aligned in memory is copied first, because MKL rounds by address.

    Args:
        out_QN: float32.
        queries_QD: float32, contiguous.
        passages_ND: Any floating dtype; it is widened panel by panel.
    """
    if passages_ND.device.type != "cpu":
        torch.mm(queries_QD, passages_ND.float().T, out=out_QN)
    elif len(queries_QD) == 1:
        out_QN[0] = torch.from_numpy(dots_of_one(queries_QD[0].numpy(), passages_ND))
    else:
        for start in range(0, len(passages_ND), PANEL):
            panel = slice(start, start + PANEL)
            _panel_into(out_QN[:, panel], queries_QD, _aligned(passages_ND[panel]))


def new_dots(queries_QD: torch.Tensor, passages_ND: torch.Tensor) -> torch.Tensor | None:
    """Dot products of a strip in memory of their own, where that is faster than writing them into
    some that is there; else None.
    """
    is_many = len(queries_QD) > _MOST_TURNED_QUERIES and passages_ND.device.type == "cpu"
    if not is_many or not onednn.is_faster():
        return None
    return onednn.product(queries_QD, _aligned(passages_ND))


def _panel_into(out_QP: torch.Tensor, queries_QD: torch.Tensor, passages_PD: torch.Tensor) -> None:
    if len(queries_QD) <= _MOST_FEW_QUERIES:
        # A product with the transposed view, not with a transposed copy: that is the fast one.
        out_QP[:] = torch.mm(passages_PD, queries_QD.T).T
    elif not onednn.is_faster():
        torch.mm(queries_QD, passages_PD.T, out=out_QP)
    elif len(queries_QD) <= _MOST_TURNED_QUERIES:
        out_QP[:] = onednn.product(passages_PD, queries_QD).T
    else:
        out_QP[:] = onednn.product(queries_QD, passages_PD)


def dots_of_one(query_D: NDArray[np.float32], passages_ND: torch.Tensor) -> NDArray[np.float32]:
    """Dot products [N] of one query, on a CPU: each by itself, so that its bits depend on the pair alone.

    One row after the other is how memory is read fastest, and a call of NumPy costs less than one of
    torch where no cache holds the code of either.

    Args:
        query_D: Contiguous.
        passages_ND: Any floating dtype.
    """
    if passages_ND.dtype is not torch.float32:
        passages_ND = passages_ND.float()
    # Whoever takes the scores looks for what is no number.
    with np.errstate(over="ignore", invalid="ignore"):
        return np.vecdot(np.ascontiguousarray(passages_ND.numpy()), query_D)


def _aligned(panel_PD: torch.Tensor) -> torch.Tensor:
    """As float32, contiguous, at an address like those that torch gives out."""
    panel_PD = panel_PD.float().contiguous()
    return panel_PD.clone() if panel_PD.data_ptr() % _ALIGNMENT_BYTES else panel_PD
