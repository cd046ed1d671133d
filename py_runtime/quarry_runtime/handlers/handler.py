"""What the loop asks of every task's handler; one file beside this one for each kind of task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from quarry_runtime.protocol.messages import (
    CrossEncoderContract,
    DownMessage,
    ModelContract,
    Ready,
    SnapshotUnit,
    Unit,
    UpMessage,
)

#: A message with its binary frames.
Answer = tuple[UpMessage, Sequence[memoryview]]


class Handler(ABC):
    """Works on units of one task; `prepare` runs ahead in another thread than `work`."""

    #: Of the model that was loaded; None for a search of stored vectors.
    contract: ModelContract | CrossEncoderContract | None

    def ready(self, credits: int) -> Ready:
        """Answers `configure`: what was loaded."""
        contract = self.contract
        if isinstance(contract, CrossEncoderContract):
            return Ready(model=None, cross_encoder=contract, credits=credits)
        return Ready(model=contract, cross_encoder=None, credits=credits)

    def take(self, message: DownMessage, frames: Sequence[memoryview]) -> bool:  # noqa: ARG002
        """Takes a message of this kind of task; False for any other one. Most tasks know units only."""
        return False

    @abstractmethod
    def prepare(self, frame: memoryview, row_count: int) -> Any:
        """Reads a unit and makes it ready for the device."""

    @abstractmethod
    def work(
        self, message: Unit, prepared: Any, started: float, on_batch: Callable[[], None]
    ) -> Answer:
        """Works on a unit and gives the answer.

        Args:
            message: The unit's header.
            prepared: What `prepare` gave.
            started: `time.perf_counter()` when the unit's turn came, for the seconds of the answer.
            on_batch: Called after each batch, so that the heartbeat shows progress.
        """


@runtime_checkable
class Accumulating(Protocol):
    """A handler whose units count only once a snapshot covers them."""

    snapshot_every: int

    def snapshot(self, units: list[SnapshotUnit]) -> Answer:
        """Everything done so far; `units` are those that no earlier snapshot covers."""
        ...
