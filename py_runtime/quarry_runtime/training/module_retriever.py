"""Any nn.Module as a whole retriever: both sides' tokens in, loss out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from quarry_runtime.modeling.loss_check import checked_loss
from quarry_runtime.modeling.losses.inputs import BatchExtras
from quarry_runtime.training.mask import cut_to_rank, masked
from quarry_runtime.training.retriever import Retriever, broken_rows


class TrainingBatch:
    """What a whole retriever gets beside the tokens of its Q queries and Q × P passages."""

    def __init__(
        self,
        positive_columns: Tensor,
        mask: Tensor,
        labels: Tensor,
        counts: Tensor,
        sources: Tensor,
        extras: BatchExtras | None,
    ) -> None:
        #: int64 [Q]: the column of each query's own first passage among those of all ranks.
        self.positive_columns = positive_columns
        #: bool [Q, C]: True where a column must not count as a negative of the query.
        self.mask = masked(mask, False)
        #: bool [Q, Q × P]: the same for this rank's columns alone, where nothing is gathered; a
        #: passage that another rank has as well counts here.
        self.own_mask = masked(cut_to_rank(mask, positive_columns, labels.numel()), True)
        #: float32 [Q, P]: the label of each of the query's own passages.
        self.labels = labels
        #: integer [Q]: how many of the query's own passages are real, 1 to P.
        self.counts = counts
        #: integer [Q]: the part of the training data that each query comes from, 0 without a mix.
        self.sources = sources
        #: Further fields of this rank's records; None where no source asks for any.
        self.extras = extras


class ModuleRetriever(Retriever):
    """Wraps a user's module with `forward(queries, passages, batch)` and an `encoder`.

    Args:
        module: Its `encoder` is what checkpoints hold and what is evaluated.
        similarity: As in Retriever; scaling vectors is the module's own business here.
        is_dropout_on: As in Retriever.
    """

    encoder_prefix = "module.encoder."

    def __init__(self, module: nn.Module, similarity: str, is_dropout_on: bool) -> None:
        nn.Module.__init__(self)
        self.module = module
        self.similarity = similarity
        self.is_dropout_on = is_dropout_on
        self.broken: tuple[Tensor, Tensor] | None = None
        self._seen: dict[str, Tensor] = {}
        self.encoder.register_forward_hook(self._note, with_kwargs=True)

    @property
    def encoder(self) -> nn.Module:  # type: ignore[override]
        """The module's; not a child of its own, so that every parameter has one name."""
        return self.module.encoder  # type: ignore[return-value]

    @property
    def loss(self) -> None:
        """The module's own business."""
        return

    def forward(  # type: ignore[override]
        self,
        queries: dict[str, Tensor],
        passages: dict[str, Tensor],
        positive_columns: Tensor,
        mask: Tensor,
        labels: Tensor,
        counts: Tensor,
        sources: Tensor | None = None,
        extras: BatchExtras | None = None,
    ) -> dict[str, Tensor]:
        """Q queries and their Q × P passages of this rank; {"loss": what the module gives}."""
        parts = torch.zeros_like(counts) if sources is None else sources
        batch = TrainingBatch(positive_columns.long(), mask, labels, counts, parts, extras)
        loss = checked_loss(self.module(queries, passages, batch), self.module)
        self.broken = (self._broken("query", len(labels)), self._broken("passage", labels.numel()))
        return {"loss": loss}

    def _note(
        self, _module: nn.Module, args: tuple[Any, ...], named: dict[str, Any], vectors: Any
    ) -> None:
        """Remembers which vectors hold NaN or infinity, for the message that names their texts."""
        side = args[1] if len(args) > 1 else named.get("side", "passage")
        self._seen[side] = broken_rows(vectors)

    def _broken(self, side: str, count: int) -> Tensor:
        seen = self._seen.get(side)
        # A module that encodes a side in parts has nobody to blame.
        is_whole = seen is not None and len(seen) == count
        return seen if is_whole else torch.zeros(count, dtype=torch.bool)  # type: ignore[return-value]
