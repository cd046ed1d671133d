"""The one wrapped module of training: texts in, loss out, so that DDP's hooks fire once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from quarry_runtime.errors import ConfigError
from quarry_runtime.modeling.similarity import PRODUCTS
from quarry_runtime.training.objective import Objective, Term

#: Vectors of queries and of passages; None for a side that is not there.
Sides = tuple[Tensor | None, Tensor | None]


class LengthGroups(dict[str, Any]):
    """One side's texts in several batches: see length_groups.

    `batches` as collate makes them; `places`, int64 [B]: where each text's vector stands among those
    of all batches. A dict, so that what moves tensors to a device looks into it.
    """


class Retriever(nn.Module):
    """An encoder and what is minimised under one forward.

    Args:
        encoder: modeling.encoder.Encoder, or anything with forward(batch, side) -> [B, D].
        loss: An Objective, or one loss: takes LossInputs, returns the mean over this rank's queries.
        similarity: "cosine" scales every vector to length 1 before the losses see it.
        is_dropout_on: False keeps the encoder in eval mode, which turns off every kind of dropout.
    """

    #: Trainer then divides the loss by the accumulation steps, as a mean over a micro-batch needs.
    accepts_loss_kwargs = False
    #: What the names of the encoder's parameters begin with here.
    encoder_prefix = "encoder."
    _has_mode = False
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
        self.objective = loss if isinstance(loss, Objective) else Objective([Term(loss)])
        self.similarity = similarity
        self.is_dropout_on = is_dropout_on
        #: bool [Q] and [Q × P] of the last forward: which vectors hold NaN or infinity.
        self.broken: tuple[Tensor, Tensor] | None = None

    @property
    def loss(self) -> Any:
        """The loss where there is one alone, as it is; None for several, or one that is weighted."""
        terms = self.objective.terms
        return terms[0].loss if terms == [Term(terms[0].loss)] else None

    def train(self, mode: bool = True) -> Retriever:
        wanted = mode and self.is_dropout_on
        # Trainer asks before each step, and a walk through all modules takes 0.7 ms.
        if self._has_mode and self.training == self.encoder.training == wanted:
            return self
        # The first time modules differ: the encoder comes in the mode of inference.
        self._has_mode = True
        return super().train(wanted)

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
        self._checkpoint("activation_checkpointing_enable", options)

    def gradient_checkpointing_enable(self, **options: Any) -> None:
        """The same, as Trainer calls it before transformers 5.23."""
        self._checkpoint("gradient_checkpointing_enable", options)

    def _checkpoint(self, name: str, options: dict[str, Any]) -> None:
        if not self.is_dropout_on:
            # transformers checkpoints activations in train mode only, and would skip it without a
            # word.
            raise ConfigError(
                "gradientCheckpointing does not work together with dropout: false.",
                hint="Leave one of them out; a model without dropout needs no switch.",
            )
        done: list[str] = []
        for path, module in self.encoder.named_modules():
            enable: Any = getattr(module, name, None)
            # Models inside of one that is told already are told by it.
            if enable is not None and not f"{path}.".startswith(tuple(done)):
                enable(**options)
                done.append(f"{path}.")
        if not done:
            raise ConfigError(
                f"{type(self.encoder).__name__} cannot checkpoint activations.",
                hint="Leave gradientCheckpointing out.",
            )

    def forward(
        self,
        queries: dict[str, Tensor] | None = None,
        passages: dict[str, Tensor] | None = None,
        *,
        vectors: Sides | None = None,
        gradients: Sides | None = None,
        vectors_only: bool = False,
        **batch: Any,
    ) -> dict[str, Tensor]:
        """Q queries and their Q × P passages of this rank; {"loss": mean over the queries}.

        Training in pieces (gradcache) needs each half alone, through this very forward, for the
        wrappers around it look at nothing else: `vectors_only` gives {"queries", "passages"} as far
        as there are texts; `vectors` stand in for texts; `gradients` ask for a number whose gradient
        with respect to each vector is the one given.

        Args:
            batch: What Objective.forward takes beside vectors.
        """
        sides = vectors if vectors is not None else self._encode(queries, passages)
        if vectors_only:
            named = zip(("queries", "passages"), sides, strict=True)
            return {name: side for name, side in named if side is not None}
        if gradients is not None:
            return {"loss": self._pulled(sides, gradients)}
        queries_QD, passages_BD = sides
        assert queries_QD is not None
        assert passages_BD is not None
        self.broken = (broken_rows(queries_QD), broken_rows(passages_BD))
        return {"loss": self.objective(queries_QD, passages_BD, **batch)}

    def _encode(
        self, queries: dict[str, Tensor] | None, passages: dict[str, Tensor] | None
    ) -> Sides:
        queries_QD = None if queries is None else self._vectors(queries, "query")
        passages_BD = None if passages is None else self._vectors(passages, "passage")
        if self.similarity != "cosine":
            return queries_QD, passages_BD
        return _unit(queries_QD), _unit(passages_BD)

    def _vectors(self, texts: dict[str, Tensor], side: str) -> Tensor:
        if not isinstance(texts, LengthGroups):
            return self.encoder(texts, side)
        return in_place(torch.cat([self.encoder(batch, side) for batch in texts["batches"]]), texts)

    def _pulled(self, sides: Sides, gradients: Sides) -> Tensor:
        # The objective's own parameters have their gradient already; DDP waits for them all the same.
        idle = [0.0 * parameter.sum() for parameter in self.objective.parameters()]
        pulls = [
            (vectors_BD.float() * gradient_BD).sum()
            for vectors_BD, gradient_BD in zip(sides, gradients, strict=True)
            if vectors_BD is not None and gradient_BD is not None
        ]
        return torch.stack([*pulls, *idle]).sum()


def _unit(vectors_BD: Tensor | None) -> Tensor | None:
    return None if vectors_BD is None else nn.functional.normalize(vectors_BD, dim=-1)


def batches_of(texts: dict[str, Any]) -> list[dict[str, Tensor]]:
    """What is encoded at a time of one side's texts."""
    return texts["batches"] if isinstance(texts, LengthGroups) else [texts]


def in_place(vectors_BD: Tensor, texts: dict[str, Any]) -> Tensor:
    """The batches' vectors [B, D] one after the other, as the texts came."""
    is_moved = isinstance(texts, LengthGroups)
    return vectors_BD.index_select(0, texts["places"]) if is_moved else vectors_BD


def broken_rows(vectors_BD: Tensor) -> Tensor:
    """bool [B]: which vectors hold NaN or infinity."""
    return ~torch.isfinite(vectors_BD.detach()).all(dim=-1)
