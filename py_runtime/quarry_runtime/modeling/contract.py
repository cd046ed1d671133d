"""Reads what a checkpoint promises from its small files, without torch and without weights."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast, get_args

import msgspec

from quarry_runtime.errors import ConfigError
from quarry_runtime.guard.hashes import sha256_of
from quarry_runtime.guard.locate import locate, read_json, transformer_folder
from quarry_runtime.modeling.layout import (
    OWN_STATE,
    DenseSpec,
    Modules,
    Pooling,
    read_modules,
)
from quarry_runtime.modeling.registry import find_pooling, load_plugins
from quarry_runtime.modeling.similarity import PRODUCTS, scorer
from quarry_runtime.modeling.weights import WeightFacts, weight_facts
from quarry_runtime.protocol.messages import ModelContract, ModelSpec

DType = Literal["float32", "bfloat16", "float16"]
# RoBERTa's family counts positions from the padding id + 1, so that many are never used.
_OFFSET_POSITIONS = {
    "roberta",
    "xlm-roberta",
    "xlm-roberta-xl",
    "camembert",
    "mpnet",
    "longformer",
    "roberta-prelayernorm",
}
# Without any limit in the checkpoint (T5, some decoders); a user may set another one.
_DEFAULT_MAX_LENGTH = 512
#: Part of every fingerprint: raise it when a change to the code of the built-in encoders, pooling or
#: tokenising changes vectors, so that none that are stored pass for those of the new code.
ENCODER_VERSION = 1
TOKENIZER_FILES = (
    "tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", "tokenizer.model", "spiece.model",
    "sentencepiece.bpe.model", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Resolved:
    """A checkpoint together with a user's wishes: everything about a model but its weights."""

    checkpoint: str
    """As the user named it."""
    path: Path
    """The checkpoint's folder."""
    transformer: Path
    """Where config.json, weights and tokenizer lie."""
    config: Mapping[str, Any]
    architecture: str
    hidden_size: int
    dimension: int
    pooling: str
    """mean, cls, last, or a registered name."""
    normalize: bool
    similarity: str
    """dot, cosine, or a registered name."""
    query_prompt: str
    passage_prompt: str
    query_max_length: int
    passage_max_length: int
    padding_side: Literal["left", "right"]
    is_lower_case: bool
    dense: tuple[DenseSpec, ...]
    weights: WeightFacts
    position_limit: int
    layout: Literal["sentence-transformers", "transformers"]

    def contract(self, dtype: str, spec: ModelSpec | None = None) -> ModelContract:
        """The contract as it travels, in a resolved dtype; hashes the weights."""
        return ModelContract(
            checkpoint=self.checkpoint,
            architecture=self.architecture,
            dimension=self.dimension,
            pooling=self.pooling,
            normalize=self.normalize,
            similarity=self.similarity,
            query_prompt=self.query_prompt,
            passage_prompt=self.passage_prompt,
            query_max_length=self.query_max_length,
            passage_max_length=self.passage_max_length,
            padding_side=self.padding_side,
            dtype=cast(DType, dtype),
            parameter_count=self.weights.parameter_count,
            # The hub's cache keeps each commit in a folder of its name.
            revision=self.path.name if self.path.parent.name == "snapshots" else None,
            fingerprint=self._fingerprint(dtype, spec),
        )

    def _fingerprint(self, dtype: str, spec: ModelSpec | None) -> str:
        files = [*self.weights.files]
        files += [self.transformer / name for name in ("config.json", *TOKENIZER_FILES)]
        files.append(self.path / OWN_STATE)
        for dense in self.dense:
            files += [dense.folder / "config.json", dense.folder / "model.safetensors"]
        plugins = [Path(plugin) for plugin in (spec.plugins if spec else [])]
        parts = {
            # Names without folders: the same model in another place is the same model.
            "files": [(file.name, sha256_of(file)) for file in files if file.is_file()],
            "code": [(file.name, sha256_of(file)) for file in self._code(spec)],
            "plugins": [sha256_of(plugin) for plugin in plugins if plugin.is_file()],
            "encoderVersion": ENCODER_VERSION,
            "encoder": [spec.encoder, spec.encoder_options] if spec else ["auto", {}],
            "pooling": self.pooling,
            "normalize": self.normalize,
            "similarity": self.similarity,
            "prompts": [self.query_prompt, self.passage_prompt],
            "lengths": [self.query_max_length, self.passage_max_length],
            "padding": self.padding_side,
            "lowerCase": self.is_lower_case,
            "dtype": dtype,
        }
        return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()

    def _code(self, spec: ModelSpec | None) -> list[Path]:
        """The Python files of a checkpoint whose own code may run."""
        if spec is None or not spec.trust_remote_code:
            return []
        return sorted(self.path.rglob("*.py"))


def resolve(spec: ModelSpec) -> Resolved:
    """Finds a checkpoint and fills every null of the spec from JSON files and weight headers.

    A checkpoint in sentence-transformers layout is followed to the letter. A plain transformers
    checkpoint says nothing about pooling: mean over the tokens, length 1, cosine. Prompts come from
    the names query, and document, passage or corpus, in that order, as sentence-transformers takes
    them.

    Raises:
        ConfigError, EnvironmentFault, IntegrityError: see guard/locate.py; or a layout that Quarry
        cannot follow.
    """
    path = locate(spec.checkpoint, spec.revision, spec.trust_remote_code)
    transformer = transformer_folder(path)
    config = read_json(transformer / "config.json")
    tokenizer_config = optional_json(transformer / "tokenizer_config.json")
    modules = read_modules(path)
    hidden = hidden_size(config)
    limit = position_limit(config)
    longest = longest_text(modules, tokenizer_config, limit)
    prompts = modules.prompts
    query_prompt = _first(spec.query_prompt, prompts.get("query"))
    passage_prompt = _first(
        spec.passage_prompt, *(prompts.get(name) for name in ("document", "passage", "corpus"))
    )
    if not modules.is_prompt_pooled and (query_prompt or passage_prompt):
        raise ConfigError(
            f"{spec.checkpoint} leaves its prompt out of the pooling, which Quarry does not do.",
            hint="Set prompts.query and prompts.passage to empty texts.",
        )
    similarity = spec.similarity or modules.similarity
    if similarity not in PRODUCTS:
        # Only a name of another kind is worth the seconds that plugins and torch take.
        load_plugins(spec.plugins)
        scorer(similarity)
    pooling = spec.pooling or modules.pooling
    if pooling not in get_args(Pooling):
        load_plugins(spec.plugins)
        find_pooling(pooling)
    side = tokenizer_config.get("padding_side", "right")
    return Resolved(
        checkpoint=spec.checkpoint,
        path=path,
        transformer=transformer,
        config=config,
        architecture=str((config.get("architectures") or [config.get("model_type", "unknown")])[0]),
        hidden_size=hidden,
        dimension=modules.dense[-1].out_features if modules.dense else hidden,
        pooling=pooling,
        normalize=modules.is_normalized if spec.normalize is None else spec.normalize,
        similarity=similarity,
        query_prompt=query_prompt,
        passage_prompt=passage_prompt,
        query_max_length=min(spec.query_max_length or modules.query_max_length or longest, limit),
        passage_max_length=min(
            spec.passage_max_length or modules.passage_max_length or longest, limit
        ),
        padding_side="left" if side == "left" else "right",
        is_lower_case=modules.is_lower_case,
        dense=modules.dense,
        weights=weight_facts(transformer),
        position_limit=limit,
        layout=modules.layout,
    )


def hidden_size(config: Mapping[str, Any]) -> int:
    """Size of a token's vector under the names that architectures give it."""
    for name in ("hidden_size", "n_embd", "d_model", "dim"):
        if isinstance(config.get(name), int):
            return config[name]
    nested = config.get("text_config")
    if isinstance(nested, dict):
        return hidden_size(nested)
    raise ConfigError(
        "config.json names no hidden size.", hint="Use an encoder or decoder of transformers."
    )


def position_limit(config: Mapping[str, Any]) -> int:
    """Tokens that the model's positions allow; the wire's limit where there is none."""
    for name in ("max_position_embeddings", "n_positions", "max_seq_len"):
        limit = config.get(name)
        if isinstance(limit, int) and limit > 0:
            offset = config.get("pad_token_id") or 0
            return limit - offset - 1 if config.get("model_type") in _OFFSET_POSITIONS else limit
    return 1_000_000


def longest_text(modules: Modules, tokenizer_config: Mapping[str, Any], limit: int) -> int:
    """Most tokens of a text when the user says nothing: the layout's, the tokenizer's, a default."""
    if modules.max_length is not None:
        return modules.max_length
    # Tokenizers without a limit say 1e30.
    stated = tokenizer_config.get("model_max_length")
    stated = int(stated) if isinstance(stated, int | float) and stated < 1_000_000 else None
    return min(stated or _DEFAULT_MAX_LENGTH, limit) if stated or limit >= 1_000_000 else limit


def optional_json(file: Path) -> dict[str, Any]:
    """A checkpoint's JSON file, empty where there is none."""
    return read_json(file) if file.is_file() else {}


def _first(*prompts: str | None) -> str:
    return next((prompt for prompt in prompts if prompt is not None), "")
