"""The probe tasks: which batch size works through a sample of texts, or of pairs, fastest."""

from __future__ import annotations

import statistics
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence, Sized
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from quarry_runtime.errors import WorkerFault
from quarry_runtime.guard.memory import is_out_of_memory
from quarry_runtime.handlers.handler import Answer
from quarry_runtime.handlers.units import read_pair_texts, read_texts
from quarry_runtime.modeling.tokens import collate, plan_batches, tokenize
from quarry_runtime.protocol.messages import (
    DownMessage,
    Probed,
    ProbedSize,
    ProbeScoreTask,
    ProbeTask,
    Ready,
    Unit,
)

if TYPE_CHECKING:
    import torch

    from quarry_runtime.modeling.cross_encoder import CrossEncoder, PairIds
    from quarry_runtime.modeling.encoder import Encoder
    from quarry_runtime.modeling.tokens import Side

Item = TypeVar("Item", bound=Sized)

_ROUNDS = 3
# A whole probe takes no longer than this many times what the first size took for one round.
_MOST_SECONDS = 30.0
# A size this much slower than the best one so far: bigger ones are not tried.
_FALLING_OFF = 0.8
# Of sizes that are equal within the noise the smallest one is taken: it needs the least memory.
_EQUAL = 0.97


class ProbeHandler(ABC, Generic[Item]):
    """Tries 4, 8, 16, … texts a batch, up to the task's limit or to the end of the memory.

    On a CPU small batches win, because they stay in its caches; on a GPU big ones, until memory
    ends. No rule of thumb holds for both, so it is measured, in interleaved rounds, on the very
    texts. An item of the sample is as long as its tokens.
    """

    def __init__(self, max_batch_size: int, device: torch.device) -> None:
        self._max_batch_size = max_batch_size
        self._device = device

    @abstractmethod
    def ready(self, credits: int) -> Ready:
        """Says what the model is."""

    @abstractmethod
    def prepare(self, frame: memoryview, row_count: int) -> list[Item]:
        """The sample, tokenised."""

    @abstractmethod
    def collate(self, items: list[Item]) -> dict[str, torch.Tensor]:
        """Pads a batch."""

    @abstractmethod
    def forward(self, batch: dict[str, torch.Tensor]) -> object:
        """Computes a batch that is on the device."""

    def take(self, message: DownMessage, frames: Sequence[memoryview]) -> bool:  # noqa: ARG002
        """Nothing but the sample belongs to a probe."""
        return False

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
        limit = min(self._max_batch_size, max(1, len(ids)))
        sizes = [size for size in (1 << power for power in range(2, 17)) if size <= limit] or [1]
        seconds: dict[int, list[float]] = {}
        deadline = time.perf_counter() + _MOST_SECONDS
        # What is loaded or compiled by the first call must not count against the first size.
        if self._round(ids[: sizes[0]], sizes[0], on_batch) is None:
            raise WorkerFault(
                f"Out of memory on {self._device} with {sizes[0]} text(s) in a batch.",
                hint="Lower the maximum length, or use a device with more memory.",
                is_retryable=False,
            )
        for number in range(_ROUNDS):
            for size in list(sizes):
                if number > 0 and time.perf_counter() > deadline:
                    break
                took = self._round(ids, size, on_batch)
                if took is None:
                    sizes = [each for each in sizes if each < size]
                    seconds.pop(size, None)
                    break
                seconds.setdefault(size, []).append(took)
                fastest = min(min(each) for each in seconds.values())
                if number == 0 and fastest < took * _FALLING_OFF:
                    sizes = [each for each in sizes if each <= size]
                    break
        rates = {size: len(ids) / statistics.median(each) for size, each in seconds.items()}
        best = max(rates.values())
        chosen = min(size for size, rate in rates.items() if rate >= best * _EQUAL)
        others = sorted((size for size in rates if size != chosen), key=lambda size: -rates[size])
        return [(size, rates[size]) for size in (chosen, *others)]

    def _round(self, ids: list[Item], size: int, on_batch: Callable[[], None]) -> float | None:
        """Seconds for the whole sample in batches of a size; None when memory ends."""
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
        self._encoder = encoder
        self._side: Side = task.side

    def ready(self, credits: int) -> Ready:
        """Says what the model is."""
        contract = self._encoder.contract
        return Ready(task="probe", model=contract, cross_encoder=None, credits=credits)

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
        self._model = model

    def ready(self, credits: int) -> Ready:
        """Says what the model is."""
        contract = self._model.contract
        return Ready(task="probeScore", model=None, cross_encoder=contract, credits=credits)

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
