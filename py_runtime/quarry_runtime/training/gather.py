"""Quarry's only collectives: vectors and labels for the losses, and a few numbers a step."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Ranks of this run; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class _Gather(torch.autograd.Function):
    """Forward: rows of all ranks. Backward: each rank gets the sum of what all want of its rows.

    With a loss averaged over local queries and DDP's mean over ranks this is the gradient of one
    rank with the whole batch. A gather without the sum (the usual mistake) loses the gradient that
    reaches a passage as the negative of another rank's query.
    """

    @staticmethod
    def forward(_ctx: Any, rows: Tensor) -> Tensor:
        gathered = rows.new_empty((dist.get_world_size() * rows.shape[0], *rows.shape[1:]))
        dist.all_gather_into_tensor(gathered, rows.contiguous())
        return gathered

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        share = gradient.shape[0] // dist.get_world_size()
        if dist.get_backend() == "nccl":
            own = gradient.new_empty((share, *gradient.shape[1:]))
            dist.reduce_scatter_tensor(own, gradient.contiguous())
            return own
        # The gradient that autograd hands over may be shared with others: sum a copy.
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        first = dist.get_rank() * share
        return total[first : first + share]


def gather_rows(rows: Tensor) -> Tensor:
    """All ranks' rows, [world × n, D], rank by rank, with gradient to all; n is equal on all."""
    return rows if world_size() == 1 else _Gather.apply(rows)


def gather_constant(rows: Tensor) -> Tensor:
    """All ranks' rows, [world × n, …], rank by rank, without gradient: labels, counts, masks."""
    if world_size() == 1:
        return rows
    # NCCL has no booleans.
    own = rows.byte() if rows.dtype == torch.bool else rows.contiguous()
    gathered = own.new_empty((world_size() * own.shape[0], *own.shape[1:]))
    dist.all_gather_into_tensor(gathered, own)
    return gathered.to(rows.dtype)


def gather_numbers(numbers: list[float], device: torch.device) -> Tensor:
    """float64 [world, n] on the CPU: the same few numbers of every rank. One small collective."""
    own = torch.tensor(numbers, dtype=torch.float64, device=device)
    if world_size() == 1:
        return own.unsqueeze(0).cpu()
    gathered = own.new_empty((world_size() * len(numbers),))
    dist.all_gather_into_tensor(gathered, own)
    return gathered.view(world_size(), -1).cpu()
