"""The encode task: texts in, vectors out, rounded to what they are kept as."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quarry_runtime.guard.finite import check_finite
from quarry_runtime.handlers.handler import Answer, Handler
from quarry_runtime.handlers.units import Prepared
from quarry_runtime.protocol.messages import EncodeTask, Result, Unit
from quarry_runtime.protocol.tensor import pack

if TYPE_CHECKING:
    import torch

    from quarry_runtime.modeling.encoder import Encoder


class EncodeHandler(Handler):
    """Works on units of one encode task; see handler.py."""

    def __init__(self, task: EncodeTask, encoder: Encoder, device: torch.device) -> None:
        from quarry_runtime.handlers.forward import Forward

        self.contract = encoder.contract
        self._task = task
        self._forward = Forward(encoder, task.side, device)

    def work(
        self, message: Unit, prepared: Prepared, started: float, on_batch: Callable[[], None]
    ) -> Answer:
        """Encodes a unit; the vectors travel as they will be kept."""
        import torch

        from quarry_runtime.search.stored import pack_stored, to_stored

        vectors_ND = torch.from_numpy(self.compute(prepared, on_batch))
        codes_ND, scales_N = to_stored(vectors_ND, self._task.vector_dtype)
        if self._task.vector_dtype == "float16":
            # What float32 holds may be too large for it.
            check_finite(codes_ND.float().numpy(), prepared.rows, "vector in float16")
        tensor, data = pack_stored(codes_ND, 1)
        scales, frames = None, [data]
        if scales_N is not None:
            scales, scale_data = pack(scales_N.numpy(), 2)
            frames.append(scale_data)
        answer = Result(
            unit=message.unit,
            attempt=message.attempt,
            tensor=tensor,
            scales=scales,
            seconds=time.perf_counter() - started,
        )
        return answer, frames

    def prepare(self, frame: memoryview, row_count: int) -> Prepared:
        """Tokenises a unit and cuts it into batches."""
        return self._forward.prepare(frame, row_count, self._task.batch_size)

    def compute(self, unit: Prepared, on_batch: Callable[[], None]) -> NDArray[np.float32]:
        """Vectors float32 [N, D] in the order of the unit's rows.

        Raises:
            DataError: a vector with NaN or infinity, its rows named.
            WorkerFault: a batch that does not fit into memory.
        """
        vectors_ND = self._forward.unit(unit, on_batch).cpu().numpy()
        check_finite(vectors_ND, unit.rows)
        return vectors_ND
