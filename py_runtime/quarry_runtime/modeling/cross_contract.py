"""Reads what a cross-encoder's checkpoint promises from its small files, without torch."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import msgspec

from quarry_runtime.counted import counted
from quarry_runtime.errors import ConfigError
from quarry_runtime.guard.hashes import sha256_of
from quarry_runtime.guard.locate import (
    is_adapter,
    locate,
    optional_json,
    read_json,
    settled,
    transformer_folders,
)
from quarry_runtime.modeling.chat_template import Chat
from quarry_runtime.modeling.contract import longest_text, position_limit
from quarry_runtime.modeling.cross_kind import Kind, first_token, kind_of
from quarry_runtime.modeling.layout import Modules
from quarry_runtime.modeling.pair_layout import PairLayout, read_pair_layout
from quarry_runtime.modeling.resolved import TOKENIZER_FILES, DType
from quarry_runtime.modeling.weights import WeightFacts, weight_facts
from quarry_runtime.protocol.messages import CrossEncoderContract, CrossEncoderSpec

Activation = Literal["identity", "sigmoid", "softmax"]
# A checkpoint names an activation by its import path; nothing is imported by name.
_ACTIVATIONS: dict[str, Activation] = {
    "Identity": "identity",
    "Sigmoid": "sigmoid",
    "Softmax": "softmax",
}
# How a card would say it; no default, for one that was trained otherwise would rank badly and not fail.
_ASKED = {
    "causal": 'template: "Query: {query}\\nPassage: {passage}\\nRelevant:", trueToken: "yes",'
    ' falseToken: "no"',
    "encoder-decoder": 'monoT5\'s, template: "Query: {query} Document: {passage} Relevant:",'
    ' trueToken: "true", falseToken: "false"',
}
# What transformers takes a config for that names no labels.
_DEFAULT_LABELS = 2
# Raised when the same files would give other scores.
_SCORING_VERSION = 1


@dataclasses.dataclass(frozen=True)
class ResolvedCross:
    """A checkpoint together with a user's wishes: everything about a cross-encoder but weights."""

    checkpoint: str
    """As the user named it."""
    path: Path
    """The checkpoint's folder."""
    transformer: Path
    """Where config.json, weights and tokenizer lie."""
    config: Mapping[str, Any]
    architecture: str
    label_count: int
    label: int
    max_length: int
    """Tokens of query and passage together, special tokens included."""
    activation: Activation
    padding_side: Literal["left", "right"]
    kind: Kind
    first_token: int | None
    """What the decoder of an encoder-decoder begins with."""
    template: str | None
    """The user's; None: the chat template where there is one, else both texts as they are."""
    chat: Chat | None
    prompt: str | None
    """Stands before the query, or in a chat template's system message."""
    tokens: tuple[str | int, str | int | None] | None
    """The tokens that say yes and no, of a language model."""
    weights: WeightFacts
    code_revision: str | None
    """The commit whose Python code may run."""

    def contract(
        self, dtype: str, template: str | None, tokens: Sequence[int]
    ) -> CrossEncoderContract:
        """The contract as it travels, in a resolved dtype; hashes the weights.

        Args:
            dtype: Of the weights.
            template: What a pair becomes, where it is not two texts.
            tokens: Ids of those that say yes and no.
        """
        return CrossEncoderContract(
            checkpoint=self.checkpoint,
            architecture=self.architecture,
            label_count=self.label_count,
            label=self.label,
            max_length=self.max_length,
            activation=self.activation,
            dtype=cast(DType, dtype),
            parameter_count=self.weights.parameter_count,
            template=template,
            tokens=list(tokens),
            revision=self.path.name if self.path.parent.name == "snapshots" else None,
            fingerprint=self._fingerprint(dtype, template, tokens),
        )

    def _fingerprint(self, dtype: str, template: str | None, tokens: Sequence[int]) -> str:
        files = [*self.weights.files]
        files += [self.transformer / name for name in ("config.json", *TOKENIZER_FILES)]
        if self.chat is not None:
            files.append(self.transformer / "chat_template.jinja")
        code = sorted(self.path.rglob("*.py")) if self.code_revision is not None else []
        parts = {
            "version": _SCORING_VERSION,
            # Names without folders: the same model in another place is the same model.
            "files": [(file.name, sha256_of(file)) for file in files if file.is_file()],
            "code": [(file.name, sha256_of(file)) for file in code],
            "label": self.label,
            "length": self.max_length,
            "activation": self.activation,
            "padding": self.padding_side,
            "dtype": dtype,
            **({} if self.first_token is None else {"first": self.first_token}),
            **({"settled": changed} if (changed := settled(self.config)) else {}),
            # Only where they are used: scores that are kept stay those of the others.
            **({} if template is None else {"template": template}),
            **({"tokens": list(tokens)} if tokens else {}),
            **({"prompt": self.prompt} if template is None and self.prompt else {}),
        }
        return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()


def resolve_cross(spec: CrossEncoderSpec) -> ResolvedCross:
    """Finds a checkpoint that scores pairs and fills every null of the spec.

    That is one of sequence classification, or a language model that is asked which of two tokens
    comes next, be it causal or an encoder-decoder.

    The activation is what the checkpoint says in sentence-transformers' words. One that says
    nothing gets sigmoid for a single label, as sentence-transformers has it, and softmax for
    several: there one logit alone ranks nothing.

    Raises:
        ConfigError, EnvironmentFault, IntegrityError: see guard/locate.py; or a checkpoint that is
            neither, a language model of which nobody says how to ask it, a label that it does not
            have, an activation that Quarry does not know, softmax of a single label, or longer
            pairs asked for than it has positions for.
    """
    path = locate(spec.checkpoint, spec.revision, spec.trust_remote_code)
    transformer = transformer_folders(path)[0]
    if is_adapter(transformer):
        raise ConfigError(
            f"{spec.checkpoint} is an adapter, and a cross-encoder is a whole checkpoint.",
            hint="Merge it with peft: merge_and_unload() of the adapter on its base model, then"
            " save_pretrained() of that and of the tokenizer.",
        )
    config = read_json(transformer / "config.json")
    architecture = str((config.get("architectures") or [config.get("model_type", "unknown")])[0])
    kind = kind_of(spec.checkpoint, config, architecture)
    is_writing = kind == "encoder-decoder"
    layout = read_pair_layout(path)
    tokens = _tokens(spec, layout, kind)
    label_count = _label_count(config) if kind == "classifier" else 1
    label = label_count - 1 if spec.label is None else spec.label
    if label >= label_count:
        raise ConfigError(
            f"{spec.checkpoint} has {counted(label_count, 'labels')}, numbered from 0; there is no {label}.",
            hint=f"Choose a label below {label_count}.",
        )
    activation = spec.activation or _activation(spec.checkpoint, path, config, label_count)
    if label_count == 1 and activation == "softmax":
        raise ConfigError(
            f"{spec.checkpoint} has one {'label' if kind == 'classifier' else 'score'}, whose softmax is 1"
            " for every pair.",
            hint="Set activation to sigmoid, or to identity for the raw logit.",
        )
    tokenizer_config = optional_json(transformer / "tokenizer_config.json")
    limit = position_limit(config)
    if spec.max_length is not None and spec.max_length > limit:
        raise ConfigError(
            f"maxLength is {spec.max_length}, and {spec.checkpoint} has positions for {limit} tokens,"
            " query and passage together.",
            hint=f"Set the cross-encoder's maxLength to {limit} or less.",
        )
    modules = Modules(layout="transformers", max_length=layout.max_length)
    longest = longest_text(modules, tokenizer_config, limit)
    return ResolvedCross(
        checkpoint=spec.checkpoint,
        path=path,
        transformer=transformer,
        config=config,
        architecture=architecture,
        label_count=label_count,
        label=label,
        max_length=min(spec.max_length or longest, limit),
        activation=activation,
        # The last column is read: what comes next stands behind it.
        padding_side="left"
        if kind == "causal"
        else _padding_side(config, tokenizer_config, spec.trust_remote_code),
        kind=kind,
        first_token=first_token(spec.checkpoint, transformer, config) if is_writing else None,
        template=spec.template,
        chat=layout.chat if spec.template is None else None,
        prompt=None if spec.template is not None else spec.prompt or layout.prompt,
        tokens=tokens,
        weights=weight_facts(transformer),
        code_revision=spec.revision if spec.trust_remote_code else None,
    )


def _padding_side(
    config: Mapping[str, Any], tokenizer_config: Mapping[str, Any], is_their_code: bool
) -> Literal["left", "right"]:
    """The side that the classifier does not read, whatever the tokenizer says.

    Encoders read the first column, where padding on the left would stand; decoders look for the
    last token; only XLNet reads the last column. Code of a checkpoint's own may do anything.
    """
    if is_their_code:
        return "left" if tokenizer_config.get("padding_side") == "left" else "right"
    is_xlnet = config.get("model_type") == "xlnet"
    return "left" if is_xlnet and config.get("summary_type", "last") == "last" else "right"


def _tokens(
    spec: CrossEncoderSpec, layout: PairLayout, kind: Kind
) -> tuple[str | int, str | int | None] | None:
    """Which tokens say yes and no: the user's, or those of the checkpoint's LogitScore."""
    if kind == "classifier":
        if spec.true_token is not None or layout.tokens is not None:
            raise ConfigError(
                f"{spec.checkpoint} is a classifier: its score is a label's, not a token's.",
                hint="Leave trueToken and falseToken out; label chooses one of several.",
            )
        return None
    if spec.label is not None:
        raise ConfigError(
            f"{spec.checkpoint} is a language model, which has no labels.",
            hint="Leave label out; trueToken and falseToken say what is asked.",
        )
    told = layout.tokens if spec.true_token is None else (spec.true_token, spec.false_token)
    if told is None or (spec.template is None and layout.chat is None):
        raise ConfigError(
            f"{spec.checkpoint} is a language model, and does not say how it is asked for a score.",
            hint=f"Its card does: what a pair becomes and which tokens answer, e.g. {_ASKED[kind]}.",
        )
    return told


def _label_count(config: Mapping[str, Any]) -> int:
    names = config.get("id2label")
    if isinstance(names, Mapping) and names:
        return len(names)
    count = config.get("num_labels", _DEFAULT_LABELS)
    return count if isinstance(count, int) and count > 0 else _DEFAULT_LABELS


def _activation(
    checkpoint: str, path: Path, config: Mapping[str, Any], label_count: int
) -> Activation:
    general = optional_json(path / "config_sentence_transformers.json")
    own = config.get("sentence_transformers")
    stated = (
        general.get("activation_fn")
        or (own.get("activation_fn") if isinstance(own, Mapping) else None)
        or config.get("sbert_ce_default_activation_function")
    )
    if stated is None:
        return "sigmoid" if label_count == 1 else "softmax"
    known = _ACTIVATIONS.get(str(stated).rsplit(".", 1)[-1])
    if known is None:
        raise ConfigError(
            f"{checkpoint} turns logits into scores by {stated}, which Quarry does not follow.",
            hint="Set activation to identity, sigmoid or softmax.",
        )
    return known
