"""The probe tasks: which batch size works through a sample of texts, or of pairs, fastest."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Sized
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from quarry_runtime.counted import counted
from quarry_runtime.errors import WorkerFault, is_out_of_memory
from quarry_runtime.handlers.batch_choice import choose, measure_sizes
from quarry_runtime.handlers.handler import Answer, Handler
from quarry_runtime.handlers.units import read_pair_texts, read_texts
from quarry_runtime.modeling.tokens import collate, plan_batches, tokenize
from quarry_runtime.protocol.messages import (
    Probed,
    ProbedSize,
    ProbeScoreTask,
    ProbeTask,
    Unit,
)

if TYPE_CHECKING:
    import torch

    from quarry_runtime.modeling.cross_encoder import CrossEncoder, PairIds
    from quarry_runtime.modeling.encoder import Encoder
    from quarry_runtime.modeling.tokens import Side

Item = TypeVar("Item", bound=Sized)

# Texts of one round are so many that it takes about this long, a power of two so that every size
# divides them, and no fewer than the default batch. Better few texts often than many once: where
# 64 long texts take three seconds, there was time for no second round.
_ROUND_SECONDS = 2.0
_LEAST_TEXTS = 16
_SMALLEST = 4


class ProbeHandler(Handler, Generic[Item]):
    """Tries 4, 8, 16, … texts a batch, up to the task's limit or to the end of the memory.

    On a CPU small batches win, because they stay in its caches; on a GPU big ones, until memory
    ends. No rule of thumb holds for both, so it is measured on the very texts; batch_choice.py
    says how often, and decides. An item of the sample is as long as its tokens.
    """

    def __init__(self, max_batch_size: int, device: torch.device) -> None:
        self._max_batch_size = max_batch_size
        self._device = device

    @abstractmethod
    def prepare(self, frame: memoryview, row_count: int) -> list[Item]:
        """The sample, tokenised."""

    @abstractmethod
    def collate(self, items: list[Item]) -> dict[str, torch.Tensor]:
        """Pads a batch."""

    @abstractmethod
    def forward(self, batch: dict[str, torch.Tensor]) -> object:
        """Computes a batch that is on the device."""

    def work(
        self, message: Unit, prepared: list[Item], started: float, on_batch: Callable[[], None]
    ) -> Answer:
        """Measures.

        Raises:
            WorkerFault: not even the smallest batch fits into memory.
        """
        sizes = self.measure(prepared, on_batch)
        answer = Probed(
            unit=message.unit,
            attempt=message.attempt,
            sizes=[ProbedSize(batch_size=size, texts_per_second=rate) for size, rate in sizes],
            seconds=time.perf_counter() - started,
        )
        return answer, []

    def measure(self, ids: list[Item], on_batch: Callable[[], None]) -> list[tuple[int, float]]:
        """Batch sizes with texts per second, the one to take first."""
        sample = self._sample(sorted(ids, key=len), on_batch)
        limit = min(self._max_batch_size, len(sample))
        sizes = [size for size in (1 << power for power in range(2, 17)) if size <= limit] or [1]
        rounds = measure_sizes(sizes, lambda size: self._round(sample, size, on_batch))
        if not rounds:
            raise self._no_room(sizes[0])
        rates = {size: len(sample) / min(seconds) for size, seconds in rounds.items()}
        chosen = choose(rounds)
        others = sorted((size for size in rates if size != chosen), key=lambda size: -rates[size])
        return [(size, rates[size]) for size in (chosen, *others)]

    def _sample(self, ordered: list[Item], on_batch: Callable[[], None]) -> list[Item]:
        """Items of all lengths, as many as one round is made of."""
        first = min(_SMALLEST, self._max_batch_size)
        # What is loaded or compiled by the first call must not count; the longest show whether
        # there is room.
        if self._round(ordered[-first:], first, on_batch) is None:
            raise self._no_room(first)
        middle = ordered[max(0, len(ordered) - first) // 2 :][:first]
        seconds = self._round(middle, first, on_batch)
        if seconds is None:
            raise self._no_room(first)
        wanted = max(_LEAST_TEXTS, int(len(middle) * _ROUND_SECONDS / max(seconds, 1e-9)))
        count = 1 << (min(wanted, len(ordered)).bit_length() - 1)
        return [ordered[(2 * at + 1) * len(ordered) // (2 * count)] for at in range(count)]

    def _no_room(self, size: int) -> WorkerFault:
        return WorkerFault(
            f"Out of memory on {self._device} with {counted(size, 'texts')} in a batch.",
            hint="Lower the maximum length, or use a device with more memory.",
            is_retryable=False,
        )

    def _round(self, ids: list[Item], size: int, on_batch: Callable[[], None]) -> float | None:
        """Seconds for items in batches of a size; None when memory ends."""
        import torch

        lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
        begin = time.perf_counter()
        try:
            with torch.inference_mode():
                for positions in plan_batches(lengths, size):
                    chosen = [ids[position] for position in positions]
                    batch = self.collate(chosen)
                    moved = {name: tensor.to(self._device) for name, tensor in batch.items()}
                    self.forward(moved)
                    on_batch()
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        else:
            return time.perf_counter() - begin
        # Out of the except block: the error's traceback holds the tensors that did not fit.
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        return None


class EncoderProbe(ProbeHandler[list[int]]):
    """One side of an encoder, by a sample of texts."""

    def __init__(self, task: ProbeTask, encoder: Encoder, device: torch.device) -> None:
        super().__init__(task.max_batch_size, device)
        self.contract = encoder.contract
        self._encoder = encoder
        self._side: Side = task.side

    def prepare(self, frame: memoryview, row_count: int) -> list[list[int]]:
        """Token ids of the texts."""
        return tokenize(self._encoder, read_texts(frame, row_count), self._side)["input_ids"]

    def collate(self, items: list[list[int]]) -> dict[str, torch.Tensor]:
        """Pads a batch."""
        return collate(self._encoder, items, self._side)

    def forward(self, batch: dict[str, torch.Tensor]) -> object:
        """Encodes a batch."""
        return self._encoder(batch, self._side)


class CrossEncoderProbe(ProbeHandler["PairIds"]):
    """A cross-encoder, by a sample of pairs."""

    def __init__(self, task: ProbeScoreTask, model: CrossEncoder, device: torch.device) -> None:
        super().__init__(task.max_batch_size, device)
        self.contract = model.contract
        self._model = model

    def prepare(self, frame: memoryview, row_count: int) -> list[PairIds]:
        """Token ids of the pairs."""
        pairs = read_pair_texts(frame, row_count)
        return self._model.tokenize(pairs.queries, pairs.passages)

    def collate(self, items: list[PairIds]) -> dict[str, torch.Tensor]:
        """Pads a batch."""
        return self._model.collate(items)

    def forward(self, batch: dict[str, torch.Tensor]) -> object:
        """Scores a batch."""
        return self._model(batch)
