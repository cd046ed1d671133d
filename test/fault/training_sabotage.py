"""A plugin for tests of training: losses that break at a chosen moment."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import msgspec
import torch

from quarry_runtime.modeling.losses.infonce import InfoNCE, InfoNCEOptions
from quarry_runtime.modeling.losses.inputs import LossInputs
from quarry_runtime.modeling.registry import register_loss
from quarry_runtime.training import checkpoints


class NanAtOptions(msgspec.Struct, frozen=True):
    """Options of nan_at."""

    call: int


@register_loss("nan_at", NanAtOptions)
class NanAt(InfoNCE):
    """infonce that returns NaN at its n-th call."""

    def __init__(self, options: NanAtOptions) -> None:
        super().__init__(InfoNCEOptions())
        self.left = options.call

    def forward(self, batch: LossInputs) -> torch.Tensor:
        self.left -= 1
        loss = super().forward(batch)
        return loss * float("nan") if self.left == 0 else loss


class DyingOptions(msgspec.Struct, frozen=True):
    """Options of dying_in_checkpoint."""

    #: Exists once the death happened.
    marker: str
    #: Which checkpoint is not survived.
    step: int


@register_loss("dying_in_checkpoint", DyingOptions)
class DyingInCheckpoint(InfoNCE):
    """infonce; the process is killed, once, before a checkpoint's manifest is written."""

    def __init__(self, options: DyingOptions) -> None:
        super().__init__(InfoNCEOptions(temperature=0.1))
        seal = checkpoints.seal

        def dying_seal(folder: Path, **record: int) -> checkpoints.Manifest:
            if record["step"] == options.step and not Path(options.marker).exists():
                Path(options.marker).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return seal(folder, **record)

        checkpoints.seal = dying_seal


class DyingAtFileOptions(msgspec.Struct, frozen=True):
    """Options of dying_at_file."""

    #: Exists once the death happened.
    marker: str
    #: The checkpoint's folder, and how many files of it must be there.
    folder: str
    files: int


@register_loss("dying_at_file", DyingAtFileOptions)
class DyingAtFile(InfoNCE):
    """infonce; the process is killed, once, when the n-th file of a checkpoint appears."""

    def __init__(self, options: DyingAtFileOptions) -> None:
        super().__init__(InfoNCEOptions(temperature=0.1))
        if os.environ.get("RANK") == "0" and not Path(options.marker).exists():
            threading.Thread(target=_die_at_file, args=[options], daemon=True).start()


def _die_at_file(options: DyingAtFileOptions) -> None:
    folder, marker = Path(options.folder), Path(options.marker)
    while sum(path.is_file() for path in folder.rglob("*")) < options.files:
        time.sleep(0.0005)
    marker.touch()
    os.kill(os.getpid(), signal.SIGKILL)
