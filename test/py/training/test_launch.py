"""How torchrun is started, and which training arguments reach the Trainer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quarry_runtime.errors import ConfigError
from quarry_runtime.launch import environment, torchrun_command
from quarry_runtime.protocol.messages import LossSpec, TrainTask
from quarry_runtime.training.arguments import training_arguments


@pytest.fixture
def make_task(model_spec: Callable[..., Any], tmp_path: Path) -> Callable[..., TrainTask]:
    def make(**changes: Any) -> TrainTask:
        fields: dict[str, Any] = {
            "model": model_spec("model"),
            "losses": [LossSpec(name="infonce", weight=1, sources=[], matryoshka=None, options={})],
            "sources": ["all"],
            "mini_batch_size": None,
            "output_dir": str(tmp_path),
            "max_steps": 4,
            "queries_per_rank": 2,
            "passages_per_query": 3,
            "accumulation_steps": 1,
            "seed": 7,
            "resume_from": None,
            "is_dropout_on": True,
        }
        return TrainTask(**(fields | changes))

    return make


def test_torchrun_keeps_to_this_node_and_its_ranks_find_the_ticket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = torchrun_command("/t/ticket.json", 2, 3, "/logs")
    assert command[1:3] == ["-m", "torch.distributed.run"]
    assert {
        "--rdzv-endpoint=127.0.0.1:0",
        "--nnodes=1",
        "--nproc-per-node=2",
        "--max-restarts=3",
    } <= set(command)
    assert command[-5:] == [
        "-m",
        "quarry_runtime",
        "rank",
        "--ticket",
        "/t/ticket.json",
    ]
    for name in ("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "GLOO_SOCKET_IFNAME"):
        monkeypatch.delenv(name, raising=False)
    assert environment(3) == {
        "OMP_NUM_THREADS": "3",
        "MKL_NUM_THREADS": "3",
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
        "GLOO_SOCKET_IFNAME": "lo",
    }


def test_what_a_user_set_in_the_environment_stays_but_for_the_thread_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "eth7")
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    assert "GLOO_SOCKET_IFNAME" not in environment(1)
    assert environment(1)["OMP_NUM_THREADS"] == "1"


def test_a_users_arguments_reach_transformers_and_quarrys_own_decisions_hold(
    make_task: Callable[..., TrainTask],
) -> None:
    given = {
        "learning_rate": 5e-5,
        "warmup_steps": 0.1,
        "save_steps": 3,
        "save_total_limit": 2,
        "bf16": True,
    }
    task = make_task(args=given, accumulation_steps=2)
    args, keep = training_arguments(task, is_on_cpu=True)
    assert (args.learning_rate, args.warmup_steps, args.save_steps, args.bf16) == (
        5e-5,
        0.1,
        3,
        True,
    )
    # Trainer's own rotation deletes the last complete checkpoint before the next one counts.
    assert (args.save_total_limit, keep) == (None, 2)
    assert (
        args.per_device_train_batch_size,
        args.gradient_accumulation_steps,
        args.max_steps,
    ) == (2, 2, 4)
    assert (args.report_to, args.disable_tqdm) == ([], True)
    assert args.ignore_data_skip
    assert not args.logging_nan_inf_filter


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"lerning_rate": 1}, "Did you mean learningRate?"),
        ({"per_device_train_batch_size": 8}, "globalBatchSize"),
        ({"lr_scheduler_type": "linaer"}, ""),
        ({"fsdp": "full_shard"}, "Leave it out"),
        ({"deepspeed": "ds.json"}, "Leave it out"),
        ({"parallelism_config": {"tp_size": 2}}, "Leave it out"),
    ],
)
def test_an_argument_that_cannot_be_followed_is_a_config_error(
    make_task: Callable[..., TrainTask], args: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        training_arguments(make_task(args=args), is_on_cpu=True)
    assert words in (caught.value.hint or "")
