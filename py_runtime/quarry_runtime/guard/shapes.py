"""What the JSON files of a checkpoint must hold, as far as Quarry reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec

from quarry_runtime.errors import ConfigError

_Length = Annotated[int, msgspec.Meta(ge=1)]
_Prompts = dict[str, str | None]


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


class _Module(msgspec.Struct):
    type: str
    path: str = ""


class _Router(msgspec.Struct):
    structure: dict[str, Annotated[list[str], msgspec.Meta(min_length=1)]] = {}
    types: dict[str, str] = {}


class _General(msgspec.Struct):
    prompts: _Prompts | None = None
    default_prompt_name: str | None = None
    similarity_fn_name: str | None = None
    activation_fn: str | None = None


class _Call(msgspec.Struct):
    max_length: _Length | None = None


class _Calls(msgspec.Struct):
    text: _Call | None = None
    chat_template: dict[str, Any] | None = None


class _Chat(msgspec.Struct):
    modality_config: dict[str, dict[str, Any]] | None = None
    processing_kwargs: _Calls | None = None


class _Own(msgspec.Struct, rename="camel"):
    encoder: str | None = None
    pooling: str | None = None
    similarity: str | None = None
    normalize: bool = True
    lower_case: bool = False
    append_eos: bool = False
    query_max_length: _Length | None = None
    passage_max_length: _Length | None = None
    prompts: _Prompts = {}
    chat: _Chat | None = None
    query: _Own | None = None
    document: _Own | None = None


class _Tokenizer(msgspec.Struct):
    model_max_length: _Length | None = None


class _Lengths(_Chat):
    max_seq_length: _Length | None = None
    query_length: _Length | None = None
    document_length: _Length | None = None
    do_lower_case: bool | None = None
    tokenizer_args: _Tokenizer | None = None
    processor_kwargs: _Tokenizer | None = None


class _Adapter(msgspec.Struct):
    base_model_name_or_path: str | None = None
    revision: str | None = None


class _Model(msgspec.Struct):
    model_type: str | None = None
    architectures: list[str] | None = None
    pad_token_id: int | None = None


class Pooling(msgspec.Struct):
    """config.json of a pooling."""

    pooling_mode: str | list[str] | None = None


class Dense(msgspec.Struct):
    """config.json of a linear layer."""

    in_features: _Length
    out_features: _Length
    activation_function: str | None = None


class LayerNorm(msgspec.Struct):
    """config.json of a layer norm."""

    dimension: _Length


_SHAPES: dict[str, Any] = {
    "model.safetensors.index.json": _Index,
    "modules.json": Annotated[list[_Module], msgspec.Meta(min_length=1)],
    "router_config.json": _Router,
    "config_sentence_transformers.json": _General,
    "quarry_encoder.json": _Own,
    "adapter_config.json": _Adapter,
    "config.json": _Model,
}


def check_shape(file: Path, content: Any, shape: Any = None) -> None:
    """Refuses a file's content with another type than it must have, before anything trips over it.

    Args:
        shape: Default: what files of this name hold; of others, an object.

    Raises:
        ConfigError: names file and key.
    """
    usual = _Lengths if file.match("sentence_*_config.json") else dict[str, Any]
    try:
        msgspec.convert(content, shape or _SHAPES.get(file.name, usual))
    except msgspec.ValidationError as error:
        # As in "Expected `int`, got `str` - at `$.max_seq_length`".
        what, _, place = str(error).partition(" - at `$")
        key = place.strip(".`")
        raise ConfigError(
            f"{file}{key and f', {key}'}: {what}.",
            hint="Correct the file, or fetch the checkpoint again.",
        ) from error
