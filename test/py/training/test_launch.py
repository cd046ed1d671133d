"""How torchrun is started, and which training arguments reach the Trainer."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch.distributed import run
from transformers import TrainingArguments

from quarry_runtime.errors import ConfigError
from quarry_runtime.launch import forget_torchrun_options, torchrun_arguments
from quarry_runtime.protocol.messages import LossSpec, TrainTask
from quarry_runtime.rendezvous import (
    Meeting,
    environment,
    interface_to,
    torchrun_options,
)
from quarry_runtime.ticket import Keys, Ticket
from quarry_runtime.training.arguments import training_arguments
from quarry_runtime.training.refused_arguments import REFUSED


@pytest.fixture
def make_task(model_spec: Callable[..., Any], tmp_path: Path) -> Callable[..., TrainTask]:
    def make(**changes: Any) -> TrainTask:
        fields: dict[str, Any] = {
            "model": model_spec("model"),
            "losses": [LossSpec(name="infonce", weight=1, sources=[], matryoshka=None, options={})],
            "sources": ["all"],
            "mini_batch_size": None,
            "length_groups": None,
            "retriever": None,
            "output_dir": str(tmp_path),
            "max_steps": 4,
            "queries_per_rank": 2,
            "passages_per_query": 3,
            "accumulation_steps": 1,
            "seed": 7,
            "resume_from": None,
            "is_dropout_on": True,
            "eval_steps": None,
            "is_evaluating": False,
            "checkpoint_every": None,
        }
        return TrainTask(**(fields | changes))

    return make


def test_torchrun_keeps_to_this_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert {
        "--rdzv-endpoint=127.0.0.1:0",
        "--nnodes=1",
        "--nproc-per-node=2",
        "--max-restarts=3",
    } <= set(torchrun_arguments(2, 3, "/logs"))
    for name in ("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "GLOO_SOCKET_IFNAME"):
        monkeypatch.delenv(name, raising=False)
    assert environment(3) == {
        "OMP_NUM_THREADS": "3",
        "MKL_NUM_THREADS": "3",
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
        "GLOO_SOCKET_IFNAME": "lo",
    }


def test_what_is_meant_for_another_torchrun_does_not_reach_this_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PET_NO_PYTHON", "1")
    monkeypatch.setenv("PET_RUN_PATH", "1")
    monkeypatch.setenv("PET_MONITOR_INTERVAL", "60")
    forget_torchrun_options()
    config, _, _ = run.config_from_args(
        run.parse_args([*torchrun_arguments(2, 3, "/logs"), "rank"])
    )
    assert config.monitor_interval < 1


def test_what_a_user_set_in_the_environment_stays_but_for_the_thread_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "eth7")
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    assert "GLOO_SOCKET_IFNAME" not in environment(1)
    assert environment(1)["OMP_NUM_THREADS"] == "1"


def test_machines_meet_at_a_named_address_and_only_the_first_one_holds_the_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here, there = (Meeting("127.0.0.1:29500", "ab12", "2:3", node, 60) for node in (0, 2))
    assert torchrun_options(here) == [
        "--rdzv-backend=c10d",
        "--rdzv-endpoint=127.0.0.1:29500",
        "--rdzv-id=ab12",
        "--rdzv-conf=is_host=True,join_timeout=60",
        "--local-addr=127.0.0.1",
        "--nnodes=2:3",
    ]
    assert "--rdzv-conf=is_host=False,join_timeout=60" in torchrun_options(there)
    # torchrun numbers agents in the order of these names.
    names = sorted(
        [
            *torchrun_options(there)[4:5],
            "--local-addr=node7.example",
            "--local-addr=[::1]",
        ]
    )
    assert names[-1] == "--local-addr=~00002"
    for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        monkeypatch.delenv(name, raising=False)
    wanted = environment(1, here)
    assert (wanted["GLOO_SOCKET_IFNAME"], wanted["NCCL_SOCKET_IFNAME"]) == ("lo", "lo")
    assert interface_to("no-such-host.invalid") is None


def test_a_launch_with_its_ticket_on_stdin_leaves_no_ticket_behind(
    tmp_path: Path,
) -> None:
    # torchrun is stood in for by a module that tells what it finds.
    for package in ("torch", "torch/distributed", "torch/distributed/launcher"):
        (tmp_path / package).mkdir(parents=True, exist_ok=True)
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "torch/distributed/launcher/api.py").write_text("elastic_launch = None\n")
    (tmp_path / "torch" / "distributed" / "run.py").write_text(
        "import json, os, sys, time\n"
        "config_from_args = None\n"
        "def parse_args(given):\n"
        "    path = sys.argv[len(sys.argv) - 1 - sys.argv[::-1].index('--ticket') + 1]\n"
        "    gpus = os.environ.get('CUDA_VISIBLE_DEVICES')\n"
        "    told = [path, oct(os.stat(path).st_mode), open(path).read(), [*sys.argv, *given], gpus]\n"
        "    print(json.dumps(told), flush=True)\n"
        "    time.sleep(600)\n"
    )
    line = Ticket("tcp://127.0.0.1:4555", "secret", Keys(*(letter * 40 for letter in "abc"))).line()
    runtime = str(Path(__file__).parents[3] / "py_runtime")
    command = [
        sys.executable,
        "-m",
        "quarry_runtime",
        "launch",
        "--ticket",
        "-",
        "--ranks",
        "2",
    ]
    child = subprocess.Popen(
        [*command, "--max-restarts", "1", "--threads", "1", "--device", "cpu", "--with-parent"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{runtime}"},
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(line + "\n")
    child.stdin.flush()
    path, mode, content, argv, gpus = json.loads(child.stdout.readline())
    assert (mode, content) == ("0o100600", line)
    assert line not in argv
    assert "--nproc-per-node=2" in argv
    # What was asked for is the CPU.
    assert gpus == ""
    child.stdin.close()
    assert child.wait(timeout=100) == 128 + 9
    assert not Path(path).parent.exists()


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
        ({"max_steps": 8}, "maxSteps"),
        ({"deepspeed": "ds.json"}, "train.args.fsdp"),
        (
            {"fsdp": True, "fsdp_config": {"state_dict_type": "SHARDED_STATE_DICT"}},
            "FULL_STATE",
        ),
        ({"fsdp_config": {"reshard_after_forward": False}}, "fsdp: true"),
        ({"parallelism_config": {"tp_size": 2}}, "not supported"),
    ],
)
def test_an_argument_that_cannot_be_followed_is_a_config_error(
    make_task: Callable[..., TrainTask], args: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        training_arguments(make_task(args=args), is_on_cpu=True)
    assert words in (caught.value.hint or "")


@pytest.mark.parametrize("kind", ["FSDP", "DEEPSPEED", "MEGATRON_LM"])
@pytest.mark.parametrize("word", ["true", "y"])
def test_an_environment_that_asks_for_another_way_to_shard_is_refused(
    make_task: Callable[..., TrainTask], monkeypatch: pytest.MonkeyPatch, kind: str, word: str
) -> None:
    monkeypatch.setenv(f"ACCELERATE_USE_{kind}", word)
    with pytest.raises(ConfigError, match=f"sets ACCELERATE_USE_{kind}"):
        training_arguments(make_task(args={}), is_on_cpu=True)


@pytest.mark.parametrize(
    ("name", "value", "argument"),
    [
        ("ACCELERATE_MIXED_PRECISION", "bf16", "bf16"),
        ("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR", "torchCompile"),
        ("ACCELERATE_USE_CPU", "1", "workers.device"),
    ],
)
def test_an_environment_that_asks_for_other_losses_than_the_experiment_is_refused(
    make_task: Callable[..., TrainTask],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    argument: str,
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"sets {name}") as caught:
        training_arguments(make_task(args={}), is_on_cpu=False)
    assert argument in (caught.value.hint or "")


def test_an_environment_that_asks_for_what_is_so_anyway_is_let_through(
    make_task: Callable[..., TrainTask], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As `accelerate launch` sets them, and where the experiment has the say.
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "no")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    args, _ = training_arguments(make_task(args={"bf16": True}), is_on_cpu=True)
    assert args.mixed_precision == "bf16"


def test_what_checkpoints_activations_has_the_users_options_on_top_of_the_default(
    make_task: Callable[..., TrainTask],
) -> None:
    given = {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"every_n_layers": 2}}
    args, _ = training_arguments(make_task(args=given), is_on_cpu=True)
    # transformers answers by the old name, too.
    assert args.gradient_checkpointing
    assert args.gradient_checkpointing_kwargs == {"use_reentrant": False, "every_n_layers": 2}
    args, _ = training_arguments(make_task(args={}), is_on_cpu=True)
    assert not args.gradient_checkpointing


def test_every_field_of_training_arguments_is_known_to_whoever_writes_the_options() -> None:
    script = Path(__file__).parents[3] / "scripts" / "options" / "training_arguments.py"
    read = json.loads(subprocess.check_output([sys.executable, str(script)]))
    fields = {field.name: field for field in dataclasses.fields(TrainingArguments)}
    assert [field["name"] for field in read["fields"]] == list(fields)
    for field in read["fields"]:
        default = fields[field["name"]].default
        assert field["default"] in (None, default), field["name"]
    # What transformers 5.23 has named anew.
    new = {"activation_checkpointing", "activation_checkpointing_kwargs"}
    assert set(REFUSED) - new < set(fields)
