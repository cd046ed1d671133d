"""The life of a real worker process, from hello to bye, and every way it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quarry_runtime.errors import ProtocolError, to_info
from quarry_runtime.protocol.messages import (
    Bye,
    Configure,
    Done,
    Drain,
    EncodeTask,
    Failed,
    Fatal,
    Flush,
    Heartbeat,
    Hello,
    Queries,
    Ready,
    Refuse,
    Result,
    Snapshot,
    Unit,
)
from quarry_runtime.protocol.tensor import pack, to_numpy

TEXTS = ["a cat", "the dog sat", "b", "c d e"]
# Computes on in one forward pass until it is let go, and breaks, where a text says so.
PLUGIN = """
from pathlib import Path
import torch
from quarry_runtime.modeling.encoders.auto import auto
from quarry_runtime.modeling.registry import register_encoder

@register_encoder("odd")
def odd(resolved, spec, dtype, options):
    encoder = auto(resolved, spec, dtype, options)
    forward, slow = encoder.forward, encoder.tokenizer.convert_tokens_to_ids("$")
    broken = encoder.tokenizer.convert_tokens_to_ids("#")
    square = torch.randn(1500, 1500)

    def odd_forward(batch, side):
        vectors = forward(batch, side)
        ids = batch["input_ids"]
        if (ids == slow).any():
            Path(__file__).with_name("begun").touch()
            while not Path(__file__).with_name("go").exists():
                square @ square
        vectors[(ids == broken).any(1)] = float("nan")
        return vectors

    encoder.forward = odd_forward
    return encoder
"""


def encode_task(spec: Any) -> Configure:
    return Configure(
        task=EncodeTask(model=spec, side="passage", batch_size=4, vector_dtype="float32")
    )


def test_a_worker_encodes_then_searches_and_leaves_when_it_is_drained(
    search_task: Callable,
    orchestrate: Callable,
    tiny_bert: Path,
    model_spec: Callable,
    unit_frame: Callable,
) -> None:
    them = orchestrate()
    hello, _ = them.receive(Hello)
    assert (hello.role, hello.name, hello.token) == ("worker", "worker-0", "secret")
    assert (hello.device, hello.pid) == ("cpu", them.process.pid)
    them.send(encode_task(model_spec(tiny_bert)))
    ready, _ = them.receive(Ready)
    assert (ready.model.dimension, ready.model.dtype) == (32, "float32")
    # How many of them are used is the orchestrator's to say: the wire's maximum.
    assert ready.credits == 1024
    for number in range(10):
        them.send(
            Unit(unit=f"q{number}", attempt=number, row_count=4), [unit_frame(TEXTS, 4 * number)]
        )
    answers = [them.receive(Result) for _ in range(10)]
    assert [(answer.unit, answer.attempt) for answer, _ in answers] == [
        (f"q{n}", n) for n in range(10)
    ]
    vectors = [to_numpy(answer.tensor, frames) for answer, frames in answers]
    assert all(np.array_equal(vectors[0], other) for other in vectors)
    assert vectors[0].shape == (4, 32)

    sizes: dict[str, Any] = {"batch_size": 4, "top_k": 3, "query_count": 4, "dimension": 32}
    them.send(Configure(task=search_task(model_spec(tiny_bert), snapshot_every_units=2, **sizes)))
    them.receive(Ready)
    spec, data = pack(vectors[0], 1)
    them.send(Queries(first_row=0, tensor=spec), [data])
    for number in range(3):
        them.send(Unit(unit=f"p{number}", attempt=0, row_count=4), [unit_frame(TEXTS, 4 * number)])
    assert [them.receive(Done)[0].unit for _ in range(2)] == ["p0", "p1"]
    first, _ = them.receive(Snapshot)
    assert [unit.unit for unit in first.units] == ["p0", "p1"]
    assert them.receive(Done)[0].unit == "p2"
    them.send(Flush())
    second, frames = them.receive(Snapshot)
    assert [unit.unit for unit in second.units] == ["p2"]
    # Each query finds its own text in all three units: equal scores, greater id rank first.
    assert to_numpy(second.rows, frames).tolist() == [[8 + n, 4 + n, n] for n in range(4)]
    them.send(Drain())
    assert them.receive(Bye)[0].reason == "drained"
    assert them.wait() == 0


def test_a_slow_kernel_does_not_stop_the_heartbeat_and_a_broken_text_fails_its_unit_only(
    orchestrate: Callable,
    tiny_bert: Path,
    model_spec: Callable,
    unit_frame: Callable,
    tmp_path: Path,
) -> None:
    (tmp_path / "odd.py").write_text(PLUGIN)
    them = orchestrate()
    them.receive(Hello)
    them.send(encode_task(model_spec(tiny_bert, encoder="odd", plugins=[str(tmp_path / "odd.py")])))
    them.receive(Ready)
    them.send(Unit(unit="slow", attempt=0, row_count=1), [unit_frame(["one $"])])
    them.send(Unit(unit="broken", attempt=1, row_count=3), [unit_frame(["a", "b #", "c"], 50)])
    them.send(Unit(unit="fine", attempt=0, row_count=1), [unit_frame(["a"])])
    while not (tmp_path / "begun").exists():
        them.receive(Heartbeat)
    # The first may be of before.
    for _ in range(2):
        assert them.receive(Heartbeat)[0].progress == 0
    (tmp_path / "go").touch()
    assert them.receive(Result)[0].unit == "slow"
    failed, _ = them.receive(Failed)
    assert (failed.unit, failed.attempt, failed.error.code) == ("broken", 1, "DATA")
    assert (failed.error.rows, failed.error.is_retryable) == ([51], False)
    assert them.receive(Result)[0].unit == "fine"
    # One may have been written down just before.
    assert 3 in [them.receive(Heartbeat)[0].progress for _ in range(2)]


def test_a_missing_model_is_fatal_with_a_hint_and_the_status_of_its_kind(
    orchestrate: Callable, model_spec: Callable, tmp_path: Path
) -> None:
    them = orchestrate()
    them.receive(Hello)
    them.send(encode_task(model_spec(tmp_path / "absent")))
    fatal, _ = them.receive(Fatal)
    assert (fatal.error.code, them.wait()) == ("CONFIG", 2)
    assert "absent" in fatal.error.message
    assert fatal.error.hint


def test_a_device_that_is_not_there_ends_the_worker_before_hello(orchestrate: Callable) -> None:
    them = orchestrate("--device", "cuda:99")
    assert them.wait() == 4
    assert "cuda:99" in them.log.read_text()


@pytest.mark.parametrize("ending", ["refused", "garbage", "stdin", "gone"])
def test_a_worker_leaves_when_nobody_has_work_for_it(orchestrate: Callable, ending: str) -> None:
    them = orchestrate()
    them.receive(Hello)
    if ending == "refused":
        them.send(Refuse(error=to_info(ProtocolError("Another version.", hint="Update it."))))
        assert them.wait() == 7
        assert "Refused: Another version.\n  Update it." in them.log.read_text()
    elif ending == "garbage":
        them.socket.send_multipart([them._peer, b"\xc1 no message", b"\0\0\0\0"])
        assert them.receive(Fatal)[0].error.code == "PROTOCOL"
        assert them.wait() == 7
    elif ending == "stdin":
        them.stdin.close()
        assert them.wait() == 130
        assert "its stdin ended" in them.log.read_text()
    else:
        them.socket.close()
        assert them.wait() == 130
        assert "the orchestrator is gone" in them.log.read_text()


def test_an_unknown_verb_is_answered_with_the_known_ones() -> None:
    command = [sys.executable, "-m", "quarry_runtime", "wroker"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "py_runtime")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "{worker,fork-server,join,launch," in done.stderr
