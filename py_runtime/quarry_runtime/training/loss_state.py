"""What is trained beside the encoder (a temperature, a plugin's layers): saved with a checkpoint, and loaded."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from quarry_runtime.errors import ConfigError, IntegrityError
from quarry_runtime.training.retriever import Retriever

NAME = "quarry_loss.safetensors"


def save_loss(folder: Path, retriever: Retriever, state: dict[str, Tensor] | None = None) -> None:
    """Writes all of the retriever's state that is not the encoder's; nothing where there is none.

    Args:
        folder: Is there already.
        retriever: Unwrapped.
        state: Its whole state, where parameters are sharded.
    """
    own = _beside_encoder(retriever, retriever.state_dict() if state is None else state)
    if own:
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in own.items()}, folder / NAME
        )


def load_loss(folder: Path, retriever: Retriever) -> None:
    """Fills what is beside the encoder with what a checkpoint had learned.

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
    wanted = _beside_encoder(retriever, retriever.state_dict())
    if _shapes(saved) != _shapes(wanted):
        raise ConfigError(
            f"{folder} was trained with losses that learn {_listed(saved)}, not {_listed(wanted)}.",
            hint="Put train.loss back as it was (learnableTemperature too), or choose another runDir.",
        )
    retriever.load_state_dict(saved, strict=False)


def _beside_encoder(retriever: Retriever, state: dict[str, Tensor]) -> dict[str, Tensor]:
    prefix = retriever.encoder_prefix
    return {name: value for name, value in state.items() if not name.startswith(prefix)}


def _shapes(state: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items()}


def _listed(state: dict[str, Tensor]) -> str:
    return ", ".join(sorted(state)) or "nothing"
