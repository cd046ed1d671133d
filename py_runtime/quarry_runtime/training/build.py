"""From a task's names to what is trained: its losses, and the retriever around encoder and losses."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from quarry_runtime.errors import ConfigError, QuarryError
from quarry_runtime.modeling.options import create
from quarry_runtime.modeling.plugins import explained
from quarry_runtime.modeling.registry import Registered, find
from quarry_runtime.training.module_retriever import ModuleRetriever
from quarry_runtime.training.objective import Objective, Term
from quarry_runtime.training.retriever import Retriever

if TYPE_CHECKING:
    from quarry_runtime.modeling.encoder import Encoder
    from quarry_runtime.protocol.messages import LossSpec, ModelContract, TrainTask


def build_loss(name: str, options: dict[str, Any]) -> Any:
    """The loss of a name, with its options.

    Raises:
        ConfigError: no such loss or option, or a plugin's that cannot be made or called.
    """
    entry = find("loss", name)
    parsed = entry.parse(options)
    try:
        loss = _made(entry, parsed)
    except ConfigError as error:
        # As likely as not it was written to take the batch.
        if parsed is None and inspect.isfunction(entry.factory):
            said = error.message.removesuffix(".")
            raise ConfigError(
                f"{said}; it was called as {name}(options), without options: None.",
                hint=f"A function gives the loss: def {name}(options): def loss(batch): …; return loss.",
            ) from error
        raise
    if not callable(loss) or (isinstance(loss, nn.Module) and _lacks_forward(loss)):
        raise ConfigError(
            f"Plugin {entry.origin}: the loss {name} has no forward.",
            hint="A loss is made with its options and called with LossInputs: def forward(self,"
            " batch).",
        )
    return loss


def build_objective(task: TrainTask, contract: ModelContract) -> Objective:
    """What a train task minimises.

    Raises:
        ConfigError: an unknown loss, option or source, a loss of a plugin that cannot be made, or a
            Matryoshka dimension beyond the model's.
    """
    terms = [_term(spec, task.sources, contract.dimension) for spec in task.losses]
    return Objective(terms, contract.normalize or contract.similarity == "cosine")


def build_retriever(task: TrainTask, encoder: Encoder, loss: Any) -> Retriever:
    """Encoder and losses under one forward: Quarry's own retriever or a plugin's.

    Args:
        loss: As Retriever takes it.

    Raises:
        ConfigError: no such retriever or option, or a plugin's that cannot be made, has no forward
            or keeps no encoder.
    """
    common = (encoder.contract.similarity, task.is_dropout_on)
    if task.retriever is None:
        return Retriever(encoder, loss, *common)
    entry = find("retriever", task.retriever.name)
    options = entry.parse(task.retriever.options)
    factory: Any = entry.factory
    if isinstance(factory, type) and issubclass(factory, Retriever):
        if factory.forward is not Retriever.forward:
            _whole(task, None)
        return _guarded(entry, lambda: create(factory, options, encoder, loss, *common))
    module = _made(entry, encoder, _whole(task, loss), options)
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


def _term(spec: LossSpec, sources: Sequence[str], dimension: int) -> Term:
    loss = build_loss(spec.name, spec.options)
    for name in spec.sources:
        if name not in sources:
            raise ConfigError(
                f"train.loss: {spec.name} is for the source {name!r}, which the data does not have.",
                hint=f"There are {', '.join(sources)}.",
            )
    # Several parts may share a name.
    wanted = tuple(number for number, name in enumerate(sources) if name in spec.sources)
    dimensions = None
    if spec.matryoshka is not None:
        sizes = spec.matryoshka.dimensions
        if not all(1 <= size <= dimension for size in sizes):
            raise ConfigError(
                f"train.loss: matryoshka has the dimensions {sizes}, the model has {dimension}.",
                hint=f"Take dimensions from 1 to {dimension}.",
            )
        dimensions = list(zip(sizes, spec.matryoshka.weights or [1.0] * len(sizes), strict=True))
    return Term(loss, spec.weight, wanted if spec.sources else None, dimensions)


def _whole(task: TrainTask, loss: Any) -> Any:
    """What a whole retriever of a plugin gets as its loss.

    Raises:
        ConfigError: what only Quarry's own forward can do was asked for.
    """
    assert task.retriever is not None
    if task.mini_batch_size is not None:
        raise ConfigError(
            f"train.miniBatchSize cuts Quarry's own forward in pieces; the retriever {task.retriever.name} has its"
            " own.",
            hint="Leave train.miniBatchSize or train.retriever out.",
        )
    if (task.length_groups or 1) > 1:
        raise ConfigError(
            f"train.lengthGroups cuts the texts for Quarry's own forward; the retriever {task.retriever.name} has its"
            " own.",
            hint="Leave train.lengthGroups or train.retriever out.",
        )
    if not isinstance(loss, Objective):
        return loss
    term = loss.terms[0]
    if len(loss.terms) > 1 or term != Term(term.loss):
        raise ConfigError(
            f"The retriever {task.retriever.name} takes one loss, without weight, sources or matryoshka.",
            hint="Give train.loss one loss by name and options.",
        )
    return term.loss


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
