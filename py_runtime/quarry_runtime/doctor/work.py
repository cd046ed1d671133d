"""What the orchestrator asks the doctor to look at: task.json and the files beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from quarry_runtime.modeling.text import Texts, read_arrow
from quarry_runtime.protocol.messages import ModelSpec, TrainTask


class Sample(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Texts of one side, in an Arrow stream."""

    #: What they are, e.g. "train passages".
    name: str
    side: Literal["query", "passage"]
    file: str
    #: Whether these are all of them.
    is_whole: bool
    #: Whether encoding them is timed.
    is_timed: bool

    def read(self, folder: Path) -> Texts:
        """The texts."""
        return read_arrow(memoryview((folder / self.file).read_bytes()))


class Work(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """One call of the doctor."""

    #: tokens, loss, probe, encode: what to do, in this order.
    sections: list[Literal["tokens", "loss", "probe", "encode"]]
    #: As torch names it.
    device: str
    model: ModelSpec
    #: None for an experiment without training.
    train: TrainTask | None
    samples: list[Sample]
    #: Packed micro-batches of step 0, of all ranks each.
    loss_batches: list[str]
    #: Packed micro-batches of one rank.
    probe_batches: list[str]
    probe_seconds: float
    #: Texts in a forward pass of the workers.
    batch_size: int
    encode_seconds: float


def read_work(folder: Path) -> Work:
    """Reads task.json of a folder."""
    return msgspec.json.decode((folder / "task.json").read_bytes(), type=Work)
