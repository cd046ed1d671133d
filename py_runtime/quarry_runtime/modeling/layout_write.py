"""Writes the sentence-transformers layout around weights: the JSON files that name each module."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quarry_runtime.modeling.layout import POOLING_FLAGS, POOLING_NAMES, QUARRY_FILE, is_built_in
from quarry_runtime.protocol.messages import ModelContract

# Old module names, which every release of sentence-transformers reads.
_PACKAGE = "sentence_transformers.models"


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """Modules in order: kind and folder of each, and the JSON files in them by path."""

    modules: list[tuple[str, str]]
    files: dict[str, Any]


def pipeline(
    *,
    dimension: int,
    pooling: str,
    is_prompt_pooled: bool,
    query_max_length: int,
    passage_max_length: int,
    is_lower_case: bool,
    head: list[tuple[str, dict[str, Any]]],
    prefix: str = "",
) -> Pipeline:
    """One pipeline's modules.

    Args:
        dimension: Size of a token's vector.
        head: Kind and config of each module after the pooling.
        prefix: Put before the folders' names; without one the transformer lies at the top.
    """
    kinds = ["Transformer", "Pooling", *(kind for kind, _ in head)]
    places = [
        "" if number == 0 and not prefix else f"{prefix}{number}_{kind}"
        for number, kind in enumerate(kinds)
    ]
    files: dict[str, Any] = {
        _in(places[0], "sentence_bert_config.json"): {
            **_lengths(query_max_length, passage_max_length),
            "do_lower_case": is_lower_case,
        },
        _in(places[1], "config.json"): {
            "word_embedding_dimension": dimension,
            **_pooling_mode(pooling),
            "include_prompt": is_prompt_pooled,
        },
    }
    for place, (_, config) in zip(places[2:], head, strict=True):
        files[_in(place, "config.json")] = config
    return Pipeline(list(zip(kinds, places, strict=True)), files)


def root_files(
    modules: list[tuple[str, str]],
    *,
    similarity: str,
    query_prompt: str,
    passage_prompt: str,
    other_prompts: Mapping[str, str | None],
    default_prompt_name: str | None,
    query_max_length: int,
    passage_max_length: int,
    append_eos: bool,
    pooling: str,
) -> dict[str, Any]:
    """The files at the top of a checkpoint: which modules there are, prompts, lengths.

    Args:
        other_prompts: What sentence-transformers finds under further names.
        default_prompt_name: Which of all prompts its plain encode() takes.
    """
    prompts = {**other_prompts, "query": query_prompt, "document": passage_prompt}
    return {
        "modules.json": [
            {"idx": number, "name": str(number), "path": place, "type": f"{_PACKAGE}.{kind}"}
            for number, (kind, place) in enumerate(modules)
        ],
        "config_sentence_transformers.json": {
            "prompts": prompts,
            "default_prompt_name": default_prompt_name if default_prompt_name in prompts else None,
            "similarity_fn_name": similarity,
        },
        QUARRY_FILE: {
            "queryMaxLength": query_max_length,
            "passageMaxLength": passage_max_length,
            **({"appendEos": True} if append_eos else {}),
            **({} if is_built_in(pooling) else {"pooling": pooling}),
        },
    }


def plugin_settings(
    encoder: str, contract: ModelContract, *, is_lower_case: bool, append_eos: bool
) -> dict[str, Any]:
    """quarry_encoder.json beside a plugin's module, whose other files are its own business."""
    return {
        "encoder": encoder,
        "pooling": contract.pooling,
        "normalize": contract.normalize,
        "similarity": contract.similarity,
        "prompts": {"query": contract.query_prompt, "passage": contract.passage_prompt},
        "queryMaxLength": contract.query_max_length,
        "passageMaxLength": contract.passage_max_length,
        "lowerCase": is_lower_case,
        "appendEos": append_eos,
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
