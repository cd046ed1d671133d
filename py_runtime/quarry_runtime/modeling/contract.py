"""Reads what a checkpoint promises from its small files, without torch and without weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from quarry_runtime.errors import ConfigError
from quarry_runtime.guard.locate import (
    has_tokenizer,
    locate,
    optional_json,
    read_json,
    transformer_folders,
)
from quarry_runtime.modeling.adapter_files import read_adapter
from quarry_runtime.modeling.layout import (
    POOLING_NAMES,
    DenseSpec,
    HeadSpec,
    LayerNormSpec,
    Modules,
    NormalizeSpec,
    is_built_in,
    read_modules,
)
from quarry_runtime.modeling.registry import find, load_plugins
from quarry_runtime.modeling.resolved import OFFSET_POSITIONS, RELATIVE_POSITIONS, Resolved
from quarry_runtime.modeling.similarity import PRODUCTS, scorer
from quarry_runtime.modeling.tower_layout import read_towers
from quarry_runtime.modeling.weights import weight_facts
from quarry_runtime.protocol.messages import ModelSpec, PluginFile

# Without any limit in the checkpoint (T5, some decoders); a user may set another one.
_DEFAULT_MAX_LENGTH = 512


def bare_spec(
    checkpoint: str,
    revision: str | None = None,
    trust_remote_code: bool = False,
    plugins: Sequence[PluginFile] = (),
) -> ModelSpec:
    """What leaves everything to the checkpoint itself."""
    return ModelSpec(
        checkpoint=checkpoint,
        revision=revision,
        trust_remote_code=trust_remote_code,
        encoder="auto",
        encoder_options={},
        plugins=list(plugins),
        pooling=None,
        normalize=None,
        similarity=None,
        query_prompt=None,
        passage_prompt=None,
        query_max_length=None,
        passage_max_length=None,
        append_eos=None,
        pad_to_multiple_of=None,
        towers=None,
        query_checkpoint=None,
        query_revision=None,
        adapter=None,
        quantization=None,
        dtype="auto",
    )


def resolve(spec: ModelSpec) -> Resolved:
    """Finds a checkpoint and fills every null of the spec from JSON files and weight headers.

    A checkpoint in sentence-transformers layout is followed to the letter. A plain transformers
    checkpoint says nothing about pooling: mean over the tokens, length 1, cosine. Prompts come from
    the names query, and document, passage or corpus, in that order. (sentence-transformers 6.2 looks
    for the same names, and stops at a document prompt that a checkpoint does not have, its own
    placeholder.)

    Raises:
        ConfigError, EnvironmentFault, IntegrityError: see guard/locate.py; or a layout that Quarry
        cannot follow, or longer texts asked for than the model has positions for.
    """
    found = _find(spec)
    wishes = {"query": spec.query_max_length, "passage": spec.passage_max_length}
    for side, wish in wishes.items():
        own = found.query if side == "query" and found.query is not None else found
        if wish is not None and wish > own.position_limit:
            raise ConfigError(
                f"model.{side}MaxLength is {wish}, and {own.checkpoint} has positions for"
                f" {own.position_limit} tokens.",
                hint=f"Set model.{side}MaxLength to {own.position_limit} or less.",
            )
    return found


def _find(spec: ModelSpec) -> Resolved:
    path = locate(spec.checkpoint, spec.revision, spec.trust_remote_code)
    towers = read_towers(path)
    if towers is not None:
        query = _resolve(spec, path, towers.query, path / towers.query_transformer)
        passage = _resolve(spec, path, towers.passage, path / towers.passage_transformer)
        return passage if towers.is_shared else _together(query, passage)
    passage = _resolve(spec, path, read_modules(path), transformer_folders(path)[0])
    if spec.query_checkpoint is not None:
        own = msgspec.structs.replace(
            spec, checkpoint=spec.query_checkpoint, revision=spec.query_revision
        )
        where = locate(own.checkpoint, own.revision, own.trust_remote_code)
        if read_towers(where) is not None:
            raise ConfigError(
                f"{own.checkpoint} holds encoders of both sides.",
                hint="Name it as the model itself, without model.queryCheckpoint.",
            )
        query = _resolve(own, where, read_modules(where), transformer_folders(where)[0])
        return _together(query, passage)
    return _together(passage, passage) if spec.towers == "separate" else passage


def _together(query: Resolved, passage: Resolved) -> Resolved:
    if query.dimension != passage.dimension:
        raise ConfigError(
            f"Queries of {query.checkpoint} have {query.dimension} dimensions, passages of"
            f" {passage.checkpoint} have {passage.dimension}.",
            hint="Take encoders whose vectors can be compared.",
        )
    if query.normalize != passage.normalize:
        raise ConfigError(
            "One encoder gives vectors of length 1, the other does not.",
            hint="Set model.normalize, for both.",
        )
    return dataclasses.replace(passage, query=query)


def _resolve(spec: ModelSpec, path: Path, modules: Modules, own: Path) -> Resolved:
    """One encoder; `own` is the folder of its transformer, or of the adapter of one."""
    adapter = read_adapter(own, spec.checkpoint)
    transformer = own
    if adapter is not None:
        transformer = transformer_folders(adapter.base_path)[0]
        if modules.layout == "transformers":
            modules = read_modules(adapter.base_path)
    tokenizer = own if adapter is None or has_tokenizer(own) else transformer
    config = read_json(transformer / "config.json")
    tokenizer_config = optional_json(tokenizer / "tokenizer_config.json")
    hidden = hidden_size(config)
    limit = position_limit(config)
    longest = longest_text(modules, tokenizer_config, limit)
    prompts = modules.prompts
    query_prompt = _first(spec.query_prompt, prompts.get("query"))
    passage_prompt = _first(
        spec.passage_prompt, *(prompts.get(name) for name in ("document", "passage", "corpus"))
    )
    similarity = spec.similarity or modules.similarity
    if similarity not in PRODUCTS:
        # Only a name of another kind is worth the seconds that plugins and torch take.
        load_plugins(spec.plugins)
        scorer(similarity)
    pooling = _known(spec.pooling or modules.pooling, spec.plugins)
    head = _with_normalize(modules.head, spec.normalize)
    side = tokenizer_config.get("padding_side", "right")
    append_eos = modules.append_eos if spec.append_eos is None else spec.append_eos
    if append_eos and modules.chat is not None:
        raise ConfigError(
            f"{spec.checkpoint} puts each text into its chat template, which says what ends it.",
            hint="Leave model.appendEos out: sentence-transformers would put no end token behind it.",
        )
    return Resolved(
        checkpoint=spec.checkpoint,
        path=path,
        own=own,
        transformer=transformer,
        tokenizer=tokenizer,
        adapter=adapter,
        config=config,
        architecture=str((config.get("architectures") or [config.get("model_type", "unknown")])[0]),
        hidden_size=hidden,
        dimension=_dimension(head, hidden, pooling),
        pooling=pooling,
        head=head,
        similarity=similarity,
        query_prompt=query_prompt,
        passage_prompt=passage_prompt,
        other_prompts={
            name: prompt for name, prompt in prompts.items() if name not in ("query", "document")
        },
        default_prompt_name=modules.default_prompt_name,
        is_prompt_pooled=modules.is_prompt_pooled,
        query_max_length=min(spec.query_max_length or modules.query_max_length or longest, limit),
        passage_max_length=min(
            spec.passage_max_length or modules.passage_max_length or longest, limit
        ),
        padding_side="left" if side == "left" else "right",
        is_lower_case=modules.is_lower_case,
        append_eos=append_eos,
        chat=modules.chat,
        pad_to_multiple_of=spec.pad_to_multiple_of or 1,
        weights=weight_facts(transformer, *([adapter.weights] if adapter else [])),
        position_limit=limit,
        layout=modules.layout,
    )


def _known(pooling: str, plugins: list[PluginFile]) -> str:
    for name in pooling.split("+"):
        if name not in POOLING_NAMES.values():
            load_plugins(plugins)
            find("pooling", name)
    return pooling


def _with_normalize(head: tuple[HeadSpec, ...], wish: bool | None) -> tuple[HeadSpec, ...]:
    is_last = bool(head) and isinstance(head[-1], NormalizeSpec)
    if wish is None or wish == is_last:
        return head
    return (*head, NormalizeSpec()) if wish else head[:-1]


def _dimension(head: tuple[HeadSpec, ...], hidden: int, pooling: str) -> int:
    """Size of a text's vector after all modules, each of which must fit the one before."""
    size = hidden * len(pooling.split("+"))
    # A plugin's pooling may give another size; that is found out when it is loaded.
    is_sure = is_built_in(pooling)
    for module in head:
        if isinstance(module, NormalizeSpec):
            continue
        taken = module.in_features if isinstance(module, DenseSpec) else module.dimension
        if taken != size and is_sure:
            raise ConfigError(
                f"{module.folder} takes {taken} dimensions and gets {size} (pooling {pooling}).",
                hint="Leave model.pooling as the checkpoint has it.",
            )
        is_sure = True
        size = taken if isinstance(module, LayerNormSpec) else module.out_features
    return size


def hidden_size(config: Mapping[str, Any]) -> int:
    """Size of a token's vector under the names that architectures give it."""
    # OPT's last layer leads back to the size of its words, where that is another one.
    projected = ["word_embed_proj_dim"] if config.get("model_type") == "opt" else []
    for name in (*projected, "hidden_size", "n_embd", "d_model", "dim", "n_embed", "emb_dim"):
        if isinstance(config.get(name), int):
            return config[name]
    for nested in (config.get("text_config"), config.get("encoder")):
        if isinstance(nested, dict):
            return hidden_size(nested)
    raise ConfigError(
        "config.json names no hidden size.", hint="Use an encoder or decoder of transformers."
    )


def position_limit(config: Mapping[str, Any]) -> int:
    """Tokens that the model's positions allow; the wire's limit where there is none."""
    if isinstance(half := config.get("encoder"), dict):
        return position_limit(half)
    is_relative = config.get("model_type") in RELATIVE_POSITIONS
    for name in () if is_relative else ("max_position_embeddings", "n_positions", "max_seq_len"):
        limit = config.get(name)
        if isinstance(limit, int) and limit > 0:
            offset = config.get("pad_token_id") or 0
            return limit - offset - 1 if config.get("model_type") in OFFSET_POSITIONS else limit
    # LED's decoder reads the text as well.
    halves = [config.get(f"max_{half}_position_embeddings") for half in ("encoder", "decoder")]
    return min(
        (limit for limit in halves if isinstance(limit, int) and limit > 0), default=1_000_000
    )


def longest_text(modules: Modules, tokenizer_config: Mapping[str, Any], limit: int) -> int:
    """Most tokens of a text when the user says nothing: the layout's, the tokenizer's, a default."""
    if modules.max_length is not None:
        return modules.max_length
    # Tokenizers without a limit say 1e30.
    stated = tokenizer_config.get("model_max_length")
    stated = int(stated) if isinstance(stated, int | float) and stated < 1_000_000 else None
    return min(stated or _DEFAULT_MAX_LENGTH, limit) if stated or limit >= 1_000_000 else limit


def _first(*prompts: str | None) -> str:
    return next((prompt for prompt in prompts if prompt is not None), "")
