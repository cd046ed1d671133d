"""The exact best k passages of each query, kept on the device while units come in."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from quarry_runtime.errors import DataError

# Scores wait until so many columns are together, and until torch.topk on a CPU is in its fast
# regime (64 columns for each place): one merge then costs little more than reading the scores.
_BLOCK_COLUMNS = 16_384
_COLUMNS_PER_PLACE = 64
# But no more memory than this, however many queries there are.
_BLOCK_BYTES = 256 * 1024 * 1024


class RunningTopK:
    """Scores in, the best k out: by score descending, then id rank descending, whatever the order
    they came in.

    torch.topk orders ties arbitrarily (fast path); queries with a tie across the k-th place are
    decided by an exact 64-bit key of (score, id rank) instead.

    Shapes: Q queries, K places, N passages of a block. Padding has score -inf, row -1 and rank -1.
    """

    def __init__(self, query_count: int, k: int, device: torch.device | str = "cpu") -> None:
        self.query_count = query_count
        self.k = k
        self._scores_QK = torch.full((query_count, k), -torch.inf, device=device)
        self._rows_QK = torch.full((query_count, k), -1, dtype=torch.int32, device=device)
        self._ranks_QK = torch.full((query_count, k), -1, dtype=torch.int32, device=device)
        self._pending: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        self._pending_columns = 0
        wanted = max(_BLOCK_COLUMNS, _COLUMNS_PER_PLACE * (k + 1))
        self._block_columns = max(1, min(wanted, _BLOCK_BYTES // (4 * max(query_count, 1))))

    def add(self, scores_QN: torch.Tensor, rows_N: torch.Tensor, ranks_N: torch.Tensor) -> None:
        """Takes a unit's scores in; the tensors must not change afterwards.

        Args:
            scores_QN: float32, finite.
            rows_N: int32 row numbers.
            ranks_N: int32 id ranks, each different.

        Raises:
            DataError: NaN or infinity among the scores, with the rows named; nothing of the block
                is taken in.
        """
        if scores_QN.numel() == 0:
            return
        # NaN and infinity show in the extremes: one pass and no temporary.
        extremes = torch.stack(torch.aminmax(scores_QN))
        if not bool(torch.isfinite(extremes).all()):
            _refuse(scores_QN, rows_N)
        self._pending.append((scores_QN, rows_N, ranks_N))
        self._pending_columns += scores_QN.shape[1]
        if self._pending_columns >= self._block_columns:
            self._merge_pending()

    def snapshot(self) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Scores and rows, [Q, K] each, in final order; a copy that later units do not touch."""
        self._merge_pending()
        order_QK = torch.argsort(_keys(self._scores_QK, self._ranks_QK), dim=1, descending=True)
        scores = self._scores_QK.gather(1, order_QK).cpu().numpy()
        rows = self._rows_QK.gather(1, order_QK).cpu().numpy()
        return scores, rows

    def _merge_pending(self) -> None:
        if not self._pending:
            return
        scores, rows, ranks = zip(*self._pending, strict=True)
        self._pending, self._pending_columns = [], 0
        k, rows_N, ranks_N = self.k, torch.cat(rows), torch.cat(ranks)
        scores_QM = torch.cat([self._scores_QK, *scores], 1)
        # One place more than needed: equal scores on both sides of the border betray a tie.
        values, places = torch.topk(scores_QM, k + 1, dim=1)
        edge_Q, places_QK = values[:, k - 1], places[:, :k]
        tied = ((edge_Q == values[:, k]) & (edge_Q > -torch.inf)).nonzero().squeeze(1)
        if len(tied) > 0:
            ranks_TM = torch.cat([self._ranks_QK[tied], ranks_N.expand(len(tied), -1)], 1)
            places_QK[tied] = torch.topk(_keys(scores_QM[tied], ranks_TM), k, dim=1).indices
        # The first k places are those of the old list, the rest are the new passages.
        is_new_QK = places_QK >= k
        old_QK, new_QK = places_QK.clamp_max(k - 1), (places_QK - k).clamp_min(0)
        self._rows_QK = torch.where(is_new_QK, rows_N[new_QK], self._rows_QK.gather(1, old_QK))
        self._ranks_QK = torch.where(is_new_QK, ranks_N[new_QK], self._ranks_QK.gather(1, old_QK))
        self._scores_QK = scores_QM.gather(1, places_QK)


def _keys(scores: torch.Tensor, ranks: torch.Tensor) -> torch.Tensor:
    """int64 keys that order as (score, rank) do; -0.0 counts as 0.0, as in comparisons."""
    bits = (scores + 0.0).view(torch.int32)
    # Negative floats order backwards as integers: flip all but the sign.
    ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).to(torch.int64)
    return (ordered << 32) + (ranks.to(torch.int64) + 1)


def _refuse(scores_QN: torch.Tensor, rows_N: torch.Tensor) -> None:
    broken_N = ~torch.isfinite(scores_QN).all(0)
    rows = rows_N[broken_N].tolist()
    some = ", ".join(str(row) for row in rows[:10]) + (", …" if len(rows) > 10 else "")
    raise DataError(
        f"The scores of {len(rows)} passage(s) hold NaN or infinity: rows {some}.",
        hint="Try dtype float32 (float16 overflows), or look at these texts and the checkpoint.",
        rows=rows,
    )
