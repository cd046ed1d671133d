"""The cross-encoder: query and passage read together by a classifier, one score out."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import nn

from quarry_runtime.errors import ConfigError
from quarry_runtime.guard.device import pick_dtype
from quarry_runtime.guard.load import load_classifier
from quarry_runtime.modeling.cross_contract import ResolvedCross, resolve_cross
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
    query is never cut for a long passage.

    Args:
        classifier: Returns `logits` [B, L].
        tokenizer: The checkpoint's transformers tokenizer.
        resolved: What the checkpoint and the user's wishes come to.
        contract: The same as it travels.

    Raises:
        ConfigError: a maximum length that leaves no room beside the special tokens.

    Example:
        scores_B = model(model.collate(model.tokenize(["a query"], ["a passage"])))
    """

    def __init__(
        self,
        classifier: nn.Module,
        tokenizer: Any,
        resolved: ResolvedCross,
        contract: CrossEncoderContract,
    ) -> None:
        super().__init__()
        self.classifier = classifier
        self.contract = contract
        self._padding_side: Literal["left", "right"] = resolved.padding_side
        self._tokenizer = tokenizer
        specials = tokenizer.num_special_tokens_to_add(pair=True)
        if contract.max_length < specials + 2:
            raise ConfigError(
                f"A pair of at most {contract.max_length} tokens leaves no room for two texts:"
                f" {contract.checkpoint} puts {specials} special tokens into each.",
                hint=f"Set maxLength to {specials + 2} or more; hundreds are usual.",
            )
        self._fast = _fast(tokenizer, contract.max_length)
        config: Any = classifier.config
        told = config.get_text_config()
        own = getattr(told, "pad_token_id", None)
        stated = (own, tokenizer.pad_token_id, tokenizer.eos_token_id)
        self._pad_id: int = next((id for id in stated if id is not None and id >= 0), 0)
        # Decoders look for a text's last token by it, and refuse batches without.
        told.pad_token_id = self._pad_id
        parameters = inspect.signature(classifier.forward).parameters
        self._extra: dict[str, Any] = {"use_cache": False} if "use_cache" in parameters else {}
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
        if self._fast is not None:
            pairs = list(zip(queries, passages, strict=True))
            encodings = self._fast.encode_batch_fast(pairs)
            return [PairIds(encoding.ids, encoding.type_ids) for encoding in encodings]
        out = self._tokenizer(
            list(queries),
            list(passages),
            truncation="longest_first",
            max_length=self.contract.max_length,
            return_token_type_ids=True,
        )
        both = zip(out["input_ids"], out["token_type_ids"], strict=True)
        return [PairIds(ids, types) for ids, types in both]

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
        # In float32 before the activation: in 16 bits most good pairs would score exactly 1.
        logits_BL = self.classifier(**inputs).logits.float()
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
        ConfigError, EnvironmentFault, IntegrityError: a model that is not there, not whole, or no
            classifier.
    """
    resolved = resolve_cross(spec)
    chosen = pick_dtype(spec.dtype, device)
    classifier, tokenizer = load_classifier(
        resolved.transformer, resolved.checkpoint, chosen, resolved.code_revision
    )
    model = CrossEncoder(classifier, tokenizer, resolved, resolved.contract(chosen))
    model.to(device)
    model.train(False)
    model.requires_grad_(False)
    return model


def _fast(tokenizer: Any, max_length: int) -> Any:
    """A copy of the tokenizer's fast half that cuts pairs; None where there is none."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    from tokenizers import Tokenizer

    # A copy: truncation is the tokenizer's state, and another thread may use the original.
    copy = Tokenizer.from_str(backend.to_str())
    copy.no_padding()
    copy.enable_truncation(
        max_length, strategy="longest_first", direction=tokenizer.truncation_side
    )
    return copy
