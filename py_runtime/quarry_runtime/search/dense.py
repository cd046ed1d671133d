"""Takes blocks of scores on a GPU: one torch.topk a block, and no list whose length depends on
data."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from quarry_runtime.search.keys import keys_of_tensors
from quarry_runtime.search.lists import BestLists

# Keys of tied queries that are made at once.
_TIED_KEYS = 4 * 1024 * 1024


class Dense:
    """Takes blocks of scores [Q, N] into lists of the best, with one wait for the device a block.

    torch.topk's order among ties is arbitrary: a query with a tie across the k-th place of a block
    is decided by 64-bit keys instead.
    """

    def __init__(self, lists: BestLists) -> None:
        self._lists = lists
        self._used = 0

    def take(self, scores_QN: torch.Tensor, rows_N: torch.Tensor, ranks_N: torch.Tensor) -> None:
        """Takes a block in; the tensors are not kept."""
        lists, k = self._lists, self._lists.k
        count = min(k, scores_QN.shape[1])
        if self._used + count > k + lists.room:
            self.cut()
        places_QC = self._best(scores_QN, ranks_N, count)
        end = self._used + count
        keys_QC = keys_of_tensors(scores_QN.gather(1, places_QC), ranks_N[places_QC])
        lists.keys_QW[:, self._used : end] = keys_QC
        lists.rows_QW[:, self._used : end] = rows_N[places_QC]
        self._used = end

    def cut(self) -> None:
        """Leaves the best k of each list in its first k slots."""
        self._lists.cut(self._used)
        self._used = min(self._used, self._lists.k)

    def ordered(self) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Scores and rows, [Q, K] each, best first; a copy."""
        self.cut()
        return self._lists.ordered()

    def _best(self, scores_QN: torch.Tensor, ranks_N: torch.Tensor, count: int) -> torch.Tensor:
        if scores_QN.shape[1] == count:
            return torch.arange(count, device=scores_QN.device).expand(len(scores_QN), -1)
        # One place more than needed: equal scores on both sides of the border betray a tie.
        values_QC, places_QC = torch.topk(scores_QN, count + 1, dim=1)
        places_QC = places_QC[:, :count]
        tied = (values_QC[:, count - 1] == values_QC[:, count]).nonzero().squeeze(1)
        if len(tied) > 0:
            # A part at a time: keys and what they are made of take eight times the memory of their scores.
            for part in tied.split(max(1, _TIED_KEYS // scores_QN.shape[1])):
                keys_TN = keys_of_tensors(scores_QN[part], ranks_N)
                places_QC[part] = torch.topk(keys_TN, count, dim=1).indices
        return places_QC
