"""The sentence-transformers layout, read and written: what follows the transformer, and how."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from quarry_runtime.errors import ConfigError
from quarry_runtime.guard.locate import inside, read_json

Pooling = Literal["mean", "cls", "last"]
_POOLING_FLAGS: dict[str, str] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_POOLING: dict[str, Pooling] = {"mean": "mean", "cls": "cls", "lasttoken": "last"}
# A checkpoint names an activation by its import path; only these are built, nothing is imported by
# name.
ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "SiLU", "Sigmoid")
_LENGTH_FILES = tuple(
    f"sentence_{name}_config.json"
    for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
# Quarry's own: query and passage lengths, which sentence-transformers keeps as one.
QUARRY_FILE = "quarry_encoder.json"
#: What a plugin's encoder learned that no other file holds.
OWN_STATE = "plugin.safetensors"


@dataclasses.dataclass(frozen=True)
class DenseSpec:
    """A linear layer after the pooling; its weights lie in `folder`/model.safetensors."""

    folder: Path
    in_features: int
    out_features: int
    has_bias: bool
    activation: str


@dataclasses.dataclass(frozen=True)
class Modules:
    """What a checkpoint's layout says; null where it says nothing."""

    layout: Literal["sentence-transformers", "transformers"]
    #: One of Pooling, or the name that a plugin registers.
    pooling: str = "mean"
    is_normalized: bool = True
    similarity: Any = "cosine"
    is_prompt_pooled: bool = True
    is_lower_case: bool = False
    max_length: int | None = None
    query_max_length: int | None = None
    passage_max_length: int | None = None
    prompts: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    dense: tuple[DenseSpec, ...] = ()


def read_modules(folder: Path) -> Modules:
    """Reads modules.json and what it points to; a folder without it is plain transformers.

    Raises:
        ConfigError: a module or a setting that Quarry cannot follow, named.
    """
    if not (folder / "modules.json").is_file():
        return Modules(layout="transformers")
    pooling = "mean"
    is_prompt_pooled = True
    is_normalized = False
    dense: list[DenseSpec] = []
    transformer = folder
    own = _optional(folder / QUARRY_FILE)
    for number, module in enumerate(read_json(folder / "modules.json")):
        kind = str(module["type"]).rsplit(".", 1)[-1]
        place = inside(folder, str(module.get("path", "")))
        if kind == "Transformer" and number == 0:
            transformer = place
        elif kind == "Pooling":
            config = read_json(place / "config.json")
            pooling = own.get("pooling") or _pooling(config, folder)
            is_prompt_pooled = bool(config.get("include_prompt", True))
        elif kind == "Dense" and not is_normalized:
            dense.append(_dense(place))
        elif kind == "Normalize":
            is_normalized = True
        else:
            raise ConfigError(
                f"{folder} has a module {module['type']} at place {number}:"
                " Quarry cannot follow it.",
                hint="Quarry follows Transformer, Pooling, Dense and Normalize, in this order.",
            )
    lengths = next(
        (transformer / name for name in _LENGTH_FILES if (transformer / name).is_file()), None
    )
    settings = read_json(lengths) if lengths else {}
    general = _optional(folder / "config_sentence_transformers.json")
    return Modules(
        layout="sentence-transformers",
        pooling=pooling,
        is_normalized=is_normalized,
        similarity=general.get("similarity_fn_name") or "cosine",
        is_prompt_pooled=is_prompt_pooled,
        is_lower_case=bool(settings.get("do_lower_case", False)),
        max_length=settings.get("max_seq_length"),
        query_max_length=own.get("queryMaxLength"),
        passage_max_length=own.get("passageMaxLength"),
        prompts=general.get("prompts") or {},
        dense=tuple(dense),
    )


def layout_files(
    *,
    dimension: int,
    pooling: str,
    is_normalized: bool,
    similarity: str,
    query_prompt: str,
    passage_prompt: str,
    query_max_length: int,
    passage_max_length: int,
    is_lower_case: bool,
    dense: list[dict[str, Any]],
) -> dict[str, str]:
    """Path → content of the JSON files that make a transformers folder a sentence-transformers one.

    Old module names are written, which every release of sentence-transformers reads. Where the two
    lengths differ, sentence-transformers gets the longer one.

    Args:
        dimension: Size of the pooled vector, before any Dense.
        dense: The config of each Dense module.
    """
    kinds = [
        "Transformer",
        "Pooling",
        *("Dense" for _ in dense),
        *(["Normalize"] if is_normalized else []),
    ]
    places = [("" if number == 0 else f"{number}_{kind}") for number, kind in enumerate(kinds)]
    modules = [
        {
            "idx": number,
            "name": str(number),
            "path": place,
            "type": f"sentence_transformers.models.{kind}",
        }
        for number, (kind, place) in enumerate(zip(kinds, places, strict=True))
    ]
    is_known = pooling in _POOLING.values()
    flags = {flag: _POOLING.get(mode) == pooling for flag, mode in _POOLING_FLAGS.items()}
    contents: dict[str, Any] = {
        "modules.json": modules,
        "1_Pooling/config.json": {
            "word_embedding_dimension": dimension,
            # A plugin's pooling is one that sentence-transformers refuses by name.
            **(flags if is_known else {"pooling_mode": pooling}),
            "include_prompt": True,
        },
        "sentence_bert_config.json": {
            "max_seq_length": max(query_max_length, passage_max_length),
            "do_lower_case": is_lower_case,
        },
        "config_sentence_transformers.json": {
            "prompts": {"query": query_prompt, "document": passage_prompt},
            "default_prompt_name": None,
            "similarity_fn_name": similarity,
        },
        QUARRY_FILE: {
            "queryMaxLength": query_max_length,
            "passageMaxLength": passage_max_length,
            **({} if is_known else {"pooling": pooling}),
        },
    }
    for number, config in enumerate(dense, 2):
        contents[f"{number}_Dense/config.json"] = config
    if is_normalized:
        # Read by no release; a folder without a file would be lost on the hub and in archives.
        contents[f"{places[-1]}/config.json"] = {}
    return {
        name: json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        for name, content in contents.items()
    }


def _pooling(config: Mapping[str, Any], folder: Path) -> Pooling:
    mode = config.get("pooling_mode")
    modes = [mode] if isinstance(mode, str) else list(mode or [])
    if not modes:
        modes = [name for flag, name in _POOLING_FLAGS.items() if config.get(flag)] or ["mean"]
    if len(modes) != 1 or modes[0] not in _POOLING:
        raise ConfigError(
            f"{folder} pools by {' + '.join(modes)}.",
            hint="Quarry pools by mean, cls or lasttoken; use another model.",
        )
    return _POOLING[modes[0]]


def _dense(folder: Path) -> DenseSpec:
    config = read_json(folder / "config.json")
    activation = str(config.get("activation_function") or "Identity").rsplit(".", 1)[-1]
    names = (
        config.get("module_input_name", "sentence_embedding"),
        config.get("module_output_name"),
    )
    if (
        activation not in ACTIVATIONS
        or config.get("use_residual")
        or names[0] != "sentence_embedding"
    ):
        raise ConfigError(
            f"{folder / 'config.json'} describes a Dense layer that Quarry cannot follow.",
            hint=f"Quarry follows plain Dense layers with one of: {', '.join(ACTIVATIONS)}.",
        )
    if names[1] not in (None, "sentence_embedding"):
        raise ConfigError(
            f"{folder} writes to {names[1]}.",
            hint="Quarry follows Dense layers on the text's vector.",
        )
    if not (folder / "model.safetensors").is_file():
        raise ConfigError(
            f"{folder} has no model.safetensors.",
            hint="Quarry never unpickles; save the model again as safetensors.",
        )
    return DenseSpec(
        folder,
        int(config["in_features"]),
        int(config["out_features"]),
        bool(config.get("bias", True)),
        activation,
    )


def _optional(file: Path) -> dict[str, Any]:
    return read_json(file) if file.is_file() else {}
