"""Batches through the model, with smaller batches where memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from quarry_runtime.counted import counted
from quarry_runtime.errors import WorkerFault, in_a_line, is_out_of_memory
from quarry_runtime.handlers.units import Batch, Prepared, read_texts
from quarry_runtime.modeling.encoder import Encoder
from quarry_runtime.modeling.tokens import Side, collate, plan_batches, tokenize

_MOST_HALVINGS = 3


class Halving:
    """A model on one device that takes batches in halves where memory runs out.

    What did not fit once is not tried again: batches of that many padded tokens or more are halved
    before they reach the device, so that running out of memory costs one failed attempt a task and
    not one a batch.

    Args:
        collate: Pads items, each as long as its tokens, into tensors.
        run: Gives one result for each item of a batch, [B, ...].
        device: Where the model is.
        plural: What items are, for messages.
    """

    def __init__(
        self,
        collate: Callable[[Any], dict[str, torch.Tensor]],
        run: Callable[[dict[str, torch.Tensor]], torch.Tensor],
        device: torch.device,
        plural: str,
    ) -> None:
        self._collate = collate
        self._run = run
        self._plural = plural
        self.device = device
        #: Padded tokens of the smallest batch that did not fit; None until one did not.
        self.too_many_tokens: int | None = None

    def cut(self, ids: Sequence[Any], batch_size: int) -> list[Batch]:
        """Batches of about equal length, padded; for the thread that works ahead of the device."""
        lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
        batches = []
        for positions in plan_batches(lengths, batch_size):
            chosen = [ids[position] for position in positions]
            tensors = self._collate(chosen)
            if self.device.type == "cuda":
                tensors = {name: tensor.pin_memory() for name, tensor in tensors.items()}
            batches.append(Batch(positions, chosen, tensors))
        return batches

    def results(
        self,
        rows: np.ndarray,
        batches: list[Batch],
        shape: tuple[int, ...],
        on_batch: Callable[[], None],
    ) -> torch.Tensor:
        """Results of a unit, float32 [N, *shape] on the device, in the order of its rows.

        Args:
            rows: The unit's.
            batches: All that `cut` made of it.
            shape: That of one result.
            on_batch: Called after each batch, so that the heartbeat shows progress.

        Raises:
            WorkerFault: a batch that does not fit into memory even when it is halved three times.
        """
        results_N = torch.empty((len(rows), *shape), device=self.device)
        with torch.inference_mode():
            for batch in batches:
                results_B = self.batch(batch.ids, batch.tensors, rows[batch.positions])
                results_N[torch.from_numpy(batch.positions).to(self.device)] = results_B
                on_batch()
        return results_N

    def batch(
        self,
        ids: Sequence[Any],
        tensors: dict[str, torch.Tensor] | None,
        rows: np.ndarray,
        halvings_left: int = _MOST_HALVINGS,
    ) -> torch.Tensor:
        """Results [B, ...] of one batch; `tensors` are its padded ids where they are made already.

        Raises:
            WorkerFault: not even an eighth of the batch fits into memory.
        """
        tokens = len(ids) * max(map(len, ids))
        is_hopeless = self.too_many_tokens is not None and tokens >= self.too_many_tokens
        can_halve = halvings_left > 0 and len(ids) > 1
        if not (is_hopeless and can_halve):
            try:
                made = self._collate(ids) if tensors is None else tensors
                moved = {
                    name: tensor.to(self.device, non_blocking=True) for name, tensor in made.items()
                }
                return self._run(moved)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                self.too_many_tokens = min(tokens, self.too_many_tokens or tokens)
                if not can_halve:
                    items = counted(len(ids), self._plural)
                    # Some signs have other causes, too: oneDNN says the same where a system forbids it to write code.
                    said = in_a_line(error)
                    quoted = "" if "memory" in said.lower() else f" ({said})"
                    raise WorkerFault(
                        f"Out of memory on {self.device}: {items} of {max(map(len, ids))} tokens{quoted}.",
                        hint="Lower workers.batchSize or the maximum length.",
                        is_retryable=True,
                        rows=rows.tolist(),
                    ) from None
            # Out of the except block: the error's traceback holds the tensors that did not fit.
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        half = len(ids) // 2
        parts = [
            self.batch(ids[part], None, rows[part], halvings_left - 1)
            for part in (slice(None, half), slice(half, None))
        ]
        return torch.cat(parts)


class Forward(Halving):
    """One side of an encoder on one device, for units of any number."""

    def __init__(self, encoder: Encoder, side: Side, device: torch.device) -> None:
        super().__init__(
            lambda ids: collate(encoder, ids, side),
            lambda moved: encoder(moved, side),
            device,
            "texts",
        )
        self.encoder = encoder
        self.side: Side = side

    def prepare(self, frame: memoryview, row_count: int, batch_size: int) -> Prepared:
        """Reads, tokenises, sorts and pads a unit."""
        unit = read_texts(frame, row_count)
        ids = tokenize(self.encoder, unit, self.side)["input_ids"]
        return Prepared(unit.rows, unit.ranks, self.cut(ids, batch_size))

    def unit(self, unit: Prepared, on_batch: Callable[[], None]) -> torch.Tensor:
        """Vectors of a unit, float32 [N, D] on the device, in the order of its rows; see `results`."""
        return self.results(unit.rows, unit.batches, (self.encoder.contract.dimension,), on_batch)
