"""What sentence-transformers sets for the transformer of a pipeline: followed, or refused by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from quarry_runtime.errors import ConfigError
from quarry_runtime.guard.locate import read_json

_FILES = tuple(
    f"sentence_{name}_config.json"
    for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
_FOLLOWED = ("max_seq_length", "query_length", "document_length", "do_lower_case")
# What else is a length: of the tokenizer, then of each call of it, which wins.
_LENGTHS = {
    "tokenizer_args.model_max_length": _FOLLOWED[:1],
    "processor_kwargs.model_max_length": _FOLLOWED[:1],
    "processing_kwargs.text.max_length": _FOLLOWED[:3],
}
# How texts are put into a model and through it: the vectors of their tokens are the same.
_NO_MATTER = {
    "modality_config",
    "unpad_inputs",
    "model_args.attn_implementation",
    "model_kwargs.attn_implementation",
}
# What releases from 5.4 on write by themselves: vectors of tokens, scores of pairs, logits of words.
_USUAL = {
    "transformer_task": ("feature-extraction", "sequence-classification"),
    "module_output_name": ("token_embeddings", "scores"),
}
_USUAL_OF_PAIRS = {
    "transformer_task": ("sequence-classification", "text-generation"),
    "module_output_name": ("scores", "causal_logits"),
}
# Variables of a chat template: chat_template.py reads them.
_CHAT = "processing_kwargs.chat_template."


def settings_file(transformer: Path) -> Path | None:
    """The file that says how sentence-transformers calls a transformer; None where there is none."""
    return next((transformer / name for name in _FILES if (transformer / name).is_file()), None)


def read_settings(transformer: Path, is_of_pairs: bool = False) -> Mapping[str, Any]:
    """max_seq_length, query_length, document_length and do_lower_case, as far as they are said.

    Args:
        transformer: Its folder.
        is_of_pairs: Whether the model scores pairs, whose logits are followed elsewhere.

    Raises:
        ConfigError: a setting that shapes vectors or scores and that Quarry does not follow.
    """
    file = settings_file(transformer)
    if file is None:
        return {}
    written = read_json(file)
    found = {name: written.get(name) for name in _FOLLOWED}
    others = dict(_leaves({name: each for name, each in written.items() if name not in found}))
    usual = _USUAL_OF_PAIRS if is_of_pairs else _USUAL
    for name, value in others.items():
        if name.startswith(_CHAT):
            continue
        if name not in _LENGTHS and value not in usual.get(name, ()):
            raise ConfigError(
                f"{file} sets {name}, which Quarry does not follow.",
                hint="Delete it from a copy of the model, if its vectors may do without it;"
                " model.dtype chooses the number format.",
            )
    for name, lengths in _LENGTHS.items():
        if name in others:
            found |= dict.fromkeys(lengths, others[name])
    return found


def _leaves(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Settings that are not empty, nested ones under dotted names."""
    for key, value in settings.items():
        name = f"{before}{key}"
        is_empty = value is None or value is False or value in ("", [], {})
        # A file cannot have code run, in sentence-transformers neither.
        if is_empty or name in _NO_MATTER or key == "trust_remote_code":
            continue
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{name}.")
        else:
            yield name, value
