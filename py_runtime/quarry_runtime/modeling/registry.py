"""Names of encoders, losses and similarities, with typed options: what `quarry inspect` lists."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import importlib.util
import pkgutil
import sys
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from quarry_runtime.errors import ConfigError, EnvironmentFault

T = TypeVar("T")
_BUILT_IN = {
    "encoder": "quarry_runtime.modeling.encoders",
    "loss": "quarry_runtime.modeling.losses",
    "similarity": "quarry_runtime.modeling.similarities",
}


@dataclasses.dataclass(frozen=True)
class Option:
    """One option of a component; `default` is None and `is_required` true where there is none."""

    name: str
    type: str
    default: Any
    is_required: bool
    sentence: str
    #: JSON Schema of its values: ranges and choices; empty where there is none for its type.
    schema: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Registered:
    """A component under its name; `factory` is whatever was decorated (a class or a function)."""

    name: str
    sentence: str
    factory: Callable[..., Any]
    options_type: type | None

    def options(self) -> list[Option]:
        """The options in the order they were written."""
        return [] if self.options_type is None else _options_of(self.options_type)

    def parse(self, given: dict[str, Any]) -> Any:
        """A user's options as an instance of `options_type`; camelCase names are accepted.

        Raises:
            ConfigError: an unknown option (the nearest name is in the hint) or a value of the wrong
                type.
        """
        known = {option.name for option in self.options()}
        plain: dict[str, Any] = {}
        for key, value in given.items():
            snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in key)
            if snake not in known:
                near = difflib.get_close_matches(snake, sorted(known), n=1)
                offered = ", ".join(sorted(known)) or "none"
                hint = f"Did you mean {near[0]}?" if near else f"It has these options: {offered}."
                raise ConfigError(f"{self.name} has no option {key!r}.", hint=hint)
            plain[snake] = value
        if self.options_type is None:
            return None
        try:
            return msgspec.convert(plain, self.options_type, strict=True)
        except msgspec.ValidationError as error:
            raise ConfigError(f"Options of {self.name}: {error}.") from error


_REGISTRY: dict[str, dict[str, Registered]] = {"encoder": {}, "loss": {}, "similarity": {}}


def register_encoder(name: str, options: type | None = None) -> Callable[[T], T]:
    """Registers a factory `(resolved, spec, dtype, options) -> Encoder` under a name.

    Args:
        name: What a user writes as `encoder`.
        options: A msgspec.Struct or dataclass; each field is one option. A field's sentence is
            `Annotated[float, msgspec.Meta(description="...")]`, or `field(metadata={"sentence":
            "..."})`.
    """
    return _register("encoder", name, options)


def register_loss(name: str, options: type | None = None) -> Callable[[T], T]:
    """Registers a loss (a class or factory taking its parsed options); see register_encoder."""
    return _register("loss", name, options)


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


def encoders() -> dict[str, Registered]:
    """Every registered encoder by name, those of loaded plugins included."""
    return _all("encoder")


def losses() -> dict[str, Registered]:
    """Every registered loss by name, those of loaded plugins included."""
    return _all("loss")


def similarities() -> dict[str, Registered]:
    """Every registered similarity by name, those of loaded plugins included."""
    return _all("similarity")


def find_encoder(name: str) -> Registered:
    """The encoder of that name; ConfigError with the nearest name otherwise."""
    return _find("encoder", name)


def find_loss(name: str) -> Registered:
    """The loss of that name; ConfigError with the nearest name otherwise."""
    return _find("loss", name)


def find_similarity(name: str) -> Registered:
    """The similarity of that name; ConfigError with the nearest name otherwise."""
    return _find("similarity", name)


def load_plugins(paths: list[str]) -> None:
    """Runs a user's Python files, each once, so that what they register is found by name.

    Raises:
        EnvironmentFault: a file that is not there.
        ConfigError: a file that raises when it runs.
    """
    for path in paths:
        file = Path(path).resolve()
        name = f"quarry_plugin_{file.stem}_{abs(hash(str(file))):x}"
        if name in sys.modules:
            continue
        if not file.is_file():
            raise EnvironmentFault(f"Plugin {path} is not a file.", hint="Correct `plugins`.")
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None:
            raise ConfigError(f"Plugin {path} is not a Python file.", hint="Name a .py file.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[name]
            raise ConfigError(f"Plugin {path}: {type(error).__name__}: {error}") from error


def _register(kind: str, name: str, options: type | None) -> Callable[[T], T]:
    def decorate(factory: T) -> T:
        earlier = _REGISTRY[kind].get(name)
        if earlier is not None and earlier.factory is not factory:
            raise ConfigError(f"Two {kind} components are called {name!r}.", hint="Rename one.")
        lines = ((getattr(factory, "__doc__", None) or "").strip() or name).splitlines()
        entry = Registered(
            name, lines[0].strip(), typing.cast(Callable[..., Any], factory), options
        )
        _REGISTRY[kind][name] = entry
        return factory

    return decorate


def _all(kind: str) -> dict[str, Registered]:
    package = importlib.import_module(_BUILT_IN[kind])
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return dict(sorted(_REGISTRY[kind].items()))


def _find(kind: str, name: str) -> Registered:
    # What is registered already is taken as it is: importing every built-in costs seconds of torch.
    entry = _REGISTRY[kind].get(name) or _all(kind).get(name)
    if entry is not None:
        return entry
    names = sorted(_REGISTRY[kind])
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"Did you mean {near[0]}?" if near else f"Registered are: {', '.join(names)}."
    raise ConfigError(f"No {kind} is called {name!r}.", hint=hint)


def _options_of(options_type: type) -> list[Option]:
    hints = typing.get_type_hints(options_type, include_extras=True)
    schemas = _schemas_of(options_type)
    found: list[Option] = []
    if dataclasses.is_dataclass(options_type):
        for field in dataclasses.fields(options_type):
            missing = field.default is dataclasses.MISSING
            factory = field.default_factory
            default = factory() if factory is not dataclasses.MISSING else field.default
            is_required = missing and factory is dataclasses.MISSING
            sentence = field.metadata.get("sentence") or _sentence(hints[field.name])
            value = None if is_required else default
            found.append(
                Option(
                    field.name,
                    _type_text(hints[field.name]),
                    value,
                    is_required,
                    sentence,
                    schemas.get(field.name, {}),
                )
            )
        return found
    for field in msgspec.structs.fields(typing.cast(Any, options_type)):
        is_required = field.required
        default = None if is_required else field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        hint = hints[field.name]
        found.append(
            Option(
                field.name,
                _type_text(hint),
                default,
                is_required,
                _sentence(hint),
                schemas.get(field.name, {}),
            )
        )
    return found


def _schemas_of(options_type: type) -> dict[str, dict[str, Any]]:
    """The JSON Schema of each field; none where a field has a type that JSON does not know."""
    try:
        _, components = msgspec.json.schema_components([options_type])
    except TypeError:
        return {}
    return components.get(options_type.__name__, {}).get("properties", {})


def _sentence(hint: Any) -> str:
    for note in getattr(hint, "__metadata__", ()):
        if isinstance(note, msgspec.Meta) and note.description:
            return note.description
    return ""


def _type_text(hint: Any) -> str:
    if hasattr(hint, "__metadata__"):
        return _type_text(hint.__origin__)
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return " | ".join(repr(value) for value in typing.get_args(hint))
    if origin in (typing.Union, types.UnionType):
        return " | ".join(_type_text(part) for part in typing.get_args(hint))
    if origin is not None:
        inner = ", ".join(_type_text(part) for part in typing.get_args(hint))
        return f"{getattr(origin, '__name__', str(origin))}[{inner}]"
    return "None" if hint is type(None) else getattr(hint, "__name__", str(hint))
