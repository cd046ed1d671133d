"""Encoders with the usual faults: what the doctor has to catch in a user's plugin."""

from __future__ import annotations

import os
import signal
from typing import Any

import torch

from quarry_runtime.modeling.encoder import Encoder
from quarry_runtime.modeling.encoders.auto import auto
from quarry_runtime.modeling.registry import register_encoder


class LastColumn(Encoder):
    """Takes hidden[:, -1] whatever stands there: under right padding, the padding of shorter texts."""

    def forward(self, batch: dict[str, torch.Tensor], side: Any = "passage") -> torch.Tensor:
        del side
        return self.transformer(**batch).last_hidden_state[:, -1].float()


class Deadly(Encoder):
    """Ends its process on more than six texts, as a system without memory does."""

    def forward(self, batch: dict[str, torch.Tensor], side: Any = "passage") -> torch.Tensor:
        if len(batch["input_ids"]) > 6:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(batch, side)


class Unmasked(Encoder):
    """Forgets the attention mask: padding is read as words."""

    def collate(self, ids: list[list[int]]) -> dict[str, torch.Tensor]:
        batch = super().collate(ids)
        return {**batch, "attention_mask": torch.ones_like(batch["attention_mask"])}


class TwiceEnded(Encoder):
    """Appends [SEP] to what the tokenizer has ended already."""

    def tokenize(self, texts: list[str], side: Any, prompts: Any = None) -> dict[str, Any]:
        ids = super().tokenize(texts, side, prompts)["input_ids"]
        return {"input_ids": [[*row, self.tokenizer.sep_token_id] for row in ids]}


def _as(kind: type[Encoder]) -> Any:
    def make(resolved: Any, spec: Any, dtype: str, options: Any) -> Encoder:
        encoder: Any = auto(resolved, spec, dtype, options)
        encoder.__class__ = kind
        return encoder

    return make


register_encoder("last_column")(_as(LastColumn))
register_encoder("deadly")(_as(Deadly))
register_encoder("unmasked")(_as(Unmasked))
register_encoder("twice_ended")(_as(TwiceEnded))
