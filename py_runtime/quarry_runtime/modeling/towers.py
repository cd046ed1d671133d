"""Two encoders that are trained apart: one for queries, one for passages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from quarry_runtime.guard.save import part_of
from quarry_runtime.modeling.encoder import Encoder
from quarry_runtime.modeling.layout import QUARRY_FILE
from quarry_runtime.modeling.layout_write import write_files
from quarry_runtime.modeling.tokens import Side
from quarry_runtime.modeling.tower_layout import router_files
from quarry_runtime.protocol.messages import ModelContract


class Towers(nn.Module):
    """Behaves as an Encoder, but that each side pads by itself; each has its own transformer, tokenizer and modules.

    Args:
        query: Encodes queries.
        passage: Encodes passages.
        contract: Of both together; its fingerprint covers both.

    Example:
        ids = towers.tokenize(["a question"], "query")["input_ids"]
        vectors_BD = towers(towers.tower("query").collate(ids), "query")
    """

    def __init__(self, query: Encoder, passage: Encoder, contract: ModelContract) -> None:
        super().__init__()
        self.query = query
        self.passage = passage
        self.contract = contract

    def tower(self, side: Side) -> Encoder:
        """The encoder of a side."""
        return self.query if side == "query" else self.passage

    def tokenize(
        self,
        texts: list[str],
        side: Side,
        prompts: Sequence[str | None] | None = None,
        **given: Any,
    ) -> dict[str, list[list[int]]]:
        """As Encoder.tokenize, with the side's own tokenizer."""
        return self.tower(side).tokenize(texts, side, prompts, **given)

    def collate(self, ids: Sequence[list[int]], side: Side = "passage") -> dict[str, torch.Tensor]:
        """As Encoder.collate, padded as the side's own tokenizer pads: see tokens.collate."""
        return self.tower(side).collate(ids)

    def forward(self, batch: dict[str, torch.Tensor], side: Side = "passage") -> torch.Tensor:
        """Vectors [B, D] in float32 of the side's own encoder."""
        return self.tower(side)(batch, side)

    def save(self, folder: str | Path, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        """Writes both into one folder, as sentence-transformers' Router has it."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        contract, query_state = self.contract, part_of(state_dict, "query.")
        query = self.query.save_modules(folder, query_state, "query_", contract.query_max_length)
        passage_state, length = part_of(state_dict, "passage."), contract.passage_max_length
        passage = self.passage.save_modules(folder, passage_state, "document_", length)
        # Prompts and lengths are those of the contract of both.
        root = self.passage.root_files([])
        root |= router_files(query.modules, passage.modules)
        root["config_sentence_transformers.json"]["prompts"]["query"] = contract.query_prompt
        root[QUARRY_FILE]["queryMaxLength"] = contract.query_max_length
        root[QUARRY_FILE]["query"] = self.query.own_settings()
        write_files(folder, {**query.files, **passage.files, **root})
