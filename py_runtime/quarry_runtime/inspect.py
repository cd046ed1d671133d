"""What `quarry inspect` asks for, as plain data: a checkpoint's contract, what is registered."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from quarry_runtime.errors import ConfigError
from quarry_runtime.guard.locate import optional_json
from quarry_runtime.modeling import registry
from quarry_runtime.modeling.contract import bare_spec, resolve
from quarry_runtime.modeling.layout import DenseSpec, HeadSpec, LayerNormSpec
from quarry_runtime.modeling.options import Option
from quarry_runtime.modeling.plugins import load_plugins
from quarry_runtime.modeling.resolved import Resolved
from quarry_runtime.protocol.messages import PluginFile


def model_contract(
    checkpoint: str,
    revision: str | None = None,
    trust_remote_code: bool = False,
    plugins: list[str] | None = None,
) -> dict[str, Any]:
    """Everything a checkpoint promises; reads its small files and the weights' headers only.

    Args:
        plugins: Files that are run where the checkpoint names what they register.

    Raises:
        ConfigError, EnvironmentFault, IntegrityError: a checkpoint that is missing, broken or
        cannot be followed.
    """
    files = [PluginFile(path=path, sha256=None) for path in plugins or []]
    resolved = resolve(bare_spec(checkpoint, revision, trust_remote_code, files))
    return {
        "checkpoint": checkpoint,
        "path": str(resolved.path),
        "layout": resolved.layout,
        "architecture": resolved.architecture,
        "modelType": str(resolved.config.get("model_type", "")),
        "dimension": resolved.dimension,
        "pooling": resolved.pooling,
        "normalize": resolved.normalize,
        "similarity": resolved.similarity,
        "head": [_module(module) for module in resolved.head],
        "towers": "tied" if resolved.query is None else "separate",
        "adapter": None if resolved.adapter is None else resolved.adapter.base,
        "appendEos": resolved.append_eos,
        "chatTemplate": resolved.chat is not None,
        "queryPrompt": resolved.query_prompt,
        "passagePrompt": resolved.passage_prompt,
        "queryMaxLength": resolved.query_max_length,
        "passageMaxLength": resolved.passage_max_length,
        "positionLimit": resolved.position_limit,
        **_tokenizer(resolved),
        "dtype": resolved.weights.dtype,
        "parameterCount": resolved.weights.parameter_count,
        "weightBytes": resolved.weights.bytes,
        "files": {
            str(file.relative_to(resolved.path)): file.stat().st_size
            for file in sorted(resolved.path.rglob("*"))
            if file.is_file()
        },
    }


def registered(plugins: list[str] | None = None) -> dict[str, list[dict[str, Any]]]:
    """Encoders, poolings, losses, retrievers and similarities by their plurals.

    Each has its name, sentence, origin ("built-in" or the plugin's file) and options (name, type,
    TypeScript's type, JSON Schema, default, sentence; defaultText where the default is no JSON).

    Args:
        plugins: Files that are run first.

    Raises:
        ConfigError, EnvironmentFault: a plugin that is missing or does not run.
    """
    load_plugins(plugins or [])
    plurals: dict[registry.Kind, str] = {
        "encoder": "encoders",
        "pooling": "poolings",
        "loss": "losses",
        "retriever": "retrievers",
        "similarity": "similarities",
    }
    return {
        plural: [_described(entry) for entry in registry.registered(kind).values()]
        for kind, plural in plurals.items()
    }


def _module(module: HeadSpec) -> str:
    if isinstance(module, DenseSpec):
        text = f"{module.in_features} → {module.out_features}, {module.activation}"
        return f"{text}, residual" if module.is_residual else text
    return "layer norm" if isinstance(module, LayerNormSpec) else "length 1"


def _described(entry: registry.Registered) -> dict[str, Any]:
    return {
        "name": entry.name,
        "sentence": entry.sentence,
        "origin": entry.origin,
        "options": [_described_option(option) for option in entry.options()],
    }


def _described_option(option: Option) -> dict[str, Any]:
    described = {
        "name": option.name,
        "type": option.type,
        "schema": option.schema,
        "typescript": option.typescript,
        "default": option.default,
        "isRequired": option.is_required,
        "sentence": option.sentence,
    }
    try:
        json.dumps(msgspec.to_builtins(described), allow_nan=False)
    except ValueError:
        # JSON has no word for infinity and NaN, which the schema names as well.
        schema = {name: value for name, value in option.schema.items() if name != "default"}
        described |= {"schema": schema, "default": None, "defaultText": str(option.default)}
    return described


def _tokenizer(resolved: Resolved) -> dict[str, Any]:
    """Tokens at the ends of a text; BERT's family calls them cls and sep."""
    config = optional_json(resolved.tokenizer / "tokenizer_config.json")
    bos = _token(config.get("bos_token") or config.get("cls_token"))
    eos = _token(config.get("eos_token") or config.get("sep_token"))
    pad = _token(config.get("pad_token"))
    fast = _fast(resolved)
    # What a chat template puts there only transformers can tell; the tokenizer itself adds nothing then.
    ids = fast.encode("a").ids if fast and resolved.chat is None else []
    return {
        "tokenizerClass": str(config.get("tokenizer_class", "")),
        "bos": _described_token(bos, fast, ids[:1]),
        "eos": _described_token(eos, fast, ids[-1:]),
        "pad": _described_token(pad, fast, []),
        "paddingSide": resolved.padding_side,
        "isLowerCase": resolved.is_lower_case,
    }


def _described_token(text: str | None, fast: Any, at_end: list[int]) -> dict[str, Any] | None:
    identity = fast.token_to_id(text) if fast is not None and text is not None else None
    if identity is None:
        return None
    return {"text": text, "id": identity, "isAdded": identity in at_end}


def _fast(resolved: Resolved) -> Any:
    """The tokenizer itself, from its file; None where only transformers could build it."""
    file = resolved.tokenizer / "tokenizer.json"
    if not file.is_file():
        return None
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:
        raise ConfigError(f"{file}: {error}", hint="Fetch the checkpoint again.") from error
    tokenizer.no_padding()
    return tokenizer


def _token(value: Any) -> str | None:
    return value.get("content") if isinstance(value, dict) else value
