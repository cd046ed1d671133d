"""The one wrapped module of training: texts in, loss out, so that DDP's hooks fire once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from quarry_runtime.errors import ConfigError
from quarry_runtime.modeling.loss_check import checked_loss
from quarry_runtime.modeling.losses.inputs import BatchExtras, LossInputs
from quarry_runtime.modeling.similarity import PRODUCTS
from quarry_runtime.training.gather import gather_rows


class Retriever(nn.Module):
    """An encoder and a loss under one forward.

    Args:
        encoder: modeling.encoder.Encoder, or anything with forward(batch, side) -> [B, D].
        loss: Takes LossInputs, returns the mean over this rank's queries.
        similarity: "cosine" scales every vector to length 1 before the loss sees it.
        is_dropout_on: False keeps the encoder in eval mode, which turns off every kind of dropout.
    """

    #: Trainer then divides the loss by the accumulation steps, as a mean over a micro-batch needs.
    accepts_loss_kwargs = False
    #: What the names of the encoder's parameters begin with here.
    encoder_prefix = "encoder."
    #: A plugin's own, parsed; there from a subclass's `__init__` on.
    options: Any = None

    def __init__(self, encoder: nn.Module, loss: Any, similarity: str, is_dropout_on: bool) -> None:
        super().__init__()
        if similarity not in PRODUCTS:
            raise ConfigError(
                f"Training compares vectors by dot or cosine, not by {similarity}.",
                hint="Set model.similarity to dot or cosine.",
            )
        self.encoder = encoder
        self.loss = loss
        self.similarity = similarity
        self.is_dropout_on = is_dropout_on
        #: bool [Q] and [Q × P] of the last forward: which vectors hold NaN or infinity.
        self.broken: tuple[Tensor, Tensor] | None = None

    def train(self, mode: bool = True) -> Retriever:
        return super().train(mode and self.is_dropout_on)

    @property
    def _no_split_modules(self) -> list[str]:
        """Names of the layers that are sharded one by one, as transformers calls this attribute."""
        modules = list(self.encoder.modules())
        # Queries and passages may have transformers of different kinds.
        named = {
            name for each in modules for name in getattr(each, "_no_split_modules", None) or ()
        }
        return sorted({type(each).__name__ for each in modules} & named)

    def activation_checkpointing_enable(self, **options: Any) -> None:
        """Called by Trainer; handed on to the transformers model inside the encoder."""
        if not self.is_dropout_on:
            # transformers checkpoints activations in train mode only, and would skip it without a
            # word.
            raise ConfigError(
                "gradientCheckpointing does not work together with dropout: false.",
                hint="Leave one of them out; a model without dropout needs no switch.",
            )
        done: list[str] = []
        for name, module in self.encoder.named_modules():
            enable: Any = getattr(module, "activation_checkpointing_enable", None)
            # Models inside of one that is told already are told by it.
            if enable is not None and not f"{name}.".startswith(tuple(done)):
                enable(**options)
                done.append(f"{name}.")
        if not done:
            raise ConfigError(
                f"{type(self.encoder).__name__} cannot checkpoint activations.",
                hint="Leave gradientCheckpointing out.",
            )

    def forward(
        self,
        queries: dict[str, Tensor],
        passages: dict[str, Tensor],
        positive_columns: Tensor,
        mask: Tensor,
        labels: Tensor,
        counts: Tensor,
        extras: BatchExtras | None = None,
    ) -> dict[str, Tensor]:
        """Q queries and their Q × P passages of this rank; {"loss": mean over the queries}."""
        queries_QD = self.encoder(queries, "query")
        passages_BD = self.encoder(passages, "passage")
        self.broken = (broken_rows(queries_QD), broken_rows(passages_BD))
        if self.similarity == "cosine":
            queries_QD = nn.functional.normalize(queries_QD, dim=-1)
            passages_BD = nn.functional.normalize(passages_BD, dim=-1)
        if getattr(self.loss, "needs_all_passages", True):
            inputs = LossInputs(
                queries_QD,
                gather_rows(passages_BD),
                positive_columns.long(),
                mask.bool(),
                labels,
                counts,
                extras,
            )
        else:
            inputs = _own_only(queries_QD, passages_BD, labels, counts, extras)
        return {"loss": checked_loss(self.loss(inputs), self.loss)}


def _own_only(
    queries_QD: Tensor,
    passages_BD: Tensor,
    labels: Tensor,
    counts: Tensor,
    extras: BatchExtras | None,
) -> LossInputs:
    group_count, group_size = labels.shape
    columns = torch.arange(group_count, device=labels.device) * group_size
    mask = torch.zeros((group_count, len(passages_BD)), dtype=torch.bool, device=labels.device)
    return LossInputs(queries_QD, passages_BD, columns, mask, labels, counts, extras)


def broken_rows(vectors_BD: Tensor) -> Tensor:
    """bool [B]: which vectors hold NaN or infinity."""
    return ~torch.isfinite(vectors_BD.detach()).all(dim=-1)
