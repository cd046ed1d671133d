"""What the orchestrator asks the doctor to look at: task.json and the files beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from quarry_runtime.modeling.text import Pairs, Texts, read_arrow, read_pairs
from quarry_runtime.protocol.messages import CrossEncoderSpec, ModelSpec, TrainTask


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


class PairSample(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Pairs of one data set, in an Arrow stream."""

    #: Path of the data, e.g. "evaluate.data".
    name: str
    file: str
    #: So many queries stand there twice: first each with a relevant passage, then each with a random one.
    judged: int

    def read(self, folder: Path) -> Pairs:
        """The pairs."""
        return read_pairs(memoryview((folder / self.file).read_bytes()))


class CrossWork(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A cross-encoder and the pairs that it is tried on."""

    #: Of its options, e.g. "rerank".
    path: str
    spec: CrossEncoderSpec
    samples: list[PairSample]
    #: Pairs in a forward pass of the workers.
    batch_size: int
    #: How long scoring is timed.
    seconds: float


class Work(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """One call of the doctor."""

    #: What to do.
    sections: list[Literal["tokens", "loss", "probe", "encode", "pairs", "score"]]
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
    #: None where only the experiment's model is looked at.
    cross: CrossWork | None = None


def read_work(folder: Path) -> Work:
    """Reads task.json of a folder."""
    return msgspec.json.decode((folder / "task.json").read_bytes(), type=Work)
