"""Models that cannot be exported are refused before anything is loaded or written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from quarry_runtime.errors import ConfigError
from quarry_runtime.export_model import export_model

FACTS: dict[str, Any] = {
    "name": "tiny",
    "base": None,
    "experiment": None,
    "data": {},
    "measures": {},
}
FACTS |= {"step": None, "versions": {}, "title": "tiny", "license": None}


def test_weights_in_a_format_that_is_not_written_are_refused_before_they_are_read(
    tiny_bert: Path, model_spec: Callable[..., Any], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "model"))
    weights = load_file(folder / "model.safetensors")
    small = {
        name: weight.to(torch.float8_e4m3fn) if weight.ndim == 2 else weight
        for name, weight in weights.items()
    }
    save_file(small, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match="stores its weights as f8_e4m3, which") as caught:
        export_model(model_spec(folder), tmp_path / "out", FACTS, False, None)
    assert "--dtype bf16" in (caught.value.hint or "")
    export_model(model_spec(folder), tmp_path / "out", FACTS, False, "bfloat16")


def test_a_cross_encoder_is_refused_unless_a_pooling_says_that_vectors_are_meant(
    tiny_of: Callable[..., Path], model_spec: Callable[..., Any], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_of("bert"), tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = ["BertForSequenceClassification"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="scores pairs"):
        export_model(model_spec(folder), tmp_path / "out", FACTS, False, None)
    assert not (tmp_path / "out").exists()
    spec = model_spec(folder, pooling="mean")
    assert export_model(spec, tmp_path / "out", FACTS, False, None)["fileCount"] > 5
