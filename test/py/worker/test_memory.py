"""A worker whose memory really ends halves its batches and gives the same vectors."""

from __future__ import annotations

import re
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np

from quarry_runtime.protocol.messages import Configure, EncodeTask, Hello, Ready, Result, Unit
from quarry_runtime.protocol.tensor import to_numpy

TEXTS = [" ".join(["cat", "dog", "sat", "sea"] * 14) for _ in range(4_096)]
ROOM_BYTES = 300 << 20


def virtual_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()


def peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmPeak:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index]


def test_out_of_memory_halves_the_batch_and_the_vectors_are_the_same(
    orchestrate: Callable, tiny_bert: Path, model_spec: Callable, unit_frame: Callable
) -> None:
    def encoded(batch_size: int, room_bytes: int | None) -> tuple[np.ndarray, int]:
        """Vectors, and the memory that they took beyond what the worker had before."""
        them = orchestrate()
        them.receive(Hello)
        task = EncodeTask(
            model=model_spec(tiny_bert),
            side="passage",
            batch_size=batch_size,
            vector_dtype="float32",
        )
        them.send(Configure(task=task))
        them.receive(Ready)
        them.send(Unit(unit="warm", attempt=1, row_count=8), [unit_frame(TEXTS[:8])])
        them.receive(Result)
        pid = them.process.pid
        before = virtual_bytes(pid)
        if room_bytes is not None:
            limit = before + room_bytes
            resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit))
        them.send(Unit(unit="u", attempt=1, row_count=len(TEXTS)), [unit_frame(TEXTS)])
        answer, frames = them.receive(Result)
        return to_numpy(answer.tensor, frames), peak_bytes(pid) - before

    whole, needed = encoded(4_096, None)
    assert needed > 1.4 * ROOM_BYTES
    halved, taken = encoded(4_096, ROOM_BYTES)
    assert taken <= ROOM_BYTES
    np.testing.assert_allclose(halved, whole, atol=1e-5)
    assert np.isfinite(halved).all()
