"""Everything about a model but its weights: what `resolve` finds, its contract, its fingerprint."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import msgspec

from quarry_runtime.guard.hashes import sha256_of
from quarry_runtime.guard.locate import optional_json, settled
from quarry_runtime.modeling.adapter_files import AdapterFiles
from quarry_runtime.modeling.chat_template import Chat, written_chat
from quarry_runtime.modeling.layout import OWN_STATE, HeadSpec, NormalizeSpec, is_built_in
from quarry_runtime.modeling.registry import find
from quarry_runtime.modeling.similarity import PRODUCTS
from quarry_runtime.modeling.weights import WeightFacts
from quarry_runtime.protocol.messages import ModelContract, ModelSpec

DType = Literal["float32", "bfloat16", "float16"]
# RoBERTa's family counts positions from the padding id + 1, so that many are never used.
OFFSET_POSITIONS = {
    "roberta",
    "xlm-roberta",
    "xlm-roberta-xl",
    "camembert",
    "mpnet",
    "longformer",
    "roberta-prelayernorm",
    "data2vec-text",
    "xmod",
    "ibert",
    "esm",
    "luke",
    "markuplm",
    "lilt",
    "layoutlmv3",
}
#: T5's family adds a bias by distance: its n_positions is the length of the pre-training, no limit.
RELATIVE_POSITIONS = {"t5", "mt5", "umt5", "longt5", "switch_transformers"}
#: Part of every fingerprint: raise it when a change to the code of the built-in encoders, pooling or
#: tokenising changes vectors, so that none that are stored pass for those of the new code.
ENCODER_VERSION = 2
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
    own: Path
    """Where its transformer lies, or the adapter of one, and what a plugin learned beside it."""
    transformer: Path
    """Where config.json and weights lie: of an adapter, those of its base model."""
    tokenizer: Path
    """Where the tokenizer lies."""
    adapter: AdapterFiles | None
    config: Mapping[str, Any]
    architecture: str
    hidden_size: int
    dimension: int
    pooling: str
    """One pooling, one that a plugin registers, or several joined by "+"."""
    head: tuple[HeadSpec, ...]
    """What comes after the pooling."""
    similarity: str
    """dot, cosine, or a registered name."""
    query_prompt: str
    passage_prompt: str
    other_prompts: Mapping[str, str | None]
    """Of other names, which no vector here depends on; kept for others."""
    default_prompt_name: str | None
    """As other_prompts."""
    is_prompt_pooled: bool
    query_max_length: int
    passage_max_length: int
    padding_side: Literal["left", "right"]
    is_lower_case: bool
    append_eos: bool
    chat: Chat | None
    """How texts are put into the tokenizer's chat template; None: as they are."""
    pad_to_multiple_of: int
    weights: WeightFacts
    position_limit: int
    layout: Literal["sentence-transformers", "transformers"]
    query: Resolved | None = None
    """The queries' own encoder, where they do not share the passages'."""

    @property
    def normalize(self) -> bool:
        """Whether vectors have length 1."""
        return bool(self.head) and isinstance(self.head[-1], NormalizeSpec)

    @property
    def has_own_positions(self) -> bool:
        """Whether the model counts positions from its padding id on, and so by itself."""
        return self.config.get("model_type") in OFFSET_POSITIONS

    def contract(self, dtype: str, spec: ModelSpec) -> ModelContract:
        """The contract as it travels, in a resolved dtype; hashes the weights."""
        own = self._own_contract(dtype, spec)
        if self.query is None:
            return own
        theirs = self.query._own_contract(dtype, spec)
        both = {own.architecture: None, theirs.architecture: None}
        prints = ["towers", theirs.fingerprint, own.fingerprint]
        return msgspec.structs.replace(
            own,
            architecture=" + ".join(both),
            query_prompt=theirs.query_prompt,
            query_max_length=theirs.query_max_length,
            parameter_count=own.parameter_count + theirs.parameter_count,
            fingerprint=hashlib.sha256(msgspec.json.encode(prints)).hexdigest(),
        )

    def _own_contract(self, dtype: str, spec: ModelSpec) -> ModelContract:
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

    def _fingerprint(self, dtype: str, spec: ModelSpec) -> str:
        files = [*self.weights.files]
        files.append(self.transformer / "config.json")
        files += [self.tokenizer / name for name in TOKENIZER_FILES]
        if self.chat is not None:
            # A template in tokenizer_config.json is hashed with it.
            files.append(self.tokenizer / "chat_template.jinja")
            files += sorted((self.tokenizer / "additional_chat_templates").glob("*.jinja"))
        files.append(self.own / OWN_STATE)
        for module in self.head:
            if not isinstance(module, NormalizeSpec):
                files += [module.folder / "config.json", module.folder / "model.safetensors"]
        parts = {
            # Names without folders: the same model in another place is the same model.
            "files": [(file.name, sha256_of(file)) for file in files if file.is_file()],
            "code": [(file.name, sha256_of(file)) for file in self._code(spec)],
            "plugins": self._plugins(spec),
            "encoderVersion": ENCODER_VERSION,
            "encoder": [spec.encoder, spec.encoder_options],
            "pooling": self.pooling,
            "normalize": self.normalize,
            "similarity": self.similarity,
            "prompts": [self.query_prompt, self.passage_prompt],
            "lengths": [self.query_max_length, self.passage_max_length],
            "padding": self.padding_side,
            "lowerCase": self.is_lower_case,
            "dtype": dtype,
            **self._uncommon(spec),
        }
        return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()

    def _uncommon(self, spec: ModelSpec) -> dict[str, Any]:
        """What most models do not have; left out there, so that vectors stored earlier count on."""
        kinds = [type(module).__name__ for module in self.head]
        usual = [*(kind for kind in kinds if kind == "DenseSpec"), *kinds[-1:]]
        parts = {
            "head": kinds if kinds not in (usual, usual[:-1]) else None,
            "withoutPrompt": not self.is_prompt_pooled or None,
            "appendEos": self.append_eos or None,
            "chat": None if self.chat is None else written_chat(self.chat),
            "ownPositions": (self.has_own_positions and self.padding_side == "left") or None,
            "truncation": "left" if _cuts_left(self.tokenizer) else None,
            "settled": settled(self.config) or None,
            "adapter": self.adapter.facts() if self.adapter else None,
            "quantization": spec.quantization,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def _plugins(self, spec: ModelSpec) -> list[str]:
        """What the plugins are, as the run has them, whatever lies there by now.

        Only where one of them shapes vectors or scores: who works on a loss does not encode anew.
        """
        if not self._is_shaped_by_plugins(spec):
            return []
        hashes = []
        for plugin in spec.plugins:
            if plugin.sha256 is not None:
                hashes.append(plugin.sha256)
            elif (file := Path(plugin.path)).is_file():
                hashes.append(sha256_of(file))
        return hashes

    def _is_shaped_by_plugins(self, spec: ModelSpec) -> bool:
        # Known names first: looking one up takes the seconds that torch takes.
        return (
            spec.encoder != "auto"
            or not is_built_in(self.pooling)
            or (self.similarity not in PRODUCTS and find("similarity", self.similarity).is_plugin)
        )

    def _code(self, spec: ModelSpec) -> list[Path]:
        """The Python files of a checkpoint whose own code may run."""
        if not spec.trust_remote_code:
            return []
        folders = [self.path, *([self.adapter.base_path] if self.adapter else [])]
        return sorted(file for folder in folders for file in folder.rglob("*.py"))


class _TokenizerFile(msgspec.Struct):
    """What of tokenizer.json is asked for; a vocabulary of megabytes is skipped."""

    truncation: dict[str, Any] | None = None


def _cuts_left(folder: Path) -> bool:
    """Whether a tokenizer cuts texts off at the left, as transformers reads it from its files."""
    side = optional_json(folder / "tokenizer_config.json").get("truncation_side")
    whole = folder / "tokenizer.json"
    if side is None and whole.is_file():
        written = msgspec.json.decode(whole.read_bytes(), type=_TokenizerFile).truncation or {}
        side = str(written.get("direction")).lower()
    return side == "left"
