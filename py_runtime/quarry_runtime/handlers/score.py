"""The score task: pairs of query and passage in, scores out."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quarry_runtime.counted import counted
from quarry_runtime.errors import DataError
from quarry_runtime.handlers.forward import Halving
from quarry_runtime.handlers.handler import Answer, Handler
from quarry_runtime.handlers.units import Batch, read_pair_texts
from quarry_runtime.protocol.messages import Result, ScoreTask, Unit
from quarry_runtime.protocol.tensor import pack

if TYPE_CHECKING:
    import torch

    from quarry_runtime.modeling.cross_encoder import CrossEncoder


@dataclasses.dataclass(frozen=True)
class PreparedPairs:
    """A unit of pairs that is tokenised and cut into batches; `rows` are the pairs' numbers."""

    rows: NDArray[np.int32]
    batches: list[Batch]


class ScoreHandler(Handler):
    """Works on units of one score task; see handler.py."""

    def __init__(self, task: ScoreTask, model: CrossEncoder, device: torch.device) -> None:
        self.contract = model.contract
        self._task = task
        self._model = model
        self._forward = Halving(model.collate, model, device, "pairs")

    def prepare(self, frame: memoryview, row_count: int) -> PreparedPairs:
        """Tokenises a unit and cuts it into batches of pairs of about equal length.

        Raises:
            ProtocolError: a stream that is cut, of other columns, or of another number of rows.
        """
        unit = read_pair_texts(frame, row_count)
        pairs = self._model.tokenize(unit.queries, unit.passages)
        return PreparedPairs(unit.rows, self._forward.cut(pairs, self._task.batch_size))

    def work(
        self, message: Unit, prepared: PreparedPairs, started: float, on_batch: Callable[[], None]
    ) -> Answer:
        """Scores a unit."""
        tensor, data = pack(self.compute(prepared, on_batch), 1)
        answer = Result(
            unit=message.unit,
            attempt=message.attempt,
            tensor=tensor,
            scales=None,
            seconds=time.perf_counter() - started,
        )
        return answer, [data]

    def compute(self, unit: PreparedPairs, on_batch: Callable[[], None]) -> NDArray[np.float32]:
        """Scores float32 [N] in the order of the unit's pairs; they depend on the unit alone.

        Raises:
            DataError: a score that is NaN or infinite, its pairs named.
            WorkerFault: a batch that does not fit into memory.
        """
        scores = self._forward.results(unit.rows, unit.batches, (), on_batch).cpu().numpy()
        broken = unit.rows[~np.isfinite(scores)].tolist()
        if broken:
            raise DataError(
                f"The model's score of {counted(len(broken), 'pairs')} is NaN or infinite.",
                hint="Try dtype float32 (float16 overflows), or look at these texts.",
                rows=broken,
            )
        return scores
