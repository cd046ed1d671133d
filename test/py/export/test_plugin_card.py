"""The card of a model that a plugin's encoder loads: what it is loaded with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quarry_runtime.export_model import export_model

OWN_ENCODER = """
import msgspec
from quarry_runtime.modeling.encoder import Encoder
from quarry_runtime.modeling.registry import register_encoder

class Options(msgspec.Struct):
    depth: int = 1

@register_encoder("deep", Options)
class Deep(Encoder):
    pass
"""


@pytest.mark.usefixtures("leave_no_names")
def test_the_card_of_a_plugins_encoder_names_plugin_encoder_and_options(
    tiny_bert: Path, model_spec: Callable[..., Any], tmp_path: Path
) -> None:
    plugin = tmp_path / "deep.py"
    plugin.write_text(OWN_ENCODER)
    facts: dict[str, Any] = dict.fromkeys(("base", "license", "step"))
    facts |= {"name": "run", "title": "scifact", "experiment": {}}
    facts |= {"data": {}, "measures": {}, "versions": {}}
    own: dict[str, Any] = {"encoder": "deep", "encoder_options": {"depth": 2}}
    spec = model_spec(tiny_bert, plugins=[plugin], **own)
    export_model(spec, tmp_path / "out", facts, False, None)
    options = {"plugins": ["deep.py"], "encoder": "deep", "encoderOptions": {"depth": 2}}
    card = (tmp_path / "out" / "README.md").read_text()
    assert f'biEncoder("scifact", {json.dumps(options)})' in card
