"""Writes weights as safetensors; the counterpart of guard/load.py."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn


def save_dense(
    folder: Path, layer: nn.Module, whole_state: dict[str, torch.Tensor] | None, prefix: str
) -> None:
    """Writes a dense layer's weights under the names that sentence-transformers reads.

    Args:
        folder: Made if it is missing.
        layer: Taken as it is, unless `whole_state` is given.
        whole_state: The encoder's whole state; the layer's part begins with `prefix`.
        prefix: e.g. "dense.0.".
    """
    state = layer.state_dict()
    if whole_state is not None:
        state = {
            name.removeprefix(prefix): value
            for name, value in whole_state.items()
            if name.startswith(prefix)
        }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: value.detach().cpu().contiguous() for name, value in state.items()},
        folder / "model.safetensors",
    )
