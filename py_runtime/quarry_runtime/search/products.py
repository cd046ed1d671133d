"""Dot products of queries and passages, by the way that is fastest for each number of queries."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from quarry_runtime.guard import onednn

# Above this many queries, products of narrow panels: their scores and passages stay in a core's
# cache. Up to it, torch's other layout of the same product is 1.4 to 3 times as fast on a CPU.
_MOST_FEW_QUERIES = 8
_FEW_PANEL = 2_048
#: Passages of one product for many queries.
PANEL = 512
# oneDNN, up to so many queries: passages times queries and the result turned round, in panels that stay
# in a core's cache, is up to 1.5 times as fast as queries times passages.
_MOST_TURNED_QUERIES = 64
_TURNED_PANEL = 2_048
# For one query only MKL's batched kernel reads at the memory's speed: 64 matrices of 256 passages.
_MATRIX = 256
_MATRICES = 64
_BATCH = _MATRICES * _MATRIX
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
        _one(out_QN[0], queries_QD, passages_ND)
    elif len(queries_QD) > _MOST_FEW_QUERIES and onednn.is_faster():
        _by_onednn(out_QN, queries_QD, passages_ND)
    elif len(queries_QD) <= _MOST_FEW_QUERIES:
        for start in range(0, len(passages_ND), _FEW_PANEL):
            panel = slice(start, start + _FEW_PANEL)
            # A product with the transposed view, not with a transposed copy: that is the fast one.
            out_QN[:, panel] = torch.mm(_aligned(passages_ND[panel]), queries_QD.T).T
    else:
        for start in range(0, len(passages_ND), PANEL):
            panel = slice(start, start + PANEL)
            torch.mm(queries_QD, _aligned(passages_ND[panel]).T, out=out_QN[:, panel])


def new_dots(queries_QD: torch.Tensor, passages_ND: torch.Tensor) -> torch.Tensor | None:
    """Dot products of a strip in memory of their own, where that is faster than writing them into
    some that is there; else None.
    """
    is_many = len(queries_QD) > _MOST_TURNED_QUERIES and passages_ND.device.type == "cpu"
    if not is_many or not onednn.is_faster():
        return None
    return onednn.product(queries_QD, _aligned(passages_ND))


def _by_onednn(out_QN: torch.Tensor, queries_QD: torch.Tensor, passages_ND: torch.Tensor) -> None:
    is_turned = len(queries_QD) <= _MOST_TURNED_QUERIES
    size = _TURNED_PANEL if is_turned else PANEL
    for start in range(0, len(passages_ND), size):
        panel = slice(start, start + size)
        passages_PD = _aligned(passages_ND[panel])
        if is_turned:
            out_QN[:, panel] = onednn.product(passages_PD, queries_QD).T
        else:
            out_QN[:, panel] = onednn.product(queries_QD, passages_PD)


class LoneQuery:
    """Dot products of one query on a CPU with as few calls as there can be: a unit of 12 MB takes 0.4 ms,
    and each call out of a cold cache some microseconds.

    Args:
        query_1D: float32, contiguous.
    """

    def __init__(self, query_1D: torch.Tensor) -> None:
        self._query_1D = query_1D
        self._columns: dict[int, torch.Tensor] = {}

    def dots(self, passages_ND: torch.Tensor) -> NDArray[np.float32]:
        """Scores [N]; the bits are those of dot_into."""
        count, size = passages_ND.shape
        matrices, rest = divmod(count, _MATRIX)
        is_whole = rest == 0 and 1 < matrices <= _MATRICES
        is_plain = passages_ND.dtype is torch.float32 and passages_ND.is_contiguous()
        if not is_whole or not is_plain or passages_ND.data_ptr() % _ALIGNMENT_BYTES:
            scores_1N = torch.empty(1, count)
            dot_into(scores_1N, self._query_1D, passages_ND)
            return scores_1N.numpy()[0]
        column = self._columns.get(matrices)
        if column is None:
            column = self._columns[matrices] = _column(self._query_1D, matrices)
        scores = torch.bmm(passages_ND.view(matrices, _MATRIX, size), column)
        return scores.numpy().reshape(-1)


def _column(query_1D: torch.Tensor, matrices: int) -> torch.Tensor:
    # The strides of a transposed row choose the kernel; those of a column are 7 times slower.
    size = query_1D.shape[1]
    return query_1D.as_strided((matrices, size, 1), (0, 1, size))


def _one(out_N: torch.Tensor, query_1D: torch.Tensor, passages_ND: torch.Tensor) -> None:
    size = query_1D.shape[1]
    for start in range(0, len(passages_ND), _BATCH):
        batch_PD = _aligned(passages_ND[start : start + _BATCH])
        matrices = len(batch_PD) // _MATRIX
        whole = matrices * _MATRIX
        if matrices > 1:
            column = _column(query_1D, matrices)
            out = out_N[start : start + whole].view(matrices, _MATRIX, 1)
            torch.bmm(batch_PD[:whole].view(matrices, _MATRIX, size), column, out=out)
        else:
            whole = 0
        if whole < len(batch_PD):
            # One matrix alone takes the slow way; two equal queries do not.
            twice = query_1D.expand(2, -1).contiguous()
            rest = slice(start + whole, start + len(batch_PD))
            out_N[rest] = torch.mm(batch_PD[whole:], twice.T)[:, 0]


def _aligned(panel_PD: torch.Tensor) -> torch.Tensor:
    """As float32, contiguous, at an address like those that torch gives out."""
    panel_PD = panel_PD.float().contiguous()
    return panel_PD.clone() if panel_PD.data_ptr() % _ALIGNMENT_BYTES else panel_PD
