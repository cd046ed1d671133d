"""A rank's process: alone it is no distributed one; one that only lost another lets that one be named."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch.distributed as dist
from accelerate.state import AcceleratorState, PartialState
from torch.distributed.launcher.api import LaunchConfig
from transformers import TrainingArguments
from transformers.training_args import ParallelMode

from quarry_runtime.errors import ConfigError, UnusableBatch
from quarry_runtime.protocol.messages import Bye, Fatal, Trained
from quarry_runtime.training import rank


class Connection:
    """Keeps what a rank says, and what it does then."""

    def __init__(self, *_: Any) -> None:
        self.told: list[Any] = []

    def send(self, message: Any) -> None:
        self.told.append(message)

    def close(self) -> None:
        self.told.append("closed")


@pytest.fixture
def as_torchrun(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment of the only rank of a training, where a process group could be made."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    names = {
        "RANK": 0,
        "LOCAL_RANK": 0,
        "WORLD_SIZE": 1,
        "LOCAL_WORLD_SIZE": 1,
        "MASTER_PORT": port,
    }
    for name, value in {**names, "MASTER_ADDR": "127.0.0.1"}.items():
        monkeypatch.setenv(name, str(value))
    # What an earlier test found out about this process.
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    if dist.is_initialized():
        dist.destroy_process_group()
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.usefixtures("as_torchrun")
def test_a_rank_alone_on_a_cpu_makes_no_process_group(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    found: list[Any] = []

    def train(*_: Any) -> None:
        args = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to=[])
        found.extend([args.parallel_mode, PartialState().num_processes, dist.is_initialized()])

    monkeypatch.setattr(rank, "Connection", Connection)
    monkeypatch.setattr(rank, "_device", lambda: (None, None))
    monkeypatch.setattr(rank, "_train", train)
    assert rank._run("ticket", 0) == 0
    assert found == [ParallelMode.NOT_PARALLEL, 1, False]


@pytest.mark.usefixtures("as_torchrun")
def test_one_of_several_ranks_keeps_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(rank, "Connection", Connection)
    monkeypatch.setattr(rank, "_device", lambda: (None, None))
    monkeypatch.setattr(rank, "_train", lambda *_: None)
    rank._run("ticket", 0)
    assert (os.environ["RANK"], os.environ["WORLD_SIZE"]) == ("0", "2")


def test_a_rank_that_lost_another_one_ends_after_torchrun_has_looked_who_died(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection = Connection()
    monkeypatch.setattr("time.sleep", connection.told.append)
    lost = RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer")
    assert rank._report(connection, lost) == 1  # type: ignore[arg-type]
    fatal, closed, waited = connection.told
    assert fatal.error.is_retryable
    assert closed == "closed"
    # Torchrun names the first one that it finds ended.
    assert waited >= 3 * LaunchConfig(min_nodes=1, max_nodes=1, nproc_per_node=2).monitor_interval


def test_a_rank_with_an_error_of_its_own_waits_to_be_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = Connection()
    monkeypatch.setattr("time.sleep", connection.told.append)
    rank._report(connection, ConfigError("no"))  # type: ignore[arg-type]
    fatal, waited = connection.told
    assert isinstance(fatal, Fatal)
    assert not fatal.error.is_retryable
    assert waited >= 1
    assert not any(isinstance(message, Bye) for message in connection.told)


def test_rows_that_broke_a_step_are_told_by_their_side(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = Connection()
    monkeypatch.setattr("time.sleep", connection.told.append)
    broken = UnusableBatch("no", hint="yes", query_rows=[1], passage_rows=[2, 3], rows=[1, 2, 3])
    rank._report(connection, broken)  # type: ignore[arg-type]
    assert (connection.told[0].query_rows, connection.told[0].passage_rows) == ([1], [2, 3])


def test_a_resume_takes_the_encoders_of_both_sides_from_the_checkpoint(
    model_spec: Callable[..., Any],
) -> None:
    spec = model_spec("passages", query_checkpoint="queries", query_revision="0" * 40)
    assert rank._source(SimpleNamespace(model=spec, resume_from=None)) is spec  # type: ignore[arg-type]
    resumed = rank._source(SimpleNamespace(model=spec, resume_from="there"))  # type: ignore[arg-type]
    found = (resumed.checkpoint, resumed.query_checkpoint, resumed.query_revision)
    assert found == ("there", None, None)


@pytest.mark.parametrize(
    ("first_step", "says_over", "done"),
    [
        # There is no checkpoint to evaluate yet.
        (0, True, ["train"]),
        (2, False, [2, "train"]),
        (2, True, [2]),
    ],
)
def test_an_evaluation_that_a_death_cut_off_comes_first_and_may_end_the_training(
    first_step: int, says_over: bool, done: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def pause(step: int) -> bool:
        seen.append(step)
        return says_over

    trainer = SimpleNamespace(
        feed=SimpleNamespace(first_step=first_step),
        on_move=None,
        last_checkpoint=None,
        state=SimpleNamespace(global_step=4),
        train=lambda **_: seen.append("train"),
    )
    task = SimpleNamespace(is_evaluating=True, eval_steps=2, max_steps=4)
    task.resume_from, task.output_dir = "out/checkpoint-2", "out"
    monkeypatch.setattr(rank, "await_task", lambda _: task)
    monkeypatch.setattr(rank, "_build", lambda *_: trainer)
    monkeypatch.setattr(rank, "Pause", lambda *_: pause)
    connection = Connection()
    rank._train(connection, 0, None, None)  # type: ignore[arg-type]
    assert seen == done
    step = 4 if "train" in done else 2
    assert connection.told == [Trained(step=step, path="out/checkpoint-2")]


@pytest.mark.parametrize("driver", ["here", "missing"])
@pytest.mark.parametrize(("counted", "is_fault"), [("0,1", True), ("", False), ("-1", False)])
def test_gpus_that_torch_does_not_see_are_a_fault_and_not_the_cpu(
    counted: str, is_fault: bool, driver: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "here").touch()
    monkeypatch.setattr(rank, "_DRIVERS", (str(tmp_path / driver),))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", counted)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    device, fault = rank._device()
    assert device is None
    assert (fault is not None) is is_fault
