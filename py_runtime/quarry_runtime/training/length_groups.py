"""Texts of one side in groups of like length, so that little of a step goes into padding."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from quarry_runtime.modeling.encoder import Encoder
from quarry_runtime.modeling.layout import is_built_in
from quarry_runtime.modeling.tokens import Side, collate, plan_batches
from quarry_runtime.modeling.towers import Towers
from quarry_runtime.training.retriever import LengthGroups, Retriever

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import TrainingArguments

    from quarry_runtime.protocol.messages import TrainTask

#: Lengths of a side's texts to the places of each group's; one group keeps the order.
Grouping = Callable[["NDArray[np.int64]", Side], "list[NDArray[np.int64]]"]


@dataclass(frozen=True)
class _Costs:
    """Seconds that a layer takes forward and backward: for a call, and for a token as wide as it."""

    call: float
    #: For each weight: a product forward, two backward.
    weight: float
    #: For each number of the token: it is read and written some times.
    number: float


_CPU = _Costs(call=1.2e-4, weight=7.5e-11, number=6e-9)
#: Not measured: of a large GPU, where a call pays later. Priced too high, it only means fewer groups.
_GPU = _Costs(call=8e-5, weight=4e-14, number=3e-11)


def whole(lengths: NDArray[np.int64], _side: Side) -> list[NDArray[np.int64]]:
    """All texts at once, as they come."""
    return [np.arange(len(lengths))]


def choose_grouping(
    task: TrainTask, retriever: Retriever, args: TrainingArguments, is_on_cpu: bool
) -> Grouping:
    """How the texts of a micro-batch are cut, before anything is wrapped around the retriever.

    Pieces of GradCache (train.miniBatchSize) are as many on each rank. So are groups that the user
    counted. Else their number is left to the texts' lengths, where nothing needs it to be equal: the
    gathering of sharded weights would, and torch.compile would compile for each shape. An encoder
    of a plugin that might look at its whole batch gets it.
    """
    size, count = task.mini_batch_size, task.length_groups
    if type(retriever).forward is not Retriever.forward:
        return whole
    if size is not None:
        return lambda lengths, _side: plan_batches(lengths, size)
    if count is not None:
        return lambda lengths, _side: np.array_split(by_length(lengths), min(count, len(lengths)))
    encoder = retriever.encoder
    if args.fsdp_plugin_args is not None or args.torch_compile or not _is_own(encoder):
        return whole
    costs, multiple = _CPU if is_on_cpu else _GPU, task.model.pad_to_multiple_of or 1
    overheads = {side: overhead(_tower(encoder, side), costs) for side in ("query", "passage")}
    return lambda lengths, side: cut_by_length(-(-lengths // multiple) * multiple, overheads[side])


def by_length(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places of the texts, longest first; ties stay in order."""
    return np.argsort(-lengths, kind="stable")


def cut_by_length(lengths: NDArray[np.int64], overhead: float) -> list[NDArray[np.int64]]:
    """Places of each group, longest texts first.

    A group is cut in two as long as that saves more padding than `overhead` tokens, each time where
    it saves the most. The groups depend on the lengths alone, so a replay has the same.
    """
    order = by_length(lengths)
    ordered = lengths[order]
    cuts: list[int] = []
    todo = [(0, len(order))]
    while todo:
        first, end = todo.pop()
        places = np.arange(first + 1, end)
        saved = (end - places) * (ordered[first] - ordered[places])
        if len(saved) > 0 and saved.max() > overhead:
            cut = int(places[saved.argmax()])
            cuts.append(cut)
            todo += [(first, cut), (cut, end)]
    return np.split(order, sorted(cuts))


def overhead(module: nn.Module, costs: _Costs) -> float:
    """How many tokens take as long as one more call of the module, forward and backward."""
    layers = [each for each in module.modules() if next(each.children(), None) is None]
    numbers = sum(
        parameter.numel()
        for each in layers
        if not isinstance(each, nn.Embedding)
        for parameter in each.parameters()
    )
    # Of a layer as if all were equal and square.
    width = math.sqrt(numbers / max(1, len(layers)))
    return costs.call / (width * width * costs.weight + width * costs.number + 1e-12)


def padded(
    encoder: Encoder, ids: Sequence[list[int]], side: Side, grouping: Grouping
) -> dict[str, Tensor] | LengthGroups:
    """Tensors of the texts with these token ids: one batch, or several and the way back."""
    lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
    groups = grouping(lengths, side)
    if len(groups) == 1:
        return collate(encoder, ids, side)
    return LengthGroups(
        batches=[collate(encoder, [ids[place] for place in group], side) for group in groups],
        places=torch.from_numpy(np.argsort(np.concatenate(groups))),
    )


def _is_own(encoder: Any) -> bool:
    """Whether each text's vector is known to be its own, whatever stands beside it."""
    if isinstance(encoder, Towers):
        return all(_is_own(encoder.tower(side)) for side in ("query", "passage"))
    kind = type(encoder)
    return (
        isinstance(encoder, Encoder)
        and kind.forward is Encoder.forward
        and kind.collate is Encoder.collate
        and is_built_in(encoder.contract.pooling)
    )


def _tower(encoder: Any, side: Side) -> nn.Module:
    return encoder.tower(side) if isinstance(encoder, Towers) else encoder
