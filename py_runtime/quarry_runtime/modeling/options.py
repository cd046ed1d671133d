"""What a component's options are called, take and mean, read from its msgspec.Struct or dataclass."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Option:
    """One option of a component; `default` is None and `is_required` true where there is none."""

    name: str
    #: As msgspec has it: another one where a Struct renames its fields.
    encoded_name: str
    type: str
    #: The same for TypeScript, e.g. "number | null".
    typescript: str
    default: Any
    is_required: bool
    sentence: str
    #: JSON Schema of its values: ranges and choices; empty where there is none for its type.
    schema: dict[str, Any]

    @property
    def names(self) -> tuple[str, str, str]:
        """What a user may write: the field's own name, the encoded one, the own one in camelCase."""
        # As src/python/declarations.ts writes it.
        camel = re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), self.name)
        return self.name, self.encoded_name, camel


def options_of(options_type: type) -> list[Option]:
    """The options in the order they were written."""
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
            schema = schemas.get(field.name, {})
            hint, names = hints[field.name], (field.name, field.name)
            found.append(_option(names, hint, default, is_required, sentence, schema))
        return found
    for field in msgspec.structs.fields(typing.cast(Any, options_type)):
        default = field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        hint, names = hints[field.name], (field.name, field.encode_name)
        schema = schemas.get(field.encode_name, {})
        found.append(_option(names, hint, default, field.required, _sentence(hint), schema))
    return found


def create(kind: type[T], options: Any, *args: Any, **named: Any) -> T:
    """An instance whose `options` are there from the first line of its `__init__` on.

    So a subclass can make layers of the sizes that a user wants and still leave the parameters of
    the base class's `__init__` alone.
    """
    made = kind.__new__(kind)
    object.__setattr__(made, "options", options)
    typing.cast(Any, made).__init__(*args, **named)
    return made


def _option(
    names: tuple[str, str],
    hint: Any,
    default: Any,
    is_required: bool,
    sentence: str,
    schema: dict[str, Any],
) -> Option:
    value = None if is_required else default
    return Option(*names, _type_text(hint), _typescript(hint), value, is_required, sentence, schema)


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


_PLAIN: dict[Any, str] = {
    str: "string",
    bool: "boolean",
    int: "number",
    float: "number",
    type(None): "null",
}


def _typescript(hint: Any) -> str:
    """A hint as TypeScript writes it; `unknown` for what has no counterpart."""
    if hasattr(hint, "__metadata__"):
        return _typescript(hint.__origin__)
    if hint in _PLAIN:
        return _PLAIN[hint]
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return " | ".join(msgspec.json.encode(value).decode() for value in parts)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(_typescript(part) for part in parts)
    if origin in (list, set, frozenset) or (origin is tuple and parts[1:] == (...,)):
        return f"readonly ({_typescript(parts[0])})[]"
    if origin is tuple:
        return f"readonly [{', '.join(_typescript(part) for part in parts)}]"
    if origin is dict:
        return f"Readonly<Record<string, {_typescript(parts[1])}>>"
    if hint in (list, tuple, set, frozenset):
        return "readonly unknown[]"
    return "unknown"
