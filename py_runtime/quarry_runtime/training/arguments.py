"""Turns a train task into TrainingArguments: the user's options, and those that Quarry decides."""

from __future__ import annotations

import dataclasses
import difflib
import os
from typing import TYPE_CHECKING, Any

from quarry_runtime.errors import ConfigError

if TYPE_CHECKING:
    from transformers import TrainingArguments

    from quarry_runtime.protocol.messages import TrainTask

#: What the plan, the feed and the checkpoints need to be as they are; a user's value would be
#: ignored.
_OWNED = {
    "output_dir",
    "max_steps",
    "num_train_epochs",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "seed",
    "data_seed",
    "ignore_data_skip",
    "save_strategy",
    "save_only_model",
    "logging_strategy",
    "report_to",
    "disable_tqdm",
    "remove_unused_columns",
    "auto_find_batch_size",
    "load_best_model_at_end",
    "eval_strategy",
    "push_to_hub",
    "use_cpu",
}
#: They shard weights or batches, or evaluate in training; the gather of negatives, the checkpoints
#: and the feed know nothing of it.
_UNSUPPORTED = {
    "fsdp",
    "fsdp_config",
    "deepspeed",
    "parallelism_config",
    "accelerator_config",
    "do_eval",
    "eval_on_start",
    "resume_from_checkpoint",
    "neftune_noise_alpha",
}

#: accelerate turns sharding on by these alone.
_SHARDING_VARIABLES = (
    "ACCELERATE_USE_FSDP",
    "ACCELERATE_USE_DEEPSPEED",
    "ACCELERATE_USE_MEGATRON_LM",
)


def training_arguments(task: TrainTask, is_on_cpu: bool) -> tuple[TrainingArguments, int | None]:
    """The arguments, and how many checkpoints are kept (None keeps all).

    Raises:
        ConfigError: an option that TrainingArguments does not have, that Quarry decides itself or
            does not support, or whose value transformers refuses; or an environment that asks for
            FSDP or DeepSpeed behind its back.
    """
    from transformers import TrainingArguments

    given = dict(task.args)
    keep = given.pop("save_total_limit", None)
    known = {field.name for field in dataclasses.fields(TrainingArguments)}
    for name in given:
        if name in _OWNED:
            raise ConfigError(
                f"train.args: {_camel(name)} is decided by Quarry.",
                hint="Use train.globalBatchSize, train.args.maxSteps, seed and runDir instead.",
            )
        if name in _UNSUPPORTED:
            raise ConfigError(
                f"train.args: Quarry does not support {_camel(name)}.",
                hint="Leave it out: each rank holds the whole model, and does nothing but train.",
            )
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known - _OWNED - _UNSUPPORTED), n=1)
            raise ConfigError(
                f"train.args: TrainingArguments has no option {_camel(name)}.",
                hint=f"Did you mean {_camel(near[0])}?" if near else None,
            )
    for name in _SHARDING_VARIABLES:
        if os.environ.get(name, "").lower() in ("1", "true", "yes", "on"):
            raise ConfigError(
                f"The environment sets {name}, which Quarry does not support.",
                hint=f"Unset {name}; every rank holds the whole model.",
            )
    try:
        return TrainingArguments(**_current_names(given), **_decided(task, is_on_cpu)), keep
    except (ValueError, TypeError, ImportError) as error:
        raise ConfigError(f"train.args: {error}") from error


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _current_names(given: dict[str, Any]) -> dict[str, Any]:
    # transformers 5 renamed it and warns about the old name on each start.
    renamed = dict(given)
    if renamed.pop("gradient_checkpointing", False):
        renamed["activation_checkpointing"] = True
    if renamed.get("activation_checkpointing"):
        # A parameter used for queries and passages would be "marked ready twice" by DDP with re-
        # entrant ones.
        renamed.setdefault("activation_checkpointing_kwargs", {"use_reentrant": False})
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
