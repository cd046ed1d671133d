"""Writes weights as safetensors; the counterpart of guard/load.py."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn


def save_weights(
    folder: Path, module: nn.Module, state: dict[str, torch.Tensor] | None = None
) -> None:
    """Writes a module's weights under the names that sentence-transformers reads; none, no file.

    Args:
        folder: Made if it is missing.
        module: Taken as it is, unless `state` is given.
        state: The module's whole state, where its own parameters are sharded.
    """
    state = module.state_dict() if state is None else state
    folder.mkdir(parents=True, exist_ok=True)
    if state:
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in state.items()},
            folder / "model.safetensors",
        )


def part_of(state: dict[str, torch.Tensor] | None, prefix: str) -> dict[str, torch.Tensor] | None:
    """What of a state lies under a prefix, without it; None of None, where a module has its own at hand."""
    if state is None:
        return None
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }


@contextlib.contextmanager
def disk_errors() -> Iterator[None]:
    """Has what a disk refuses to safetensors, which words it in its own way, raised as OSError too."""
    try:
        yield
    except SafetensorError as error:
        told = re.search(r"\(os error (\d+)\)", str(error))
        if told is None:
            raise
        raise OSError(int(told[1]), os.strerror(int(told[1]))) from error
