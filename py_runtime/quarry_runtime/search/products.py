"""Dot products of queries and passages, by the way that is fastest for each number of queries."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor

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
# One query: less than this, 4 MB of passages, is not worth waking a thread, which takes some 30 µs.
_NUMBERS_OF_A_THREAD = 1024 * 1024
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
        out_QN[0] = torch.from_numpy(one_query_dots(queries_QD[0].numpy(), passages_ND))
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


def one_query_dots(query_D: NDArray[np.float32], passages_ND: torch.Tensor) -> NDArray[np.float32]:
    """Dot products [N] of one query, on a CPU; the bits of each depend on its own two vectors alone."""
    if passages_ND.dtype != torch.float32:
        passages_ND = passages_ND.float()
    passages = passages_ND.numpy()
    threads = torch.get_num_threads()
    parts = min(threads, passages.size // _NUMBERS_OF_A_THREAD) if threads > 1 else 1
    if parts <= 1:
        return np.einsum("nd,d->n", passages, query_D)
    out_N = np.empty(len(passages), np.float32)
    cuts = [len(passages) * part // parts for part in range(parts + 1)]

    def score(low: int, high: int) -> None:
        np.einsum("nd,d->n", passages[low:high], query_D, out=out_N[low:high])

    list(_pool(threads).map(score, cuts[:-1], cuts[1:]))
    return out_N


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "search")


def _aligned(panel_PD: torch.Tensor) -> torch.Tensor:
    """As float32, contiguous, at an address like those that torch gives out."""
    panel_PD = panel_PD.float().contiguous()
    return panel_PD.clone() if panel_PD.data_ptr() % _ALIGNMENT_BYTES else panel_PD
