"""Turns a train task into TrainingArguments: the user's options, and those that Quarry decides."""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from quarry_runtime.errors import ConfigError, QuarryError, in_a_line, is_out_of_memory
from quarry_runtime.training.compiling import check_compiler
from quarry_runtime.training.refused_arguments import REFUSED

if TYPE_CHECKING:
    from transformers import TrainingArguments

    from quarry_runtime.protocol.messages import TrainTask

#: The orchestrator has made steps of them.
_FROM_TASK = {"max_steps", "num_train_epochs"}

#: Settings of FSDP that have one value here.
_SHARDING = {"version": "2", "state_dict_type": "FULL_STATE_DICT", "xla": "False"}

#: accelerate turns sharding on by these alone.
_SHARDING_VARIABLES = (
    "ACCELERATE_USE_FSDP",
    "ACCELERATE_USE_DEEPSPEED",
    "ACCELERATE_USE_MEGATRON_LM",
)
#: As accelerate reads such a variable.
_YES = ("1", "true", "t", "yes", "y", "on")
#: What accelerate takes from the environment where none of these arguments says otherwise: other losses,
#: of which the experiment says nothing.
_CHOICE_VARIABLES = {
    "ACCELERATE_MIXED_PRECISION": (
        ("bf16", "fp16"),
        "train.args.bf16 and fp16 choose the precision.",
    ),
    "ACCELERATE_DYNAMO_BACKEND": (
        ("torch_compile", "torch_compile_backend", "torch_compile_mode"),
        "train.args.torchCompile compiles the model.",
    ),
}


def training_arguments(task: TrainTask, is_on_cpu: bool) -> tuple[TrainingArguments, int | None]:
    """The arguments, and how many checkpoints are kept (None keeps all).

    Raises:
        ConfigError: an option that TrainingArguments does not have, that Quarry decides itself or
            does not support, or whose value transformers refuses; or an environment that asks for
            sharding, another precision, compilation or the CPU behind its back.
        EnvironmentFault: nothing to compile with, where the model is to be compiled.
    """
    from transformers import TrainingArguments

    given = dict(task.args)
    keep = given.pop("save_total_limit", None)
    known = {field.name for field in dataclasses.fields(TrainingArguments)}
    for name in given:
        if name in REFUSED or name in _FROM_TASK:
            raise ConfigError(
                f"train.args: {_camel(name)} is not taken.",
                hint=REFUSED.get(name, "Use train.args.maxSteps and numTrainEpochs."),
            )
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known - REFUSED.keys() - _FROM_TASK), n=1)
            raise ConfigError(
                f"train.args: TrainingArguments has no option {_camel(name)}.",
                hint=f"Did you mean {_camel(near[0])}?" if near else None,
            )
    _check_environment(given, is_on_cpu)
    _check_sharding(given)
    try:
        args = TrainingArguments(**_current_names(given, known), **_decided(task, is_on_cpu))
    except (ValueError, TypeError, ImportError) as error:
        raise ConfigError(f"train.args: {error}") from error
    check_compiler(args)
    return args, keep


@contextmanager
def making(what: str, names: str) -> Iterator[None]:
    """Blames a library's complaint on the options that something is made of.

    Args:
        what: What is being made, for the message.
        names: The options of train.args, for the hint.

    Raises:
        ConfigError: whatever the library raised, but for want of memory.
    """
    try:
        yield
    except QuarryError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise ConfigError(
            f"train.args: {what} cannot be made ({in_a_line(error)}).",
            hint=f"Look at {names}.",
        ) from error


def _check_environment(given: dict[str, Any], is_on_cpu: bool) -> None:
    """Refuses what accelerate would read behind the experiment's back."""
    said = {
        name: "train.args.fsdp shards the model."
        for name in _SHARDING_VARIABLES
        if os.environ.get(name, "").lower() in _YES
    }
    for name, (arguments, instead) in _CHOICE_VARIABLES.items():
        is_named = any(given.get(argument) for argument in arguments)
        if not is_named and os.environ.get(name, "").lower() not in ("", "no"):
            said[name] = instead
    if not is_on_cpu and os.environ.get("ACCELERATE_USE_CPU", "").lower() in _YES:
        said["ACCELERATE_USE_CPU"] = "workers.device: cpu trains there."
    for name, instead in said.items():
        raise ConfigError(
            f"The environment sets {name}, which Quarry does not look at.",
            hint=f"Unset {name}; {instead}",
        )


def _check_sharding(given: dict[str, Any]) -> None:
    """Only what the tests shard and put together again is let through."""
    config = {
        name.removeprefix("fsdp_"): value
        for name, value in (given.get("fsdp_config") or {}).items()
    }
    if config and not given.get("fsdp"):
        raise ConfigError(
            "train.args: fsdpConfig says how to shard, but fsdp is not on.", hint="Set fsdp: true."
        )
    for name, supported in _SHARDING.items():
        if str(config.get(name, supported)) != supported:
            raise ConfigError(
                f"train.args.fsdpConfig: {name} {config[name]!r} is not supported.",
                hint=f"Leave it out; it is {supported}.",
            )


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _current_names(given: dict[str, Any], known: set[str]) -> dict[str, Any]:
    renamed = dict(given)
    if os.environ.get("WORLD_SIZE", "1") == "1":
        # One rank has nobody to share with; the same experiment may go on with it.
        renamed.pop("fsdp", None)
        renamed.pop("fsdp_config", None)
    options = renamed.pop("gradient_checkpointing_kwargs", None) or {}
    if renamed.pop("gradient_checkpointing", False):
        # transformers 5.23 renamed it, warns about the old name on each start, and heeds old options
        # only where there are no new ones.
        new, old = "activation_checkpointing", "gradient_checkpointing"
        name = new if new in known else old
        renamed[name] = True
        # A parameter used for queries and passages would be "marked ready twice" by DDP with re-
        # entrant ones.
        renamed[f"{name}_kwargs"] = {"use_reentrant": False, **options}
    return renamed


def _decided(task: TrainTask, is_on_cpu: bool) -> dict[str, Any]:
    given = task.args
    decided: dict[str, Any] = {
        "output_dir": task.output_dir,
        "max_steps": task.max_steps,
        "per_device_train_batch_size": task.queries_per_rank,
        "gradient_accumulation_steps": task.accumulation_steps,
        "seed": task.seed,
        # The feed starts at the step that the checkpoint names; skipping would read those batches
        # again.
        "ignore_data_skip": True,
        "save_strategy": "steps",
        "logging_strategy": "no",
        # The default replaces a NaN loss by the mean of earlier ones; Quarry stops instead.
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "average_tokens_across_devices": False,
        "use_cpu": is_on_cpu,
    }
    optional = {
        # No buffer of an encoder changes in training: this saves a broadcast in each forward.
        "ddp_broadcast_buffers": False,
        "dataloader_pin_memory": False,
        # Outside of torchrun (a test, a notebook) there is no group to name a backend for.
        **({"ddp_backend": "gloo"} if is_on_cpu and "RANK" in os.environ else {}),
    }
    decided.update({name: value for name, value in optional.items() if name not in given})
    return decided
