"""The cross-encoder: query and passage read together by a classifier or a language model, one score out."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import nn

from quarry_runtime.counted import counted
from quarry_runtime.errors import ConfigError
from quarry_runtime.guard.device import pick_dtype
from quarry_runtime.guard.load import load_scorer, load_tokenizer
from quarry_runtime.modeling.cross_contract import ResolvedCross, resolve_cross
from quarry_runtime.modeling.cross_kind import AUTO_MODELS
from quarry_runtime.modeling.pair_template import cut, pair_chat_template, parse_template, text_of
from quarry_runtime.modeling.template import Template
from quarry_runtime.modeling.tokens import pad
from quarry_runtime.protocol.messages import CrossEncoderContract, CrossEncoderSpec


@dataclasses.dataclass(frozen=True)
class PairIds:
    """A tokenised pair, special tokens included; `types` tells the two texts apart."""

    ids: list[int]
    types: list[int]

    def __len__(self) -> int:
        return len(self.ids)


class CrossEncoder(nn.Module):
    """Pairs to scores.

    A pair that is too long is cut token by token from whichever text is longer at that point
    ("longest first"), on the side that the tokenizer says, as sentence-transformers has it: a short
    query is never cut for a long passage. Of a template nothing is cut but the texts in it.

    Args:
        classifier: Returns `logits`: [B, L], of a language model [B, T, V] (T is 1 of a decoder of its own).
        tokenizer: The checkpoint's transformers tokenizer.
        resolved: What the checkpoint and the user's wishes come to.
        contract: The same as it travels.
        template: What a pair becomes; None: both texts as the tokenizer joins them.

    Raises:
        ConfigError: a maximum length that leaves no room beside the special tokens and the template.

    Example:
        scores_B = model(model.collate(model.tokenize(["a query"], ["a passage"])))
    """

    def __init__(
        self,
        classifier: nn.Module,
        tokenizer: Any,
        resolved: ResolvedCross,
        contract: CrossEncoderContract,
        template: Template | None = None,
    ) -> None:
        super().__init__()
        self.classifier = classifier
        self.contract = contract
        self._padding_side: Literal["left", "right"] = resolved.padding_side
        self._side: Literal["left", "right"] = tokenizer.truncation_side
        self.tokenizer = tokenizer
        self.template = template
        self._prompt = (resolved.prompt or "") if template is None else ""
        # An encoder reads special tokens; a causal model and a chat template spell theirs out.
        self._has_specials = resolved.kind != "causal" and resolved.chat is None
        self._first_token = resolved.first_token
        self._fast = _fast(tokenizer, contract.max_length, template is not None)
        if template is None:
            specials = tokenizer.num_special_tokens_to_add(pair=True)
            inserted = f"{counted(specials, 'special tokens')} into each"
        else:
            specials = len(self._templated([""], [""])[0])
            inserted = f"a template of {counted(specials, 'tokens')} around them"
        if contract.max_length < specials + 2:
            raise ConfigError(
                f"A pair of at most {contract.max_length} tokens leaves no room for two texts:"
                f" {contract.checkpoint} puts {inserted}.",
                hint=f"Set maxLength to {specials + 2} or more; hundreds are usual.",
            )
        config: Any = classifier.config
        told = config.get_text_config()
        own = getattr(told, "pad_token_id", None)
        stated = (own, tokenizer.pad_token_id, tokenizer.eos_token_id)
        self._pad_id: int = next((id for id in stated if id is not None and id >= 0), 0)
        # Decoders look for a text's last token by it, and refuse batches without.
        told.pad_token_id = self._pad_id
        parameters = inspect.signature(classifier.forward).parameters
        self._extra: dict[str, Any] = {"use_cache": False} if "use_cache" in parameters else {}
        if resolved.kind == "causal" and "logits_to_keep" in parameters:
            self._extra["logits_to_keep"] = 1
        self._has_types = (
            "token_type_ids" in tokenizer.model_input_names
            and "token_type_ids" in parameters
            # RoBERTa's family has the parameter and one type only.
            and getattr(config, "type_vocab_size", 2) > 1
        )
        # Only code of a checkpoint's own is padded so: a score must not depend on its neighbours.
        self._needs_positions = self._padding_side == "left" and "position_ids" in parameters

    def tokenize(self, queries: Sequence[str], passages: Sequence[str]) -> list[PairIds]:
        """Token ids of each pair; safe in another thread."""
        if not queries:
            return []
        queries = [f"{self._prompt}{query}" for query in queries] if self._prompt else queries
        if self.template is not None:
            return [PairIds(ids, [0] * len(ids)) for ids in self._templated(queries, passages)]
        if self._fast is not None:
            pairs = list(zip(queries, passages, strict=True))
            encodings = self._fast.encode_batch_fast(pairs)
            return [PairIds(encoding.ids, encoding.type_ids) for encoding in encodings]
        out = self.tokenizer(
            list(queries),
            list(passages),
            truncation="longest_first",
            max_length=self.contract.max_length,
            return_token_type_ids=True,
        )
        both = zip(out["input_ids"], out["token_type_ids"], strict=True)
        return [PairIds(ids, types) for ids, types in both]

    def _templated(self, queries: Sequence[str], passages: Sequence[str]) -> list[list[int]]:
        """Token ids of pairs that a template makes one text of."""
        assert self.template is not None
        filled = [self.template.fill(*pair) for pair in zip(queries, passages, strict=True)]
        texts = [text for text, _ in filled]
        specials = self._has_specials
        fast = self._fast.encode_batch_fast(texts, add_special_tokens=specials)
        ids: list[list[int]] = [encoding.ids for encoding in fast]
        limit = self.contract.max_length
        for number in [number for number, own in enumerate(ids) if len(own) > limit]:
            # Where each token comes from costs time, and hardly any pair has to be cut.
            whole = self._fast.encode(texts[number], add_special_tokens=specials)
            places = filled[number][1]
            ids[number] = cut(whole.ids, whole.offsets, places, limit, self._side)
        return ids

    def collate(self, pairs: Sequence[PairIds]) -> dict[str, torch.Tensor]:
        """What `forward` takes, int64 [B, T] on the CPU, padded to the longest pair."""
        batch = pad([pair.ids for pair in pairs], self._pad_id, self._padding_side)
        if self._has_types:
            types = pad([pair.types for pair in pairs], 0, self._padding_side)
            batch["token_type_ids"] = types["input_ids"]
        return batch

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Scores float32 [B]: one label's logit under the activation.

        Args:
            batch: As `collate` makes it, on the model's device.
        """
        inputs: dict[str, Any] = {**batch, **self._extra}
        if self._needs_positions:
            inputs["position_ids"] = (batch["attention_mask"].cumsum(1) - 1).clamp_min(0)
        if self._first_token is not None:
            begun = batch["input_ids"].new_full((len(batch["input_ids"]), 1), self._first_token)
            inputs["decoder_input_ids"] = begun
        # In float32 before the activation: in 16 bits most good pairs would score exactly 1.
        logits_BL = self.classifier(**inputs).logits.float()
        if tokens := self.contract.tokens:
            # The last column stands behind the whole pair: padding is on the left. A decoder of its
            # own has one.
            logits_BL = logits_BL[:, -1, tokens]
            scores_B = logits_BL[:, 0] - logits_BL[:, 1] if len(tokens) > 1 else logits_BL[:, 0]
            return scores_B.sigmoid() if self.contract.activation == "sigmoid" else scores_B
        if self.contract.activation == "softmax":
            return logits_BL.softmax(-1)[:, self.contract.label]
        scores_B = logits_BL[:, self.contract.label]
        return scores_B.sigmoid() if self.contract.activation == "sigmoid" else scores_B


def load_cross_encoder(spec: CrossEncoderSpec, device: str) -> CrossEncoder:
    """Loads a cross-encoder as its spec says.

    Args:
        spec: Which checkpoint, and what to do differently from what it says.
        device: As torch names it, e.g. "cpu" or "cuda:0".

    Raises:
        ConfigError, EnvironmentFault, IntegrityError: a model that is not there, not whole, or scores
            no pairs; an answer that is not one token.
    """
    resolved = resolve_cross(spec)
    chosen = pick_dtype(spec.dtype, device)
    auto = AUTO_MODELS[resolved.kind]
    classifier, tokenizer = load_scorer(
        auto, resolved.transformer, resolved.checkpoint, chosen, resolved.code_revision
    )
    template = _template_of(resolved, tokenizer)
    text = None if template is None else text_of(template)
    contract = resolved.contract(chosen, text, _token_ids(resolved, tokenizer))
    model = CrossEncoder(classifier, tokenizer, resolved, contract, template)
    model.to(device)
    model.train(False)
    model.requires_grad_(False)
    return model


def look_at_question(resolved: ResolvedCross) -> None:
    """Finds what is wrong with how a language model is asked, which takes its tokenizer and no weights.

    Raises:
        ConfigError: a chat template without room for both texts, an answer that is not one token.
        EnvironmentFault: a Python package that the tokenizer needs is missing.
    """
    tokenizer = load_tokenizer(resolved.transformer, resolved.checkpoint)
    _template_of(resolved, tokenizer)
    _token_ids(resolved, tokenizer)


def _template_of(resolved: ResolvedCross, tokenizer: Any) -> Template | None:
    """What a pair becomes: the user's template, else the checkpoint's chat template, if any."""
    if resolved.template is None and resolved.chat is None:
        return None
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise ConfigError(
            f"{resolved.checkpoint} has a tokenizer without a fast half, which a template needs.",
            hint="Save it as tokenizer.json with transformers.",
        )
    if resolved.template is not None:
        return parse_template(resolved.template)
    chat = resolved.chat
    assert chat is not None
    return pair_chat_template(tokenizer, resolved.checkpoint, resolved.prompt, chat)


def _token_ids(resolved: ResolvedCross, tokenizer: Any) -> list[int]:
    """Ids of the tokens that say yes and no; none for a classifier."""
    told = [token for token in resolved.tokens or () if token is not None]
    return [
        token if isinstance(token, int) else _token_id(token, resolved, tokenizer) for token in told
    ]


def _token_id(token: str, resolved: ResolvedCross, tokenizer: Any) -> int:
    """What the tokenizer makes of an answer as a text of its own, as it did when the model learned it:
    of T5's "true" that is "▁true", also where "true" is a token of other words."""
    found = tokenizer.encode(token, add_special_tokens=False)
    # The token of whatever is not known would have a logit as well.
    if len(found) == 1 and (found[0] != tokenizer.unk_token_id or token == tokenizer.unk_token):
        return found[0]
    pieces = ", ".join(repr(piece) for piece in tokenizer.convert_ids_to_tokens(found))
    hint = "trueToken and falseToken are what "
    if resolved.kind == "causal":
        hint += "comes next behind the template; where it ends in a colon, that may be"
        hint += ' " yes" with its space.'
    else:
        hint += "the decoder writes first; the checkpoint's card says it."
    raise ConfigError(
        f"{token!r} is {counted(len(found), 'tokens')} of {resolved.checkpoint}"
        f"{f': {pieces}' if found else ''}; an answer is one that it knows.",
        hint=hint,
    )


def _fast(tokenizer: Any, max_length: int, is_templated: bool) -> Any:
    """A copy of the tokenizer's fast half that cuts pairs; None where there is none."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    from tokenizers import Tokenizer

    # A copy: truncation is the tokenizer's state, and another thread may use the original.
    copy = Tokenizer.from_str(backend.to_str())
    copy.no_padding()
    if is_templated:
        # Cut here, where the texts are told from the template.
        copy.no_truncation()
    else:
        copy.enable_truncation(
            max_length, strategy="longest_first", direction=tokenizer.truncation_side
        )
    return copy
