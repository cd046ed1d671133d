"""The loss of the very first step, against what it should be: the same vectors with queries and passages mixed up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from quarry_runtime.counted import counted
from quarry_runtime.doctor.findings import Finding
from quarry_runtime.modeling.losses.infonce import InfoNCE
from quarry_runtime.modeling.losses.inputs import LossInputs
from quarry_runtime.training.retriever import Retriever

#: A loss this near to that of mixed-up pairs knows nothing of which passage belongs to which query.
_UNTAUGHT = 0.95
#: Below this part of the random loss there is hardly anything left to learn, or the answer leaks.
_SOLVED = 0.01
#: How far above equal scores a loss may start, in nats.
_ABOVE = 1.0
_FLAT = 1e-9


@dataclass(frozen=True)
class FirstStep:
    """What the forward passes of step 0 gave, means over its micro-steps."""

    loss: float
    #: The same vectors, each query with the passages of the next one; None for a single query.
    mixed_up: float | None
    #: Columns of a query that count; None for a loss over a query's own passages.
    columns: float | None
    #: Of each micro-step; none where the loss cannot be listened to.
    inputs: tuple[LossInputs, ...]


def run_first_step(retriever: Retriever, batches: Sequence[dict[str, Any]]) -> FirstStep:
    """Forward passes of all micro-steps of step 0, dropout off, without gradients.

    Args:
        retriever: As training builds it; stays in eval mode.
        batches: What Retriever.forward takes, of all ranks of each micro-step.
    """
    seen: list[LossInputs] = []
    loss: Any = retriever.loss
    # A whole retriever of a plugin has no loss apart, and a plain function cannot be listened to.
    is_heard = isinstance(loss, torch.nn.Module)
    hook = loss.register_forward_pre_hook(_keep(seen)) if is_heard else None
    retriever.eval()
    losses: list[float] = []
    mixed: list[float] = []
    try:
        with torch.no_grad():
            for batch in batches:
                losses.append(float(retriever(**batch)["loss"]))
    finally:
        if hook is not None:
            hook.remove()
    inputs = tuple(seen)
    with torch.no_grad():
        for given in inputs:
            if len(given.queries) > 1:
                mixed.append(float(loss(_mixed_up(given))))
    needs_all = getattr(loss, "needs_all_passages", True)
    counted = [float((~_excluded(given)).sum(1).float().mean()) for given in inputs]
    return FirstStep(
        loss=sum(losses) / len(losses),
        mixed_up=sum(mixed) / len(mixed) if mixed else None,
        columns=sum(counted) / len(counted) if needs_all and counted else None,
        inputs=inputs,
    )


def check_first_loss(step: FirstStep, loss: Any, pairs: tuple[int, int]) -> Finding:
    """Judges the loss of step 0.

    Args:
        step: As run_first_step gives it.
        loss: The loss module: for InfoNCE equal scores have the loss log(columns).
        pairs: How many queries have a positive with their own text, and how many there are.
    """
    check = "loss of the first step"
    is_contrastive = isinstance(loss, InfoNCE) and step.columns is not None
    equal = math.log(step.columns) if is_contrastive and step.columns else None
    facts = {
        "loss": step.loss if math.isfinite(step.loss) else None,
        "mixedUp": step.mixed_up if step.mixed_up is None or math.isfinite(step.mixed_up) else None,
        "equalScores": equal,
        "columns": step.columns,
    }

    def found(status: Any, seen: str, todo: str | None = None) -> Finding:
        return Finding(check=check, status=status, seen=seen, todo=todo, facts=facts)

    if not math.isfinite(step.loss):
        return found(
            "refuse",
            f"it is {step.loss}",
            "Look at the vectors (fp16?), the labels and the loss's options: nothing can be learned from it.",
        )
    words = f"{step.loss:.4f}"
    if equal is not None:
        words += f"; equal scores would give {equal:.4f} (log of {step.columns:.0f} columns)"
    if step.mixed_up is not None:
        words += f"; mixed-up pairs {step.mixed_up:.4f}"
    same, queries = pairs
    have = "has a positive with its" if same == 1 else "have a positive with their"
    told = f"{same} of {counted(queries, 'queries')} {have} very text"
    if step.columns is not None and step.columns < 1.5:
        return found(
            "refuse",
            f"{words}: each query has its own positive only, nothing to tell it from",
            "Raise train.queriesPerRank or train.globalBatchSize, or give negatives.",
        )
    if same * 2 > queries:
        return found(
            "refuse",
            f"{words}: {told}",
            "Check that queries and corpus are not the same file: such pairs teach nothing.",
        )
    if abs(step.loss) < _FLAT and (step.mixed_up is None or abs(step.mixed_up) < _FLAT):
        return found(
            "refuse",
            f"{words}: it is 0 whatever the pairs are",
            "Give each query passages with different labels: passagesPerQuery, negatives or grades.",
        )
    if same > 0:
        return found(
            "note",
            f"{words}: {told}",
            "Leave such pairs out: the answer leaks into the query.",
        )
    if equal is not None and step.loss > equal + _ABOVE:
        return found(
            "note",
            f"{words}: worse than equal scores",
            "Look at the prompts, the pooling and whether labels are the right way round; a higher"
            " temperature makes a start from afar gentler.",
        )
    if step.mixed_up is not None and step.loss >= _UNTAUGHT * step.mixed_up:
        return found(
            "note",
            f"{words}: the model does not tell its positives from others yet",
            "Right for weights that never saw retrieval; for a trained retriever look at prompts,"
            " pooling and the qrels.",
        )
    if equal is not None and step.loss < _SOLVED * equal:
        return found(
            "note",
            f"{words}: almost nothing is left to learn",
            "Mine harder negatives, or check that the answer does not stand in the query.",
        )
    return found("ok", words)


def same_texts(queries: Sequence[str], positives: Sequence[str]) -> tuple[int, int]:
    """How many queries have a positive with their very text, case and white space aside."""
    pairs = zip(queries, positives, strict=True)
    same = sum(_plain(query) == _plain(positive) for query, positive in pairs)
    return same, len(queries)


def _keep(seen: list[LossInputs]) -> Any:
    return lambda _module, given: seen.append(given[0])


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _mixed_up(given: LossInputs) -> LossInputs:
    """Each query's vector in the place of the next one: the same vectors, and no pair right."""
    everyone = given.everyone
    if everyone is not None:
        everyone = replace(everyone, queries=everyone.queries.roll(1, dims=0))
    return replace(given, queries=given.queries.roll(1, dims=0), everyone=everyone)


def _excluded(given: LossInputs) -> torch.Tensor:
    own_Q1 = given.positive_columns.unsqueeze(1)
    return given.mask.scatter(1, own_Q1, torch.zeros_like(own_Q1, dtype=torch.bool))
