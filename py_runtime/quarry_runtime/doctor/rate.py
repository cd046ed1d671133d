"""How many texts a second are encoded, on a sample of the very passages."""

from __future__ import annotations

import time

import numpy as np
import torch

from quarry_runtime.modeling.encoder import Encoder
from quarry_runtime.modeling.tokens import plan_batches


def encode_rate(
    encoder: Encoder, ids: list[list[int]], batch_size: int, seconds: float, device: str
) -> float:
    """Texts a second, batches sorted by length as workers do it; the first batch warms up.

    Args:
        ids: Token ids of a random sample, so that its lengths are those of all.
        batch_size: Texts in a forward pass.
        seconds: When to stop; at least one batch is measured.
    """
    lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
    plan = plan_batches(lengths, batch_size)
    # Any first part of the plan would hold the longest texts: take batches from all of it.
    order = np.random.default_rng(0).permutation(len(plan))
    done = 0
    with torch.inference_mode():
        _forward(encoder, [ids[place] for place in plan[-1]], device)
        began = time.perf_counter()
        for number in order:
            _forward(encoder, [ids[place] for place in plan[number]], device)
            done += len(plan[number])
            if time.perf_counter() - began > seconds:
                break
        return done / (time.perf_counter() - began)


def _forward(encoder: Encoder, ids: list[list[int]], device: str) -> None:
    batch = {name: tensor.to(device) for name, tensor in encoder.collate(ids).items()}
    # To the CPU, which waits for the device.
    encoder(batch, "passage").cpu()
