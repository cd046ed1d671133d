"""What a checkpoint's JSON files hold is refused by file and key where it is of a wrong type."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from quarry_runtime.errors import ConfigError
from quarry_runtime.inspect import model_contract


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("config.json", [], "config.json: Expected `object`, got `array`"),
        ("config.json", {"model_type": 3}, "config.json, model_type: Expected `str | null`"),
        ("modules.json", {}, "modules.json: Expected `array`, got `object`"),
        ("modules.json", [], "modules.json: Expected `array` of length >= 1"),
        ("modules.json", [{"path": ""}], "modules.json, [0]: Object missing required field `type`"),
        ("modules.json", [{"type": "a", "path": None}], "modules.json, [0].path: Expected `str`"),
        ("model.safetensors.index.json", {}, "missing required field `weight_map`"),
        ("sentence_bert_config.json", {"max_seq_length": "64"}, "max_seq_length: Expected `int"),
        ("sentence_bert_config.json", {"max_seq_length": 32.0}, "max_seq_length: Expected `int"),
        (
            "sentence_bert_config.json",
            {"max_seq_length": -1},
            "max_seq_length: Expected `int` >= 1",
        ),
        (
            "sentence_bert_config.json",
            {"tokenizer_args": {"model_max_length": "9"}},
            "tokenizer_args.model_max_length: Expected `int",
        ),
        ("config_sentence_transformers.json", {"prompts": {"query": 3}}, "prompts[...]: Expected"),
        ("config_sentence_transformers.json", {"prompts": ["a"]}, "prompts: Expected `object"),
        ("quarry_encoder.json", {"queryMaxLength": "x"}, "queryMaxLength: Expected `int | null`"),
        (
            "1_Pooling/config.json",
            {"pooling_mode": 1},
            "pooling_mode: Expected `str | array | null`",
        ),
        ("2_Dense/config.json", {"in_features": 32}, "missing required field `out_features`"),
        ("router_config.json", {"structure": {"query": []}}, "structure[...]: Expected `array`"),
        ("tokenizer_config.json", [], "tokenizer_config.json: Expected `object`, got `array`"),
        ("tokenizer.json", {"a": 1}, "tokenizer.json: expected"),
    ],
)
def test_a_value_of_a_wrong_type_is_named_with_its_file(
    file: str, content: Any, told: str, tiny_bert: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "model"))
    if file == "router_config.json":
        router = {"type": "sentence_transformers.models.Router"}
        (folder / "modules.json").write_text(json.dumps([router]))
    if file.startswith("2_Dense"):
        modules = json.loads((folder / "modules.json").read_text())
        dense = {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}
        (folder / "modules.json").write_text(json.dumps([*modules[:2], dense]))
        (folder / "2_Dense").mkdir()
    if file.endswith("index.json"):
        # Beside whole weights nobody reads it.
        (folder / "model.safetensors").unlink()
    (folder / file).write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=re.escape(told)) as caught:
        model_contract(str(folder))
    assert str(folder / file) in caught.value.message
    assert "fetch the checkpoint again" in (caught.value.hint or "").lower()


def test_what_is_left_out_or_null_is_no_fault(tiny_bert: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "model"))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": null}')
    (folder / "config_sentence_transformers.json").write_text('{"prompts": null}')
    (folder / "quarry_encoder.json").write_text("{}")
    assert model_contract(str(folder))["passageMaxLength"] == 128
