"""What losses have learned themselves, such as a temperature: saved with a checkpoint, and loaded."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from quarry_runtime.errors import ConfigError, IntegrityError

NAME = "quarry_loss.safetensors"


def save_loss(folder: Path, state: dict[str, Tensor]) -> None:
    """Writes the objective's state; nothing where it has none."""
    if state:
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in state.items()},
            folder / NAME,
        )


def load_loss(folder: Path, objective: nn.Module) -> None:
    """Fills the objective with what a checkpoint's losses had learned.

    Raises:
        ConfigError: the checkpoint was trained with losses that learned something else.
        IntegrityError: a file that cannot be read.
    """
    path = folder / NAME
    try:
        saved = load_file(path) if path.exists() else {}
    except Exception as error:
        raise IntegrityError(
            f"{path}: {error}", hint=f"Delete {folder}; the run then goes on from the one before."
        ) from error
    wanted = objective.state_dict()
    shapes = {name: tuple(value.shape) for name, value in wanted.items()}
    if {name: tuple(value.shape) for name, value in saved.items()} != shapes:
        raise ConfigError(
            f"{folder} was trained with losses that learn {_listed(saved)}, not {_listed(wanted)}.",
            hint="Put train.loss back as it was (learnableTemperature too), or choose another runDir.",
        )
    objective.load_state_dict(saved)


def _listed(state: dict[str, Tensor]) -> str:
    return ", ".join(sorted(state)) or "nothing"
