"""The search task: passages in, as texts or stored vectors; a running exact top-k out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from quarry_runtime.errors import ConfigError, ProtocolError
from quarry_runtime.guard.finite import check_finite
from quarry_runtime.handlers.forward import Forward
from quarry_runtime.handlers.handler import Answer, Handler
from quarry_runtime.handlers.units import Prepared
from quarry_runtime.handlers.vectors import StoredFiles, StoredUnit, read_vectors
from quarry_runtime.modeling.registry import load_plugins
from quarry_runtime.modeling.similarity import scorer
from quarry_runtime.protocol.messages import (
    Done,
    DownMessage,
    Queries,
    SearchTask,
    Snapshot,
    SnapshotUnit,
    Tracked,
    Unit,
)
from quarry_runtime.protocol.tensor import pack, to_numpy
from quarry_runtime.search.exact import ExactSearch
from quarry_runtime.search.stored import from_stored, to_stored
from quarry_runtime.search.tracked import TrackedPairs

if TYPE_CHECKING:
    from quarry_runtime.modeling.encoder import Encoder


class SearchHandler(Handler):
    """Works on units of one search task; the queries and the best passages stay on the device.

    Cosine of a model that does not normalise is a matter of scoring: queries and passages get
    length 1 here, and the encode task still gives the checkpoint's own vectors.
    """

    def __init__(self, task: SearchTask, encoder: Encoder | None, device: torch.device) -> None:
        self.contract = contract = None if encoder is None else encoder.contract
        if contract is not None and task.dimension != contract.dimension:
            raise ConfigError(
                f"The queries have {task.dimension} dimensions,"
                f" {contract.checkpoint} gives {contract.dimension}.",
                hint="Encode the queries with the same model.",
            )
        load_plugins(task.scoring.plugins)
        self._similarity = scorer(task.scoring.similarity)
        self._task = task
        self._device = device
        self._forward = None if encoder is None else Forward(encoder, "passage", device)
        self._files = StoredFiles(task.files) if task.files else None
        self._needs_length_1 = task.scoring.is_normalizing
        self.snapshot_every = task.snapshot_every_units
        self._queries_QD = torch.zeros((task.query_count, task.dimension), device=device)
        self._has_query = np.zeros(task.query_count, dtype=bool)
        self._tracked: TrackedPairs | None = None
        #: Opened by the first unit: then the queries and the tracked pairs are complete.
        self._search: ExactSearch | None = None
        self._seen: set[str] = set()

    def take(self, message: DownMessage, frames: Sequence[memoryview]) -> bool:
        """Query vectors and tracked pairs come before the first unit."""
        if isinstance(message, Tracked):
            self.take_tracked(to_numpy(message.queries, frames), to_numpy(message.rows, frames))
            return True
        if not isinstance(message, Queries):
            return False
        self.take_queries(message.first_row, to_numpy(message.tensor, frames))
        return True

    def work(
        self,
        message: Unit,
        prepared: Prepared | StoredUnit,
        started: float,
        on_batch: Callable[[], None],
    ) -> Answer:
        """Takes a unit into the running top-k."""
        self.compute(message.unit, prepared, on_batch)
        answer = Done(
            unit=message.unit,
            attempt=message.attempt,
            seconds=time.perf_counter() - started,
        )
        return answer, []

    def snapshot(self, units: list[SnapshotUnit]) -> Answer:
        """The running top-k as it travels."""
        scores_QK, rows_QK = self.best()
        (scores, score_bytes), (rows, row_bytes) = pack(scores_QK, 1), pack(rows_QK, 2)
        frames = [score_bytes, row_bytes]
        tracked = None
        if self._task.tracked_count > 0:
            tracked, tracked_bytes = pack(self.tracked(), 3)
            frames.append(tracked_bytes)
        return Snapshot(units=units, scores=scores, rows=rows, tracked=tracked), frames

    def take_queries(self, first_row: int, vectors_BD: NDArray[np.float32]) -> None:
        """Stores a block of query vectors.

        Raises:
            ProtocolError: a block that does not fit the query matrix, or comes after a unit.
            DataError: a query vector with NaN or infinity.
        """
        end = first_row + len(vectors_BD)
        if (
            vectors_BD.ndim != 2
            or vectors_BD.shape[1] != self._task.dimension
            or end > self._task.query_count
        ):
            raise ProtocolError(
                f"Queries of shape {list(vectors_BD.shape)} at {first_row} do not fit into"
                f" [{self._task.query_count}, {self._task.dimension}]."
            )
        if self._search is not None:
            raise ProtocolError("Queries came after the first unit.")
        block = np.ascontiguousarray(vectors_BD, dtype=np.float32)
        check_finite(block, np.arange(first_row, end), "query vector")
        queries_BD = torch.from_numpy(block.copy()).to(self._device)
        if self._needs_length_1:
            queries_BD = torch.nn.functional.normalize(queries_BD, dim=-1)
        self._queries_QD[first_row:end] = queries_BD
        self._has_query[first_row:end] = True

    def take_tracked(self, queries_T: NDArray[np.int32], rows_T: NDArray[np.int32]) -> None:
        """The pairs whose scores are wanted wherever they rank, ascending by passage row.

        Raises:
            ProtocolError: another number of pairs than the task names, a query that is not there,
                rows out of order, or pairs after a unit.
        """
        task = self._task
        if task.tracked_count == 0 or self._search is not None:
            raise ProtocolError("Tracked pairs came that the task does not know of, or too late.")
        if queries_T.shape != (task.tracked_count,) or rows_T.shape != (task.tracked_count,):
            raise ProtocolError(f"{queries_T.size} tracked pairs came, not {task.tracked_count}.")
        if queries_T.min() < 0 or queries_T.max() >= task.query_count:
            raise ProtocolError("A tracked pair names a query that is not there.")
        if (np.diff(rows_T) < 0).any():
            raise ProtocolError("Tracked pairs do not ascend by passage row.")
        self._tracked = TrackedPairs(queries_T.copy(), rows_T.copy(), self._device)

    def prepare(self, frame: memoryview, row_count: int) -> Prepared | StoredUnit:
        """Tokenises a unit and cuts it into batches, or reads its vectors."""
        task = self._task
        if self._files is not None:
            return self._files.read(frame, row_count, task.dimension, task.vector_dtype)
        if self._forward is None:
            return read_vectors(frame, row_count, task.dimension, task.vector_dtype)
        return self._forward.prepare(frame, row_count, task.batch_size)

    def compute(
        self, unit_id: str, unit: Prepared | StoredUnit, on_batch: Callable[[], None]
    ) -> None:
        """Scores a unit against every query and keeps the best; a unit counts once, however often.

        Raises:
            DataError: a vector or score with NaN or infinity, its rows named; the search stays as
                it was.
            WorkerFault: a batch that does not fit into memory.
            ProtocolError: queries or tracked pairs are missing.
        """
        search = self._open()
        if unit_id in self._seen:
            return
        with torch.inference_mode():
            passages_ND = self._vectors(unit, on_batch)
            if self._needs_length_1:
                passages_ND = torch.nn.functional.normalize(passages_ND.float(), dim=-1)
            search.add(passages_ND, unit.rows, unit.ranks)
        self._seen.add(unit_id)

    def best(self) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Scores and rows [Q, K] of what is done so far, in final order; -inf and -1 pad."""
        if self._search is None:
            shape = self._task.query_count, self._task.top_k
            return np.full(shape, -np.inf, np.float32), np.full(shape, -1, np.int32)
        with torch.inference_mode():
            return self._search.snapshot()

    def tracked(self) -> NDArray[np.float32]:
        """Scores [T] of the tracked pairs whose passages are done, -inf for the rest."""
        if self._tracked is None:
            return np.full(self._task.tracked_count, -np.inf, np.float32)
        return self._tracked.snapshot()

    def _open(self) -> ExactSearch:
        if self._search is None:
            if not self._has_query.all():
                raise ProtocolError(
                    f"A unit came before {int((~self._has_query).sum())} of the queries."
                )
            if self._task.tracked_count > 0 and self._tracked is None:
                raise ProtocolError("A unit came before the tracked pairs.")
            with torch.inference_mode():
                self._search = ExactSearch(
                    self._queries_QD, self._task.top_k, self._similarity, self._tracked
                )
        return self._search

    def _vectors(self, unit: Prepared | StoredUnit, on_batch: Callable[[], None]) -> torch.Tensor:
        """Passages [N, D] as they are kept, on the device."""
        if isinstance(unit, StoredUnit):
            codes_ND = unit.codes.to(self._device, non_blocking=True)
            scales_N = None if unit.scales is None else unit.scales.to(self._device)
            on_batch()
        else:
            assert self._forward is not None
            vectors_ND = self._forward.unit(unit, on_batch)
            codes_ND, scales_N = to_stored(vectors_ND, self._task.vector_dtype)
        # Halves are widened where they are scored, a panel at a time.
        return codes_ND if scales_N is None else from_stored(codes_ND, scales_N)
