"""The best passages of each query so far, with room behind them for candidates."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from quarry_runtime.search.keys import LOWEST, scores_of

# Lists of few queries have room for so many candidates, and for up to so many all together.
_ROOM, _ROOM_OF_ALL = 512, 16_384


class BestLists:
    """Lists of (score, id rank) keys and rows; the best k are kept when a list is cut.

    Candidates go behind place k, at most `room` of them before the next cut. Which order they came
    in decides nothing: keys differ. Memory: 12 bytes for each of Q * (2 k + 64) slots, at most
    200 KB more for few queries.

    Shapes: Q queries, K places, W = K + room slots, U used slots.
    """

    def __init__(self, query_count: int, k: int, device: torch.device) -> None:
        self.k = k
        # A cut costs about as much for each slot, so room for k more halves the cost per candidate. Of few
        # queries it costs its calls, so there are few.
        self.room = max(k + 64, min(_ROOM, _ROOM_OF_ALL // max(1, query_count)))
        shape = (query_count, k + self.room)
        self.keys_QW = torch.full(shape, LOWEST, device=device)
        self.rows_QW = torch.full(shape, -1, dtype=torch.int32, device=device)

    def cut(self, used: int) -> torch.Tensor:
        """Brings the best k of the first `used` slots to the front, in no order, and clears the
        rest.

        Returns:
            The score at the k-th place, float32 [Q]; -inf where a list is not full.
        """
        if used > self.k:
            keys_QU, rows_QU = self.keys_QW[:, :used], self.rows_QW[:, :used]
            best_QK, slots_QK = torch.topk(keys_QU, self.k, dim=1, sorted=False)
            rows_QK = rows_QU.gather(1, slots_QK)
            keys_QU[:, self.k :] = LOWEST
            keys_QU[:, : self.k], rows_QU[:, : self.k] = best_QK, rows_QK
        return scores_of(self.keys_QW[:, : self.k].amin(1))

    def ordered(self) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Copies of the scores and rows of the first k slots, [Q, K] each, best first."""
        keys_QK, order_QK = self.keys_QW[:, : self.k].sort(dim=1, descending=True)
        rows_QK = self.rows_QW[:, : self.k].gather(1, order_QK)
        # A list that is not full may hold rows of before a cut behind its end.
        rows_QK = rows_QK.masked_fill(keys_QK == LOWEST, -1)
        return scores_of(keys_QK).cpu().numpy(), rows_QK.cpu().numpy()
