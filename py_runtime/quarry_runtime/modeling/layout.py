"""Reads the sentence-transformers layout: what follows the transformer, and in which order."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from quarry_runtime.errors import ConfigError
from quarry_runtime.guard import shapes
from quarry_runtime.guard.locate import inside, optional_json, read_json, unfollowed
from quarry_runtime.modeling.chat_template import Chat, chat_in, read_chat
from quarry_runtime.modeling.transformer_settings import read_settings

#: sentence-transformers' names of poolings, in the order in which several are concatenated.
POOLING_NAMES: dict[str, str] = {
    "cls": "cls",
    "max": "max",
    "mean": "mean",
    "mean_sqrt_len_tokens": "mean_sqrt_len",
    "weightedmean": "weightedmean",
    "lasttoken": "last",
}
#: Their names by the flags that every release reads, in the same order.
POOLING_FLAGS: dict[str, str] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
# A checkpoint names an activation by its import path; only these are built, nothing is imported by
# name.
ACTIVATIONS = (
    "Identity", "Tanh", "ReLU", "ReLU6", "GELU", "SiLU", "Mish", "ELU", "SELU", "LeakyReLU",
    "Sigmoid", "LogSigmoid", "Hardswish", "Hardsigmoid", "Hardtanh", "Softplus", "Softsign",
)  # fmt: skip
#: Quarry's own: what sentence-transformers has no place for.
QUARRY_FILE = "quarry_encoder.json"
#: What a plugin's encoder learned that no other file holds.
OWN_STATE = "plugin.safetensors"


@dataclasses.dataclass(frozen=True)
class DenseSpec:
    """A linear layer on the text's vector; its weights lie in `folder`/model.safetensors."""

    folder: Path
    in_features: int
    out_features: int
    has_bias: bool
    activation: str
    #: Whether the layer's input is added to what comes out of it.
    is_residual: bool = False


@dataclasses.dataclass(frozen=True)
class LayerNormSpec:
    """A layer norm on the text's vector; its weights lie in `folder`/model.safetensors."""

    folder: Path
    dimension: int


@dataclasses.dataclass(frozen=True)
class NormalizeSpec:
    """Length 1."""


HeadSpec = DenseSpec | LayerNormSpec | NormalizeSpec


@dataclasses.dataclass(frozen=True)
class Modules:
    """What a checkpoint's layout says; null where it says nothing."""

    layout: Literal["sentence-transformers", "transformers"]
    #: One pooling, one that a plugin registers, or several joined by "+".
    pooling: str = "mean"
    similarity: Any = "cosine"
    is_prompt_pooled: bool = True
    is_lower_case: bool = False
    max_length: int | None = None
    query_max_length: int | None = None
    passage_max_length: int | None = None
    append_eos: bool = False
    #: How texts are put into the tokenizer's chat template; None: as they are.
    chat: Chat | None = None
    prompts: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    #: The prompt that sentence-transformers' plain encode() takes: kept for it.
    default_prompt_name: str | None = None
    #: What comes after the pooling, in this order.
    head: tuple[HeadSpec, ...] = (NormalizeSpec(),)


def read_modules(folder: Path) -> Modules:
    """Reads modules.json and what it points to; a folder without it is plain transformers.

    Raises:
        ConfigError: a module or a setting that Quarry cannot follow, named.
    """
    own = optional_json(folder / QUARRY_FILE)
    if "encoder" in own:
        return _of_plugin(own, folder / QUARRY_FILE)
    if not (folder / "modules.json").is_file():
        return Modules(layout="transformers", append_eos=bool(own.get("appendEos", False)))
    listed = [
        (str(module["type"]), str(module.get("path", "")))
        for module in read_json(folder / "modules.json")
    ]
    return read_pipeline(
        folder, listed, own, optional_json(folder / "config_sentence_transformers.json")
    )


def is_built_in(pooling: str) -> bool:
    """Whether no plugin has a say in a pooling."""
    return set(pooling.split("+")) <= set(POOLING_NAMES.values())


def read_prompts(folder: Path) -> Mapping[str, str | None]:
    """The prompts that a checkpoint declares, by name; of one encoder as of two."""
    theirs = optional_json(folder / "config_sentence_transformers.json").get("prompts")
    return theirs or optional_json(folder / QUARRY_FILE).get("prompts") or {}


def _of_plugin(own: Mapping[str, Any], file: Path) -> Modules:
    """What layout_write.plugin_settings wrote: no other file says how a plugin's module is used."""
    plain = Modules(layout="transformers")
    return Modules(
        layout="transformers",
        pooling=own.get("pooling", plain.pooling),
        similarity=own.get("similarity", plain.similarity),
        is_lower_case=own.get("lowerCase", False),
        query_max_length=own.get("queryMaxLength"),
        passage_max_length=own.get("passageMaxLength"),
        append_eos=own.get("appendEos", False),
        chat=chat_in(own.get("chat") or {}, file),
        prompts=own.get("prompts", {}),
        head=(NormalizeSpec(),) if own.get("normalize", True) else (),
    )


def read_pipeline(
    folder: Path,
    listed: list[tuple[str, str]],
    own: Mapping[str, Any],
    general: Mapping[str, Any],
) -> Modules:
    """Reads one pipeline of modules.

    Args:
        folder: The checkpoint's.
        listed: Type and path of each module, in order.
        own: Content of quarry_encoder.json.
        general: Content of config_sentence_transformers.json.
    """
    if general.get("truncate_dim") is not None:
        raise ConfigError(
            f"{folder / 'config_sentence_transformers.json'} sets truncate_dim {general['truncate_dim']}:"
            " Quarry does not cut vectors short.",
            hint="Delete it from a copy of the model: its vectors then have all dimensions.",
        )
    transformer = folder
    pooling: tuple[str, bool] | None = None
    head: list[HeadSpec] = []
    for number, (kind, path) in enumerate(listed):
        place = inside(folder, path)
        # A class of another package may do anything under the same name.
        name = kind.rsplit(".", 1)[-1] if kind.startswith("sentence_transformers.") else kind
        if name == "Transformer" and number == 0:
            transformer = place
        elif name == "Pooling" and number > 0 and pooling is None:
            config = read_json(place / "config.json", shapes.Pooling)
            mode = own.get("pooling") or _pooling(config, place)
            pooling = mode, bool(config.get("include_prompt", True))
        elif name in _HEAD and pooling is not None:
            head.append(_HEAD[name](place))
        elif name != "Dropout" or pooling is None:
            raise unfollowed(folder, kind, number)
    settings = read_settings(transformer)
    return Modules(
        layout="sentence-transformers",
        pooling=pooling[0] if pooling else "mean",
        similarity=general.get("similarity_fn_name") or "cosine",
        is_prompt_pooled=pooling[1] if pooling else True,
        is_lower_case=bool(settings.get("do_lower_case", False)),
        max_length=settings.get("max_seq_length"),
        query_max_length=own.get("queryMaxLength") or settings.get("query_length"),
        passage_max_length=own.get("passageMaxLength") or settings.get("document_length"),
        append_eos=bool(own.get("appendEos", False)),
        chat=read_chat(transformer),
        prompts=general.get("prompts") or {},
        default_prompt_name=general.get("default_prompt_name"),
        head=tuple(head),
    )


def _pooling(config: Mapping[str, Any], folder: Path) -> str:
    mode = config.get("pooling_mode")
    modes = [mode] if isinstance(mode, str) else list(mode or [])
    if not modes:
        modes = [name for flag, name in POOLING_FLAGS.items() if config.get(flag)] or ["mean"]
    unknown = [name for name in modes if name not in POOLING_NAMES]
    if unknown:
        raise ConfigError(
            f"{folder} pools by {' + '.join(modes)}.",
            hint=f"Quarry pools by {', '.join(POOLING_NAMES)}; use another model.",
        )
    return "+".join(POOLING_NAMES[name] for name in modes)


def _dense(folder: Path) -> DenseSpec:
    config = _plain(folder, shapes.Dense)
    written = str(config.get("activation_function") or "torch.nn.Identity")
    package, _, activation = written.rpartition(".")
    if activation not in ACTIVATIONS or not f"{package}.".startswith("torch.nn."):
        raise ConfigError(
            f"{folder / 'config.json'} has the activation {config['activation_function']}.",
            hint=f"Quarry knows these of torch.nn: {', '.join(ACTIVATIONS)}.",
        )
    return DenseSpec(
        _with_weights(folder),
        int(config["in_features"]),
        int(config["out_features"]),
        bool(config.get("bias", True)),
        activation,
        bool(config.get("use_residual", False)),
    )


def _layer_norm(folder: Path) -> LayerNormSpec:
    return LayerNormSpec(_with_weights(folder), int(_plain(folder, shapes.LayerNorm)["dimension"]))


def _normalize(folder: Path) -> NormalizeSpec:
    if (folder / "config.json").is_file():
        _plain(folder)
    return NormalizeSpec()


_HEAD = {"Dense": _dense, "LayerNorm": _layer_norm, "Normalize": _normalize}


def _plain(folder: Path, shape: Any = dict) -> dict[str, Any]:
    """The config of a module that reads and writes the text's vector, not its tokens'."""
    config = read_json(folder / "config.json", shape)
    names = (config.get("module_input_name"), config.get("module_output_name"))
    for name in names:
        if name not in (None, "sentence_embedding"):
            raise ConfigError(
                f"{folder / 'config.json'} works on {name}.",
                hint="Quarry follows modules that work on sentence_embedding.",
            )
    return config


def _with_weights(folder: Path) -> Path:
    if not (folder / "model.safetensors").is_file():
        raise ConfigError(
            f"{folder} has no model.safetensors.",
            hint="Quarry never unpickles; save the model again as safetensors.",
        )
    return folder
