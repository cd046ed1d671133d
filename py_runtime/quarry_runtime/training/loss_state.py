"""What is trained beside the encoder (a temperature, a plugin's layers): saved with a checkpoint, and loaded."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from quarry_runtime.errors import ConfigError
from quarry_runtime.guard.own_state import load_own_state, save_own_state
from quarry_runtime.training.retriever import Retriever

NAME = "quarry_loss.safetensors"


def save_loss(folder: Path, retriever: Retriever, state: dict[str, Tensor] | None = None) -> None:
    """Writes all of the retriever's state that is not the encoder's; nothing where there is none.

    Args:
        folder: Is there already.
        retriever: Unwrapped.
        state: Its whole state, where parameters are sharded.
    """
    whole = retriever.state_dict() if state is None else state
    save_own_state(folder / NAME, whole, (retriever.encoder_prefix,))


def load_loss(folder: Path, retriever: Retriever) -> None:
    """Fills what is beside the encoder with what a checkpoint had learned.

    Raises:
        ConfigError: the checkpoint was trained with losses that learn nothing and these do, or the
            other way round.
        IntegrityError: a file that cannot be read, or that has other names or shapes.
    """
    file, prefix = folder / NAME, retriever.encoder_prefix
    learned = sorted(name for name in retriever.state_dict() if not name.startswith(prefix))
    if file.is_file() != bool(learned):
        before = "something" if file.is_file() else "nothing"
        raise ConfigError(
            f"{folder} was trained with losses that learn {before}, not {', '.join(learned) or 'nothing'}.",
            hint="Put train.loss back as it was (learnableTemperature too), or choose another runDir.",
        )
    load_own_state(retriever, file, (prefix,))
