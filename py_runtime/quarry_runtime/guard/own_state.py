"""What a plugin's encoder learns outside of the layouts: kept beside the model, in safetensors."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from quarry_runtime.errors import IntegrityError
from quarry_runtime.guard.save import part_of


def backbone_of(module: nn.Module) -> tuple[str, nn.Module] | None:
    """The first transformers model inside of a module and its name; None where there is none."""
    from transformers import PreTrainedModel

    found = (each for each in module.named_modules() if isinstance(each[1], PreTrainedModel))
    return next(found, None)


def save_own_state(file: Path, state: dict[str, torch.Tensor], held: tuple[str, ...]) -> None:
    """Writes what of a state no other file holds; no file where that is nothing.

    Args:
        file: In the checkpoint's folder.
        state: An encoder's whole state.
        held: Beginnings of names that other files hold.
    """
    # Copies: tensors that share memory are refused.
    own = {
        name: value.detach().cpu().contiguous().clone()
        for name, value in state.items()
        if not name.startswith(held)
    }
    if own:
        save_file(own, file)


def load_own_state(module: nn.Module, file: Path, held: tuple[str, ...]) -> None:
    """Fills a module with what `save_own_state` wrote; does nothing where it wrote nothing.

    Raises:
        IntegrityError: names or shapes that do not fit: the plugin was changed.
    """
    if not file.is_file():
        return
    try:
        wanted = {name for name in module.state_dict() if not name.startswith(held)}
        state = load_file(file)
        different = sorted(wanted.symmetric_difference(state))
        if different:
            raise ValueError(f"{', '.join(different[:5])} on one side only")
        module.load_state_dict(state, strict=False)
    except Exception as error:
        raise IntegrityError(
            f"{file} does not fit the plugin: {error}",
            hint="The checkpoint was saved by another version of the plugin; use that one.",
        ) from error


def save_backbone(
    module: nn.Module, tokenizer: Any, source: Path, folder: Path, state: dict[str, torch.Tensor]
) -> tuple[str, ...]:
    """Makes `folder` what the plugin can be made from again, as it was made from `source`.

    Returns:
        The beginnings of the names of the parameters that the folder now holds.
    """
    found = backbone_of(module)
    if found is None:
        for file in source.iterdir():
            if file.is_file() and (file.name == "config.json" or file.name.startswith("model.")):
                shutil.copy2(file, folder / file.name)
        tokenizer.save_pretrained(folder)
        return ()
    prefix = f"{found[0]}." if found[0] else ""
    backbone: Any = found[1]
    backbone.save_pretrained(folder, state_dict=part_of(state, prefix))
    tokenizer.save_pretrained(folder)
    return (prefix,)
