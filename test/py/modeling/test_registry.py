"""Names, options and plugins: what is found, what is refused, and with which hint."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest

from quarry_runtime.errors import ConfigError, EnvironmentFault
from quarry_runtime.inspect import registered
from quarry_runtime.modeling import registry

pytestmark = pytest.mark.usefixtures("leave_no_names")


class Structured(msgspec.Struct):
    margin: Annotated[float, msgspec.Meta(gt=0, description="How far apart.")]
    mode: Literal["a", "b"] = "a"


class Endless(msgspec.Struct):
    limit: float = math.inf


@dataclasses.dataclass
class Plain:
    top_k: int | None = dataclasses.field(default=None, metadata={"sentence": "How many."})


def test_options_are_listed_with_type_default_and_sentence() -> None:
    registry.register_loss("structured", Structured)(lambda options: options)
    registry.register_loss("plain", Plain)(lambda options: options)
    registry.register_loss("endless", Endless)(lambda options: options)
    listed = {entry["name"]: entry["options"] for entry in registered()["losses"]}
    assert listed["structured"] == [
        {
            "name": "margin",
            "type": "float",
            "typescript": "number",
            "schema": {
                "type": "number",
                "exclusiveMinimum": 0,
                "description": "How far apart.",
            },
            "default": None,
            "isRequired": True,
            "sentence": "How far apart.",
        },
        {
            "name": "mode",
            "type": "'a' | 'b'",
            "typescript": '"a" | "b"',
            "schema": {"enum": ["a", "b"], "default": "a"},
            "default": "a",
            "isRequired": False,
            "sentence": "",
        },
    ]
    assert listed["endless"] == [
        {
            "name": "limit",
            "type": "float",
            "typescript": "number",
            "schema": {"type": "number"},
            # JSON has no word for it.
            "default": None,
            "defaultText": "inf",
            "isRequired": False,
            "sentence": "",
        }
    ]
    assert listed["plain"] == [
        {
            "name": "top_k",
            "type": "int | None",
            "typescript": "number | null",
            "schema": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
            "default": None,
            "isRequired": False,
            "sentence": "How many.",
        }
    ]


def test_options_are_checked_and_camel_case_is_understood() -> None:
    registry.register_loss("structured", Structured)(object)
    registry.register_loss("plain", Plain)(object)
    assert registry.find("loss", "plain").parse({"topK": 3}) == Plain(3)
    entry = registry.find("loss", "structured")
    assert entry.parse({"margin": 1.5}) == Structured(1.5, "a")
    with pytest.raises(ConfigError) as caught:
        entry.parse({"marginn": 1.0})
    assert caught.value.hint == "Did you mean margin?"
    for wrong in ({"margin": "x"}, {"margin": -1.0}, {"margin": 1.0, "mode": "c"}, {}):
        with pytest.raises(ConfigError, match="Options of structured"):
            entry.parse(wrong)


class Renamed(msgspec.Struct, rename="camel"):
    max_margin: Annotated[float, msgspec.Meta(description="How far at most.")] = 0.1
    mode: str = msgspec.field(default="a", name="theMode")


@dataclasses.dataclass
class Unusual:
    minPositives: int = 2
    top_1: int = 3
    use_BF16: bool = False
    # One is the other in camelCase.
    k_2: int = 0
    k2: int = 0


def test_every_name_that_an_option_has_sets_it_and_no_value_is_dropped() -> None:
    registry.register_loss("renamed", Renamed)(object)
    registry.register_loss("unusual", Unusual)(object)
    renamed, unusual = registry.find("loss", "renamed"), registry.find("loss", "unusual")
    assert renamed.options()[0].schema["description"] == "How far at most."
    for given in ({"max_margin": 0.5, "mode": "b"}, {"maxMargin": 0.5, "theMode": "b"}):
        assert renamed.parse(given) == Renamed(0.5, "b")
    assert unusual.parse({"minPositives": 5, "top1": 6, "use_BF16": True}) == Unusual(5, 6, True)
    assert unusual.parse({"top_1": 6, "use_BF16": True, "k2": 1}) == Unusual(2, 6, True, 0, 1)
    with pytest.raises(ConfigError, match="twice, once as 'maxMargin'"):
        renamed.parse({"max_margin": 0.5, "maxMargin": 0.6})
    with pytest.raises(ConfigError, match="no option 'the_mode'"):
        renamed.parse({"the_mode": "b"})


def test_a_misspelt_name_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError) as caught:
        registry.find("encoder", "autoo")
    assert caught.value.hint == "Did you mean auto? Registered are: auto (built-in)."


def test_a_plugin_registers_an_encoder_that_is_then_loaded(
    tiny_bert: Path, load: Callable, tmp_path: Path
) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from quarry_runtime.modeling.encoders.auto import auto\n"
        "from quarry_runtime.modeling.registry import register_encoder\n"
        "@register_encoder('mine')\n"
        "def mine(resolved, spec, dtype, options):\n"
        "    encoder = auto(resolved, spec, dtype, options)\n"
        "    encoder.is_mine = True\n"
        "    return encoder\n"
    )
    assert load(tiny_bert, encoder="mine", plugins=[str(plugin)]).is_mine


def test_a_missing_and_a_broken_plugin_are_named(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"absent\.py"):
        registry.load_plugins([str(tmp_path / "absent.py")])
    (tmp_path / "broken.py").write_text("1 / 0")
    with pytest.raises(ConfigError, match="ZeroDivisionError"):
        registry.load_plugins([str(tmp_path / "broken.py")])


def test_two_components_of_one_name_are_refused() -> None:
    registry.register_loss("twice")(object)
    with pytest.raises(ConfigError, match="'twice'"):
        registry.register_loss("twice")(int)
