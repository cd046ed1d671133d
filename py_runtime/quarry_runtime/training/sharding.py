"""FSDP2 through accelerate, also where accelerate does not think of it: ranks on CPUs."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict


def shard_on_cpu(accelerator: Accelerator, plugin_args: dict[str, Any]) -> None:
    """Turns sharding on where accelerate has passed it over without a word.

    It takes the plugin on accelerators only, though torch shards over gloo as well: what is tried
    on two CPU ranks is then the path that GPUs take.
    """
    state: Any = accelerator.state
    if state.distributed_type != DistributedType.MULTI_CPU:
        return
    plugin = FullyShardedDataParallelPlugin(**plugin_args)
    if state.mixed_precision != "no":
        plugin.set_mixed_precision(state.mixed_precision)
    state.distributed_type = DistributedType.FSDP
    state.fsdp_plugin = plugin
    # Whatever makes an AcceleratorState later (optimiser, schedule) copies it from there: without
    # it the clipping of gradients and no_sync would be those of ranks that hold all of the model.
    PartialState._shared_state["distributed_type"] = DistributedType.FSDP


def keep_outputs(accelerator: Accelerator) -> None:
    """Leaves a sharded model's loss as it was computed: accelerate would round it to 8 bits of bfloat16."""
    plugin: Any = getattr(accelerator.state, "fsdp_plugin", None)
    policy: Any = getattr(plugin, "mixed_precision_policy", None)
    if policy is not None:
        plugin.mixed_precision_policy = dataclasses.replace(policy, output_dtype=None)


def whole_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """All weights on the CPU of rank 0, put together from the shards; empty on other ranks.

    All ranks have to call it.
    """
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state: dict[str, Any] = get_model_state_dict(model, options=options)
    return state
