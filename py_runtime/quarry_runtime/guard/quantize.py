"""Weights in 8 or 4 bits, as bitsandbytes has them."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import torch
from torch import nn

from quarry_runtime.errors import EnvironmentFault

#: Where the weights of a model that is being loaded are to lie; None: on the device of this rank.
_home: ContextVar[str | None] = ContextVar("home", default=None)


@contextlib.contextmanager
def quantized_on(device: str | None) -> Iterator[None]:
    """Says where weights that are quantised meanwhile are made, since they stay there.

    Args:
        device: As torch names it; None for the device that this rank trains on.
    """
    before = _home.set(device)
    try:
        yield
    finally:
        _home.reset(before)


def quantized(checkpoint: str, quantization: str, dtype: str) -> dict[str, Any]:
    """Arguments of from_pretrained that load weights in 8 bits, or in 4 (NF4, Dettmers et al. 2023,
    QLoRA, https://arxiv.org/abs/2305.14314).

    Args:
        checkpoint: For the message.
        quantization: "8bit" or "4bit".
        dtype: What is computed in.

    Raises:
        EnvironmentFault: bitsandbytes is not installed.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise EnvironmentFault(
            f"{checkpoint} is to be loaded in {quantization.removesuffix('bit')} bits, which needs"
            " the Python package bitsandbytes; it is not installed.",
            hint="Install it beside torch: python -m pip install bitsandbytes; or leave"
            " model.quantization out.",
        )
    import transformers

    quieten()
    if quantization == "8bit":
        config = transformers.BitsAndBytesConfig(load_in_8bit=True)
    else:
        config = transformers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=getattr(torch, dtype),
        )
    return {"quantization_config": config, "device_map": {"": _home.get() or _own_device()}}


def quieten() -> None:
    """Keeps bitsandbytes' warnings out of the logs, also where another package imports it.

    In 8 bits there is one for each layer of each batch, that it casts; on some CPUs one at its
    import, that native code could be had from the hub, which nobody asked for.
    """
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def settle(transformer: nn.Module) -> None:
    """Has 4 bits computed alike on every CPU, with gradient and without.

    Where a CPU knows bfloat16 (AVX-512 BF16), bitsandbytes 0.50 rewrites the weights at the first
    forward in eval mode without gradient, for a product that has none: after GradCache's first pass
    the second one fails, layers narrower than 64 fail at once, and vectors depend on the machine.
    """
    for module in transformer.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]


def _own_device() -> str:
    if not torch.cuda.is_available():
        return "cpu"
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
