"""GradCache: a whole batch's negatives with the memory of a piece of it (arXiv 2101.06983)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from quarry_runtime.training.retriever import batches_of, in_place

Batch = dict[str, Tensor]


def cached_step(
    model: nn.Module,
    inputs: dict[str, Any],
    *,
    seed: Callable[[int], None],
    backward: Callable[[Tensor], None],
    no_sync: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Tensor:
    """Loss and gradients of one micro-step, holding the activations of a few texts at a time.

    1. Every piece is encoded without gradient. 2. The objective is computed on all vectors at once,
    and its backward leaves a gradient at each vector (and at the objective's own parameters, such as
    a temperature). 3. Every piece is encoded again, now with gradient, and pulled by the gradients
    of its vectors. It works for any loss, because losses see vectors only.

    The gradients are those of the whole batch at once, up to rounding. Dropout is the same in both
    passes, but not that of the whole batch: each piece has random numbers of its own.

    Args:
        model: Retriever, wrapped or not; every pass goes through its forward.
        inputs: Keyword arguments of Retriever.forward, on the device; each side's batches are pieces.
        seed: Sets all random generators for a piece, by its number: once for each of the passes.
        backward: From the loss, as it must be done outside (scaled for float16, divided by the
            accumulation steps).
        no_sync: Keeps gradients on this rank; only the very last backward is for all ranks.

    Returns:
        The loss, detached.
    """
    rest = {name: value for name, value in inputs.items() if name not in ("queries", "passages")}
    queries, passages = batches_of(inputs["queries"]), batches_of(inputs["passages"])
    # Whole pieces of one side each, but for the last, which has both: with towers of their own, DDP
    # would wait in vain for the gradient of the other side's.
    pairs: list[tuple[Batch | None, Batch | None]] = [
        *((piece, None) for piece in queries[:-1]),
        *((None, piece) for piece in passages[:-1]),
        (queries[-1], passages[-1]),
    ]
    found: dict[str, list[Tensor]] = {"queries": [], "passages": []}
    with torch.no_grad():
        for number, (own_queries, own_passages) in enumerate(pairs):
            seed(number)
            vectors = model(queries=own_queries, passages=own_passages, vectors_only=True)
            for name, part_ND in vectors.items():
                found[name].append(part_ND)
    queries_QD, passages_BD = (
        torch.cat(parts).detach().requires_grad_() for parts in found.values()
    )
    with no_sync():
        vectors = (
            in_place(queries_QD, inputs["queries"]),
            in_place(passages_BD, inputs["passages"]),
        )
        loss = model(vectors=vectors, **rest)["loss"]
        backward(loss)
    query_pulls = _parts(queries_QD, found["queries"])
    passage_pulls = _parts(passages_BD, found["passages"])
    for number, (own_queries, own_passages) in enumerate(pairs):
        seed(number)
        is_last = number == len(pairs) - 1
        gradients = (
            None if own_queries is None else next(query_pulls),
            None if own_passages is None else next(passage_pulls),
        )
        with nullcontext() if is_last else no_sync():
            pulled = model(queries=own_queries, passages=own_passages, gradients=gradients)
            # Neither scaled nor divided: the gradients at the vectors are already.
            pulled["loss"].backward()
    return loss.detach()


def _parts(vectors_ND: Tensor, pieces: list[Tensor]) -> Any:
    """An iterator over the gradients at the vectors, piece by piece."""
    gradient = vectors_ND.grad
    if gradient is None:
        gradient = torch.zeros_like(vectors_ND)
    return iter(gradient.split([len(piece) for piece in pieces]))
