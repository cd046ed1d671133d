"""The exact best k passages of each query, kept on the device while units come in."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from quarry_runtime.errors import DataError

# Scores wait until so many columns are together: merging costs nearly the same for 256 columns as
# for 16,384.
_BLOCK_COLUMNS = 16_384
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
        self._seen = 0
        self._block_columns = max(1, min(_BLOCK_COLUMNS, _BLOCK_BYTES // (4 * max(query_count, 1))))

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
        scores_QN = scores[0] if len(scores) == 1 else torch.cat(scores, 1)
        self._merge(scores_QN, torch.cat(rows), torch.cat(ranks))

    def _merge(self, scores_QN: torch.Tensor, rows_N: torch.Tensor, ranks_N: torch.Tensor) -> None:
        width, device = scores_QN.shape[1], scores_QN.device
        is_full, self._seen = self._seen >= self.k, self._seen + width
        columns_QC = torch.arange(width, device=device).expand(self.query_count, -1)
        if is_full:
            # Only what reaches a query's k-th score can enter; late in a search that is next to
            # nothing.
            query, column = (scores_QN >= self._scores_QK.amin(1, keepdim=True)).nonzero(
                as_tuple=True
            )
            counts_Q = torch.bincount(query, minlength=self.query_count)
            most = int(counts_Q.max())
            if most == 0:
                return
            if most <= width // 4:
                place = (
                    torch.arange(len(query), device=device) - (counts_Q.cumsum(0) - counts_Q)[query]
                )
                columns_QC = torch.full((self.query_count, most), -1, device=device)
                columns_QC[query, place] = column
        self._keep_best(scores_QN, rows_N, ranks_N, columns_QC)

    def _keep_best(
        self,
        scores_QN: torch.Tensor,
        rows_N: torch.Tensor,
        ranks_N: torch.Tensor,
        columns_QC: torch.Tensor,
    ) -> None:
        """Merges the named columns (-1 is none) of each query with what is kept."""
        k, given_QC = self.k, columns_QC.clamp_min(0)
        is_none_QC = columns_QC < 0
        scores_QM = torch.cat(
            [self._scores_QK, scores_QN.gather(1, given_QC).masked_fill(is_none_QC, -torch.inf)], 1
        )
        # One place more than needed: equal scores on both sides of the border betray a tie.
        values, places = torch.topk(scores_QM, k + 1, dim=1)
        edge_Q = values[:, k - 1]
        tied = ((edge_Q == values[:, k]) & (edge_Q > -torch.inf)).nonzero().squeeze(1)
        places_QK = places[:, :k]
        if len(tied) > 0:
            ranks_TM = torch.cat([self._ranks_QK[tied], ranks_N[given_QC[tied]]], 1)
            places_QK[tied] = torch.topk(_keys(scores_QM[tied], ranks_TM), k, dim=1).indices
        is_new_QK = places_QK >= k
        old_QK = places_QK.clamp_max(k - 1)
        column_QK = columns_QC.gather(1, (places_QK - k).clamp_min(0))
        # Padding that fills the list while fewer than k passages were seen stays what it is: row
        # -1, rank -1.
        is_new_QK &= column_QK >= 0
        is_padding_QK = (places_QK >= k) & ~is_new_QK
        column_QK = column_QK.clamp_min(0)
        for name, new_N in (("_rows_QK", rows_N), ("_ranks_QK", ranks_N)):
            kept_QK = getattr(self, name).gather(1, old_QK).masked_fill(is_padding_QK, -1)
            setattr(self, name, torch.where(is_new_QK, new_N[column_QK], kept_QK))
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
