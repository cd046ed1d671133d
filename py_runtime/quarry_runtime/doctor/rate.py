"""How many texts or pairs a second a model works through, on a sample of the very ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence, Sized
from typing import TypeVar

import numpy as np
import torch

from quarry_runtime.modeling.tokens import plan_batches

Item = TypeVar("Item", bound=Sized)


def rate_of(
    items: Sequence[Item], forward: Callable[[list[Item]], object], batch_size: int, seconds: float
) -> float:
    """Items a second, batches sorted by length as workers do it; the first batch warms up.

    Args:
        items: Tokens of a random sample, so that its lengths are those of all.
        forward: Computes a batch, and waits for the device.
        batch_size: Items in a forward pass.
        seconds: When to stop; at least one batch is measured.
    """
    lengths = np.fromiter(map(len, items), dtype=np.int64, count=len(items))
    plan = plan_batches(lengths, batch_size)
    # Any first part of the plan would hold the longest texts: take batches from all of it.
    order = np.random.default_rng(0).permutation(len(plan))
    done = 0
    with torch.inference_mode():
        forward([items[place] for place in plan[-1]])
        began = time.perf_counter()
        for number in order:
            forward([items[place] for place in plan[number]])
            done += len(plan[number])
            if time.perf_counter() - began > seconds:
                break
        return done / (time.perf_counter() - began)
