"""The state of optimiser and schedule, by the names of parameters: any number of ranks goes on with it.

One file, whole, written by rank 0 however many ranks share or shard the work. Ranks that do not see
it (on another machine, without a shared disk) get it from rank 0 over the process group.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

from quarry_runtime.errors import IntegrityError
from quarry_runtime.guard.load import load_training_state
from quarry_runtime.training.gather import gather_numbers

OPTIMIZER, SCHEDULE = "optimizer.pt", "scheduler.pt"


def save_state(
    folder: Path, model: nn.Module, optimizer: Any, schedule: Any, is_writer: bool
) -> None:
    """Writes both files on the rank that writes; all ranks have to call it, since shards are gathered."""
    state = get_optimizer_state_dict(
        model,
        _plain(optimizer),
        options=StateDictOptions(full_state_dict=True, cpu_offload=True),
    )
    if is_writer:
        torch.save(state, folder / OPTIMIZER)
        torch.save(schedule.state_dict(), folder / SCHEDULE)


def load_state(
    folder: Path, model: nn.Module, optimizer: Any, schedule: Any, rank: int, device: torch.device
) -> None:
    """Puts the state back, sharded as the model is now; all ranks have to call it.

    A parameter that never got a gradient has no state, and gets none.

    Raises:
        IntegrityError: the state is not of this model's parameters.
    """
    plain = _plain(optimizer)
    is_here = (folder / OPTIMIZER).is_file()
    # Whether to hand it on is a decision that all must make alike.
    is_sent = bool(gather_numbers([float(is_here)], device).min() < 1)
    state: dict[str, Any] = {}
    steps = 0.0
    if not is_sent or rank == 0:
        state = load_training_state(folder / OPTIMIZER)
        known = load_training_state(folder / SCHEDULE)
        schedule.load_state_dict(known)
        steps = float(known["last_epoch"])
    names = _names(model, plain)
    held = state.get("state", {})
    foreign = sorted(set(held).difference(names))
    if foreign:
        raise IntegrityError(
            f"{folder / OPTIMIZER} has the state of {foreign[0]}, which the model does not learn.",
            hint="Train the model that the run began with, or start a run in another runDir.",
        )
    # What rank 0 has of the file, all ranks have.
    is_held = gather_numbers([float(name in held) for name in names], device)[0].tolist()
    # SGD without momentum has no state at all, which torch cannot put back.
    if any(is_held):
        options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=is_sent, strict=False)
        set_optimizer_state_dict(model, plain, state, options=options)
    parameters = (each for group in plain.param_groups for each in group["params"])
    for parameter, held_by_file in zip(parameters, is_held, strict=True):
        if not held_by_file:
            # torch makes some for all of them, as of a step that was never taken.
            plain.state.pop(parameter, None)
    if is_sent:
        # A schedule is a function of its step: the others need no more than the number.
        steps = float(gather_numbers([steps], device)[0, 0])
    if (is_sent and rank != 0) or not any(is_held):
        _forward(schedule, int(steps))


def _names(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[str]:
    """The optimiser's parameters in its order, as torch names them whatever is wrapped around them."""
    groups: Any = get_optimizer_state_dict(model, optimizer)["param_groups"]
    return [name for group in groups for name in group["params"]]


def _forward(schedule: Any, steps: int) -> None:
    inner = getattr(schedule, "scheduler", schedule)
    inner.last_epoch = steps
    inner._step_count = steps + 1
    rates = [
        base * factor(steps) for base, factor in zip(inner.base_lrs, inner.lr_lambdas, strict=True)
    ]
    inner._last_lr = rates
    for group, rate in zip(inner.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate


def _plain(optimizer: Any) -> torch.optim.Optimizer:
    """Without accelerate's wrapper."""
    return getattr(optimizer, "optimizer", optimizer)
