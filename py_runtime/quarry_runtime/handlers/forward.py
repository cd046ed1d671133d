"""Batches through the model, with smaller batches where memory runs out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from quarry_runtime.errors import WorkerFault
from quarry_runtime.guard.memory import is_out_of_memory
from quarry_runtime.handlers.units import Prepared
from quarry_runtime.modeling.encoder import Encoder
from quarry_runtime.modeling.tokens import Side

_MOST_HALVINGS = 3


def encode_unit(
    encoder: Encoder, side: Side, device: torch.device, unit: Prepared, on_batch: Callable[[], None]
) -> torch.Tensor:
    """Vectors of a unit, float32 [N, D] on the device, in the order of its rows.

    Args:
        on_batch: Called after each batch, so that the heartbeat shows progress.

    Raises:
        WorkerFault: a batch that does not fit into memory even when it is halved three times.
    """
    vectors_ND = torch.empty((len(unit.rows), encoder.contract.dimension), device=device)
    with torch.inference_mode():
        for batch in unit.batches:
            vectors_BD = _forward(
                encoder,
                side,
                device,
                batch.ids,
                batch.tensors,
                _MOST_HALVINGS,
                unit,
                batch.positions,
            )
            vectors_ND[torch.from_numpy(batch.positions).to(device)] = vectors_BD
            on_batch()
    return vectors_ND


def _forward(
    encoder: Encoder,
    side: Side,
    device: torch.device,
    ids: list[list[int]],
    tensors: dict[str, torch.Tensor],
    halvings_left: int,
    unit: Prepared,
    positions: np.ndarray,
) -> torch.Tensor:
    try:
        moved = {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}
        return encoder(moved, side)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        if halvings_left == 0 or len(ids) == 1:
            raise WorkerFault(
                f"Out of memory on {device}: {len(ids)} text(s) of {max(map(len, ids))} tokens.",
                hint="Lower workers.batchSize or the maximum length.",
                is_retryable=True,
                rows=unit.rows[positions].tolist(),
            ) from None
    # Out of the except block: the error's traceback holds the tensors that did not fit.
    if device.type == "cuda":
        torch.cuda.empty_cache()
    half = len(ids) // 2
    parts = [
        _forward(encoder, side, device, part, encoder.collate(part), halvings_left - 1, unit, place)
        for part, place in ((ids[:half], positions[:half]), (ids[half:], positions[half:]))
    ]
    return torch.cat(parts)
