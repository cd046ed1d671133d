"""The bi-encoder: a transformer, pooling, projections and normalisation, as its contract says."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from quarry_runtime.modeling.contract import Resolved
from quarry_runtime.modeling.formatting import Extras, format_texts
from quarry_runtime.modeling.layout import OWN_STATE, layout_files
from quarry_runtime.modeling.pooling import pool
from quarry_runtime.modeling.tokens import Side, Tokens, pad
from quarry_runtime.protocol.messages import ModelContract


class Encoder(nn.Module):
    """Texts to vectors; both sides share the transformer and differ in prompt and length.

    Args:
        transformer: Returns `last_hidden_state` [B, T, H].
        tokenizer: The checkpoint's transformers tokenizer.
        resolved: What the checkpoint and the user's wishes come to.
        contract: The same as it travels.
        dense: Linear layers and activations after the pooling.

    A plugin's subclass may define `format_query(text, extras)` and `format_passage(text, extras)`,
    which make the text that is tokenised (a prompt goes before it), and may override any method;
    `options` holds its parsed options from its `__init__` on. What it learns beside the transformer
    and the dense layers is saved and loaded with them.

    Example:
        batch = encoder.collate(encoder.tokenize(["a text"], "query")["input_ids"])
        vectors_BD = encoder(batch, "query")
    """

    options: Any = None

    def __init__(
        self,
        transformer: nn.Module,
        tokenizer: Any,
        resolved: Resolved,
        contract: ModelContract,
        dense: nn.ModuleList | None = None,
    ) -> None:
        super().__init__()
        self.transformer = transformer
        self.dense = dense if dense is not None else nn.ModuleList()
        self.tokenizer = tokenizer
        self.contract = contract
        self._resolved = resolved
        self._tokens = Tokens(
            tokenizer,
            {"query": contract.query_prompt, "passage": contract.passage_prompt},
            {"query": contract.query_max_length, "passage": contract.passage_max_length},
            resolved.is_lower_case,
        )
        padding, end = tokenizer.pad_token_id, tokenizer.eos_token_id
        self._pad_id: int = padding if padding is not None else end if end is not None else 0
        parameters = inspect.signature(transformer.forward).parameters
        self._extra: dict[str, Any] = {"use_cache": False} if "use_cache" in parameters else {}
        # With absolute positions a left-padded text would start at a position that depends on its
        # neighbours.
        self._needs_positions = contract.padding_side == "left" and "position_ids" in parameters
        #: Beginnings of the names of the parameters that the layouts hold: not those of a subclass.
        self.held = tuple(f"{name}." for name, _ in self.named_children())

    def tokenize(
        self,
        texts: list[str],
        side: Side,
        prompts: Sequence[str | None] | None = None,
        extras: Sequence[Extras] | None = None,
    ) -> dict[str, list[list[int]]]:
        """Token ids of each text under `input_ids`, the prompt put in front; safe in any thread.

        Args:
            texts: Titles are joined before: see modeling/text.py.
            side: Whose prompt and length.
            prompts: What the data says stands before each text; None stands for the side's own.
            extras: Further fields of each record, for a subclass's format_query and format_passage.
        """
        return {"input_ids": self._tokens(format_texts(self, texts, side, extras), side, prompts)}

    def collate(self, ids: list[list[int]]) -> dict[str, torch.Tensor]:
        """`input_ids` and `attention_mask`, int64 [B, T] on the CPU, padded to the longest."""
        return pad(ids, self._pad_id, self.contract.padding_side)

    def forward(self, batch: dict[str, torch.Tensor], side: Side = "passage") -> torch.Tensor:  # noqa: ARG002 (other encoders tell the sides apart)
        """Vectors [B, D] in float32: pooled, projected, of length 1 if the contract says so.

        Args:
            batch: As `collate` makes it, on the model's device.
            side: Which side the texts are of; this encoder treats both alike.
        """
        mask_BT = batch["attention_mask"]
        inputs = {**batch, **self._extra}
        if self._needs_positions:
            inputs["position_ids"] = (mask_BT.cumsum(1) - 1).clamp_min(0)
        hidden_BTH = self.transformer(**inputs).last_hidden_state
        vectors_BD = pool(hidden_BTH, mask_BT, self.contract.pooling)
        for layer in self.dense:
            vectors_BD = layer(vectors_BD)
        vectors_BD = vectors_BD.float()
        if self.contract.normalize:
            vectors_BD = nn.functional.normalize(vectors_BD, dim=-1)
        return vectors_BD

    def save(self, folder: str | Path, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        """Writes safetensors and both layouts: transformers, sentence-transformers, Quarry load it.

        Files are written in place: let a manifest that is written afterwards say that they are
        complete.

        Args:
            folder: Made if it is missing.
            state_dict: This module's whole state, where its own parameters are sharded (FSDP).
        """
        from quarry_runtime.guard.own_state import save_own_state
        from quarry_runtime.guard.save import save_dense

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if type(self) is not Encoder:
            whole = self.state_dict() if state_dict is None else state_dict
            save_own_state(folder / OWN_STATE, whole, self.held)
        own = None
        if state_dict is not None:
            own = {
                k.removeprefix("transformer."): v
                for k, v in state_dict.items()
                if k.startswith("transformer.")
            }
        self.transformer.save_pretrained(folder, state_dict=own)  # type: ignore[operator]
        self.tokenizer.save_pretrained(folder)
        contract = self.contract
        files = layout_files(
            dimension=self._resolved.hidden_size,
            pooling=contract.pooling,
            is_normalized=contract.normalize,
            similarity=contract.similarity,
            query_prompt=contract.query_prompt,
            passage_prompt=contract.passage_prompt,
            query_max_length=contract.query_max_length,
            passage_max_length=contract.passage_max_length,
            is_lower_case=self._resolved.is_lower_case,
            dense=[_dense_config(layer) for layer in self.dense],
        )
        for name, content in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(content, encoding="utf-8")
        for number, layer in enumerate(self.dense):
            save_dense(folder / f"{number + 2}_Dense", layer, state_dict, f"dense.{number}.")


class Dense(nn.Module):
    """A linear layer and its activation, named as sentence-transformers names their weights."""

    def __init__(
        self, in_features: int, out_features: int, has_bias: bool, activation: str
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features, bias=has_bias)
        self.activation: nn.Module = getattr(nn, activation)()

    def forward(self, vectors_BD: torch.Tensor) -> torch.Tensor:
        """[B, in] → [B, out]."""
        return self.activation(self.linear(vectors_BD))


def _dense_config(layer: nn.Module) -> dict[str, Any]:
    assert isinstance(layer, Dense)
    kind: Literal["module"] | type = type(layer.activation)
    return {
        "in_features": layer.linear.in_features,
        "out_features": layer.linear.out_features,
        "bias": layer.linear.bias is not None,
        "activation_function": f"{kind.__module__}.{kind.__qualname__}",
    }
