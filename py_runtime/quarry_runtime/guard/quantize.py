"""Weights in 8 or 4 bits, as bitsandbytes has them."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import torch

from quarry_runtime.errors import EnvironmentFault


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

    if quantization == "8bit":
        config = transformers.BitsAndBytesConfig(load_in_8bit=True)
    else:
        config = transformers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=getattr(torch, dtype),
        )
    # Quantised weights are made on the device and stay there; each rank has its own.
    number = int(os.environ.get("LOCAL_RANK", "0"))
    device = f"cuda:{number}" if torch.cuda.is_available() else "cpu"
    return {"quantization_config": config, "device_map": {"": device}}
