"""Names of encoders, poolings, losses, retrievers and similarities: what `quarry inspect` lists."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import pkgutil
import typing
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import msgspec

from quarry_runtime.errors import ConfigError
from quarry_runtime.modeling.options import Option, options_of
from quarry_runtime.modeling.plugins import BUILT_IN, load_plugins, origin_of, place_of

__all__ = [
    "KINDS",
    "Kind",
    "Option",
    "Registered",
    "find",
    "load_plugins",
    "register_encoder",
    "register_loss",
    "register_pooling",
    "register_retriever",
    "register_similarity",
    "registered",
]

T = TypeVar("T")
Kind = Literal["encoder", "pooling", "loss", "retriever", "similarity"]
KINDS: tuple[Kind, ...] = typing.get_args(Kind)
#: Packages whose modules register what comes with Quarry; whole retrievers are plugins' alone.
_BUILT_IN: dict[Kind, str] = {
    "encoder": "quarry_runtime.modeling.encoders",
    "pooling": "quarry_runtime.modeling.poolings",
    "loss": "quarry_runtime.modeling.losses",
    "similarity": "quarry_runtime.modeling.similarities",
}
#: What those packages register: known without importing them, so that no plugin takes such a name first.
BUILT_IN_NAMES: dict[Kind, frozenset[str]] = {
    "encoder": frozenset({"auto"}),
    "pooling": frozenset({"cls", "last", "max", "mean", "mean_sqrt_len", "weightedmean"}),
    "loss": frozenset(
        {
            "cosent",
            "infonce",
            "kl",
            "lambdarank",
            "listwise",
            "margin_mse",
            "triplet",
            "ws_contrastive",
        }
    ),
    "retriever": frozenset(),
    "similarity": frozenset({"cosine", "dot", "euclidean", "manhattan"}),
}


@dataclasses.dataclass(frozen=True)
class Registered:
    """A component under its name; `factory` is whatever was decorated (a class or a function)."""

    kind: Kind
    name: str
    sentence: str
    factory: Callable[..., Any]
    options_type: type | None
    #: "built-in", or the plugin's file.
    origin: str

    @property
    def is_plugin(self) -> bool:
        """Whether a user's file brought it."""
        return self.origin != BUILT_IN

    def options(self) -> list[Option]:
        """The options in the order they were written."""
        return [] if self.options_type is None else options_of(self.options_type)

    def parse(self, given: dict[str, Any]) -> Any:
        """A user's options as an instance of `options_type`; camelCase names are accepted.

        Raises:
            ConfigError: an unknown option (the nearest name is in the hint), one that is given under
                two names, or a value of the wrong type.
        """
        options = self.options()
        # A field's own name last: it stays where another one's is the same in camelCase.
        known = {option.names[n]: option.encoded_name for n in (2, 1, 0) for option in options}
        plain: dict[str, Any] = {}
        for key, value in given.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                offered = ", ".join(sorted(option.name for option in options)) or "none"
                hint = f"Did you mean {near[0]}?" if near else f"It has these options: {offered}."
                raise ConfigError(f"{self.name} has no option {key!r}.", hint=hint)
            if known[key] in plain:
                raise ConfigError(
                    f"{self.name} is given an option twice, once as {key!r}.",
                    hint="Keep one of them.",
                )
            plain[known[key]] = value
        if self.options_type is None:
            return None
        try:
            return msgspec.convert(plain, self.options_type, strict=True)
        except msgspec.ValidationError as error:
            raise ConfigError(f"Options of {self.name}: {error}.") from error

    def make(self, *args: Any) -> Any:
        """Calls the factory.

        Raises:
            ConfigError: what a plugin's factory raised, with its file and line.
        """
        try:
            return self.factory(*args)
        except TypeError as error:
            if not self.is_plugin or place_of(error) is not None:
                raise
            # It was never entered: the call does not fit its parameters.
            raise ConfigError(
                f"Plugin {self.origin}: the {self.kind} {self.name} cannot be made: {error}.",
                hint=f"See register_{self.kind} for the arguments that it is called with.",
            ) from error


_REGISTRY: dict[Kind, dict[str, Registered]] = {kind: {} for kind in KINDS}


def register_encoder(name: str, options: type | None = None) -> Callable[[T], T]:
    """Registers an encoder under a name: what a user writes as `model.encoder`.

    Three things can be decorated:

    - a subclass of modeling.encoder.Encoder, which overrides what it wants to have different;
    - any other nn.Module: made as `Module(folder, options)`, called as `module(batch, side)`; see
      modeling/module_encoder.py;
    - a function `(resolved, spec, dtype, options) -> Encoder`.

    Args:
        name: What a user writes.
        options: A msgspec.Struct or dataclass; each field is one option. A field's sentence is
            `Annotated[float, msgspec.Meta(description="...")]`, or `field(metadata={"sentence":
            "..."})`.

    Example:
        @register_encoder("shouting")
        class Shouting(Encoder):
            def format_query(self, text, extras):
                return text.upper()
    """
    return _register("encoder", name, options)


def register_pooling(name: str) -> Callable[[T], T]:
    """Registers a function `(hidden [B, T, H], mask [B, T]) -> vectors [B, H]` under a name.

    Example:
        @register_pooling("smallest")
        def smallest(hidden_BTH, mask_BT):
            return hidden_BTH.masked_fill(mask_BT.unsqueeze(-1) == 0, float("inf")).amin(1)
    """
    return _register("pooling", name, None)


def register_loss(name: str, options: type | None = None) -> Callable[[T], T]:
    """Registers a loss: made as `Loss(options)`, called with LossInputs, gives a scalar.

    Args:
        name: What a user writes as `train.loss.name`.
        options: See register_encoder.
    """
    return _register("loss", name, options)


def register_retriever(name: str, options: type | None = None) -> Callable[[T], T]:
    """Registers a whole retriever: queries and passages in, loss out.

    Either a subclass of training.retriever.Retriever, or any nn.Module: made as `Module(encoder,
    loss, options)`, called as `module(queries, passages, batch)` with both sides' tensors and a
    TrainingBatch; gives a scalar. The encoder that it keeps as `self.encoder` is what checkpoints
    hold.

    Args:
        name: What a user writes as `train.retriever.name`.
        options: See register_encoder.
    """
    return _register("retriever", name, options)


def register_similarity(name: str) -> Callable[[T], T]:
    """Registers a function `(queries [Q, D], passages [N, D]) -> scores [Q, N]` under a name.

    Vectors are float32 tensors on the device that scores. The score of a pair must be finite, and
    must depend on the pair alone: which passages come together is nobody's to choose.

    Example:
        @register_similarity("squared")
        def squared(queries_QD, passages_ND):
            return (queries_QD @ passages_ND.T) ** 2
    """
    return _register("similarity", name, None)


def registered(kind: Kind) -> dict[str, Registered]:
    """Everything of a kind by name, what loaded plugins brought included."""
    if kind in _BUILT_IN:
        package = importlib.import_module(_BUILT_IN[kind])
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")
    return dict(sorted(_REGISTRY[kind].items()))


def _register(kind: Kind, name: str, options: type | None) -> Callable[[T], T]:
    def decorate(factory: T) -> T:
        earlier = _REGISTRY[kind].get(name)
        origin = origin_of(factory)
        taken_by = None if earlier is None or earlier.factory is factory else earlier.origin
        if origin != BUILT_IN and name in BUILT_IN_NAMES[kind]:
            taken_by = BUILT_IN
        if taken_by is not None:
            raise ConfigError(
                f"Two {kind} components are called {name!r}: one is {_from(taken_by)},"
                f" the other {_from(origin)}.",
                hint="Rename one.",
            )
        if not callable(factory):
            raise ConfigError(f"The {kind} {name!r} is neither a class nor a function.")
        lines = ((getattr(factory, "__doc__", None) or "").strip() or name).splitlines()
        _REGISTRY[kind][name] = Registered(kind, name, lines[0].strip(), factory, options, origin)
        return factory

    return decorate


def find(kind: Kind, name: str) -> Registered:
    """The component of that name.

    Raises:
        ConfigError: there is none; the nearest name, or all that are registered, are in the hint.
    """
    # What is registered already is taken as it is: importing every built-in costs seconds of torch.
    if name in _REGISTRY[kind]:
        return _REGISTRY[kind][name]
    known = registered(kind)
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, sorted(known), n=1)
    if not known:
        hint = f"Nothing registers a {kind}: name the Python file that does in model.plugins."
        raise ConfigError(f"No {kind} is called {name!r}.", hint=hint)
    meant = f"Did you mean {near[0]}? " if near else ""
    listed = ", ".join(f"{each.name} ({each.origin})" for each in known.values())
    raise ConfigError(f"No {kind} is called {name!r}.", hint=f"{meant}Registered are: {listed}.")


def _from(origin: str) -> str:
    return origin if origin == BUILT_IN else f"from {origin}"
