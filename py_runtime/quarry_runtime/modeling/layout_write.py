"""Writes the sentence-transformers layout around weights: the JSON files that name each module."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quarry_runtime.modeling.chat_template import written_chat
from quarry_runtime.modeling.layout import POOLING_FLAGS, POOLING_NAMES, QUARRY_FILE, is_built_in
from quarry_runtime.modeling.resolved import Resolved
from quarry_runtime.protocol.messages import ModelContract

# Old module names, which every release of sentence-transformers reads.
_PACKAGE = "sentence_transformers.models"


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """Modules in order: kind and folder of each, and the JSON files in them by path."""

    modules: list[tuple[str, str]]
    files: dict[str, Any]


def pipeline(
    resolved: Resolved,
    contract: ModelContract,
    head: list[tuple[str, dict[str, Any]]],
    prefix: str,
    max_length: int | None,
) -> Pipeline:
    """One pipeline's modules.

    Args:
        head: Kind and config of each module after the pooling.
        prefix: Put before the folders' names; without one the transformer lies at the top.
        max_length: Most tokens of either side; None stands for the contract's, of each its own.
    """
    kinds = ["Transformer", "Pooling", *(kind for kind, _ in head)]
    places = [
        "" if number == 0 and not prefix else f"{prefix}{number}_{kind}"
        for number, kind in enumerate(kinds)
    ]
    files: dict[str, Any] = {
        _in(places[0], "sentence_bert_config.json"): {
            **_lengths(
                max_length or contract.query_max_length, max_length or contract.passage_max_length
            ),
            "do_lower_case": resolved.is_lower_case,
            # Without it sentence-transformers takes texts as they are, whatever the tokenizer has.
            **({} if resolved.chat is None else written_chat(resolved.chat)),
        },
        _in(places[1], "config.json"): {
            "word_embedding_dimension": resolved.hidden_size,
            **_pooling_mode(contract.pooling),
            "include_prompt": resolved.is_prompt_pooled,
        },
    }
    for place, (_, config) in zip(places[2:], head, strict=True):
        files[_in(place, "config.json")] = config
    return Pipeline(list(zip(kinds, places, strict=True)), files)


def root_files(
    modules: list[tuple[str, str]], resolved: Resolved, contract: ModelContract
) -> dict[str, Any]:
    """The files at the top of a checkpoint: which modules there are, prompts, lengths."""
    sides = {"query": contract.query_prompt, "document": contract.passage_prompt}
    prompts = {**resolved.other_prompts, **sides}
    default = resolved.default_prompt_name
    return {
        "modules.json": [
            {"idx": number, "name": str(number), "path": place, "type": f"{_PACKAGE}.{kind}"}
            for number, (kind, place) in enumerate(modules)
        ],
        "config_sentence_transformers.json": {
            "prompts": prompts,
            "default_prompt_name": default if default in prompts else None,
            "similarity_fn_name": contract.similarity,
        },
        QUARRY_FILE: {
            "queryMaxLength": contract.query_max_length,
            "passageMaxLength": contract.passage_max_length,
            **({"appendEos": True} if resolved.append_eos else {}),
            **({} if is_built_in(contract.pooling) else {"pooling": contract.pooling}),
        },
    }


def plugin_settings(encoder: str, resolved: Resolved, contract: ModelContract) -> dict[str, Any]:
    """quarry_encoder.json beside a plugin's module, whose other files are its own business."""
    return {
        "encoder": encoder,
        "pooling": contract.pooling,
        "normalize": contract.normalize,
        "similarity": contract.similarity,
        "prompts": {"query": contract.query_prompt, "passage": contract.passage_prompt},
        "queryMaxLength": contract.query_max_length,
        "passageMaxLength": contract.passage_max_length,
        "lowerCase": resolved.is_lower_case,
        "appendEos": resolved.append_eos,
        **({} if resolved.chat is None else {"chat": written_chat(resolved.chat)}),
    }


def write_files(folder: Path, files: Mapping[str, Any]) -> None:
    """Writes path → content as JSON; folders are made."""
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        (folder / name).write_text(text, encoding="utf-8")


def _lengths(query: int, passage: int) -> dict[str, int]:
    """The longer one, and that of the other side where they differ: older releases know no such
    name and refuse the file."""
    longer = max(query, passage)
    sides = {"query_length": query, "document_length": passage}
    shorter = {name: length for name, length in sides.items() if length < longer}
    return {"max_seq_length": longer, **shorter}


def _pooling_mode(pooling: str) -> dict[str, Any]:
    """Flags, which every release reads, unless several come in another order than theirs."""
    if not is_built_in(pooling):
        # A plugin's pooling is one that sentence-transformers refuses by name.
        return {"pooling_mode": pooling}
    theirs = {ours: name for name, ours in POOLING_NAMES.items()}
    modes = [theirs[mode] for mode in pooling.split("+")]
    if modes == [mode for mode in POOLING_FLAGS.values() if mode in modes]:
        return {flag: mode in modes for flag, mode in POOLING_FLAGS.items()}
    return {"pooling_mode": modes}


def _in(place: str, name: str) -> str:
    return f"{place}/{name}" if place else name
