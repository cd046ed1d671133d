"""From a task's names to what is trained: its loss, and the retriever around encoder and loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from quarry_runtime.errors import ConfigError, QuarryError
from quarry_runtime.modeling.options import create
from quarry_runtime.modeling.plugins import explained
from quarry_runtime.modeling.registry import Registered, find_loss, find_retriever
from quarry_runtime.training.module_retriever import ModuleRetriever
from quarry_runtime.training.retriever import Retriever

if TYPE_CHECKING:
    from quarry_runtime.modeling.encoder import Encoder
    from quarry_runtime.protocol.messages import TrainTask


def build_loss(name: str, options: dict[str, Any]) -> Any:
    """The loss of a name, with its options.

    Raises:
        ConfigError: no such loss or option, or a plugin's that cannot be made or called.
    """
    entry = find_loss(name)
    loss = _made(entry, entry.parse(options))
    if not callable(loss) or (isinstance(loss, nn.Module) and _lacks_forward(loss)):
        raise ConfigError(
            f"Plugin {entry.origin}: the loss {name} has no forward.",
            hint="A loss is made with its options and called with LossInputs: def forward(self,"
            " batch).",
        )
    return loss


def build_retriever(task: TrainTask, encoder: Encoder, loss: Any) -> Retriever:
    """Encoder and loss under one forward: Quarry's own retriever or a plugin's.

    Raises:
        ConfigError: no such retriever or option, or a plugin's that cannot be made, has no forward
            or keeps no encoder.
    """
    common = (encoder.contract.similarity, task.is_dropout_on)
    if task.retriever is None:
        return Retriever(encoder, loss, *common)
    entry = find_retriever(task.retriever.name)
    options = entry.parse(task.retriever.options)
    factory: Any = entry.factory
    if isinstance(factory, type) and issubclass(factory, Retriever):
        return _guarded(entry, lambda: create(factory, options, encoder, loss, *common))
    module = _made(entry, encoder, loss, options)
    who = f"Plugin {entry.origin}: the retriever {entry.name}"
    if not isinstance(module, nn.Module) or _lacks_forward(module):
        raise ConfigError(
            f"{who} has no forward.",
            hint="Give an nn.Module with forward(queries, passages, batch) -> loss.",
        )
    if not hasattr(getattr(module, "encoder", None), "save"):
        raise ConfigError(
            f"{who} keeps no encoder, so there would be nothing to save.",
            hint="Keep the encoder that __init__ gets: self.encoder = encoder.",
        )
    return ModuleRetriever(module, *common)


def _made(entry: Registered, *args: Any) -> Any:
    return _guarded(entry, lambda: entry.make(*args))


def _guarded(entry: Registered, make: Any) -> Any:
    try:
        return make()
    except QuarryError:
        raise
    except Exception as error:
        if not entry.is_plugin:
            raise
        raise explained(error) or error from error


def _lacks_forward(module: nn.Module) -> bool:
    # nn.Module has one that only raises.
    return type(module).forward is nn.Module.forward
