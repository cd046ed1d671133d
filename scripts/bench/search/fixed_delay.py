"""A plugin whose encoder sleeps in place of a model: the device of a simulated node.

Every batch takes `seconds`, times $QUARRY_BENCH_SLOWNESS of the node. Vectors are random, from a seed
that the texts give, so that a unit has the same scores wherever it is done. Reading, scoring, the
running top-k and the way back are Quarry's own.
"""

import os
import time
import zlib
from typing import Any

import msgspec
import torch
from torch import nn

from quarry_runtime.modeling.encoder import Encoder
from quarry_runtime.modeling.registry import register_encoder

SLOWNESS = float(os.environ.get("QUARRY_BENCH_SLOWNESS", "1"))


class Delay(msgspec.Struct):
    """How long a batch takes on a node of full speed."""

    seconds: float = 0.0


class NoModel(nn.Module):
    """Stands where a transformer would."""

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


class Checksums:
    """A tokenizer that gives one number for each text."""

    pad_token_id = 0
    eos_token_id = 0
    is_fast = False

    def __call__(self, texts: list[str], **_: Any) -> dict[str, list[list[int]]]:
        return {"input_ids": [[zlib.crc32(text.encode())] for text in texts]}


class Sleeper(Encoder):
    """Sleeps, then gives random vectors of length 1."""

    def __init__(self, seconds: float, resolved: Any, contract: Any) -> None:
        super().__init__(NoModel(), Checksums(), resolved, contract)
        self._seconds = seconds * SLOWNESS

    def forward(self, batch: dict[str, torch.Tensor], side: Any = "passage") -> torch.Tensor:  # noqa: ARG002
        """Vectors [B, D] in float32."""
        seeds_BT = batch["input_ids"]
        time.sleep(self._seconds)
        generator = torch.Generator().manual_seed(int(seeds_BT[0, 0]))
        shape = (len(seeds_BT), self.contract.dimension)
        return nn.functional.normalize(torch.randn(shape, generator=generator), dim=-1)


@register_encoder("fixed_delay", options=Delay)
def fixed_delay(resolved: Any, spec: Any, dtype: str, options: Delay) -> Encoder:
    """Sleeps a fixed time for each batch."""
    return Sleeper(options.seconds, resolved, resolved.contract(dtype, spec))
