"""Micro-batches that were written to files, handed out as the orchestrator does over its socket."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from quarry_runtime.errors import IntegrityError
from quarry_runtime.protocol.codec import decode_down
from quarry_runtime.protocol.messages import DownMessage, MicroBatch, Next, StopTraining


def read_message(path: Path) -> tuple[DownMessage, list[memoryview]]:
    """A message of the wire in a file: each frame behind its length, 4 bytes, little endian.

    Raises:
        IntegrityError: a file that is cut.
        ProtocolError: frames that are no message.
    """
    content = memoryview(path.read_bytes())
    parts: list[memoryview] = []
    while len(content) > 0:
        size = int.from_bytes(content[:4], "little")
        if len(content) < 4 + size:
            raise IntegrityError(f"{path} is cut.")
        parts.append(content[4 : 4 + size])
        content = content[4 + size :]
    return decode_down(parts)


class Recorded:
    """Answers each `next` with a micro-batch, round and round: what a Feed needs of a Connection.

    Args:
        files: Packed messages, in the order of their use; the step and micro-step that a feed asks
            for stand in the answer, whatever the file says.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._messages = [read_message(file) for file in files]
        self._next = 0
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def send(self, message: Any, frames: Sequence[Any] = ()) -> None:  # noqa: ARG002 (as Connection.send)
        """Puts the next micro-batch on its way."""
        if not isinstance(message, Next):
            return
        found, parts = self._messages[self._next % len(self._messages)]
        self._next += 1
        assert isinstance(found, MicroBatch)
        numbers = {"step": message.step, "micro_step": message.micro_step}
        self._answers.put((msgspec.structs.replace(found, **numbers), parts))

    def receive(self, timeout: float | None = None) -> Any:
        """The next answer; waits for it."""
        return self._answers.get(timeout=timeout)

    def stop(self) -> None:
        """Ends the training after the step in hand, without a checkpoint."""
        self._answers.put((StopTraining(save=False, ends_batches=False), []))
