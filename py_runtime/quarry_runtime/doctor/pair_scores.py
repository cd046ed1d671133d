"""Whether the score of a pair depends on the pair alone, is a number, and tells anything at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from quarry_runtime.counted import counted
from quarry_runtime.doctor.findings import Finding
from quarry_runtime.doctor.invariance import TOLERANCE
from quarry_runtime.doctor.truncation import wilson

#: Beyond rounding, however deep the model is.
_BROKEN = 1e-3
#: Batches without padding are of so many copies of a pair.
_COPIES = 3

Pair = TypeVar("Pair")
Score = Callable[[list[Pair]], torch.Tensor]


def check_alone(path: str, pairs: Sequence[Pair], score: Score[Pair]) -> list[Finding]:
    """Scores of pairs one by one against those in batches, without padding and with it.

    Args:
        path: Of the cross-encoder's options.
        pairs: A handful of different lengths.
        score: Logits [B] of a batch in float32, before the activation: a sigmoid hides differences
            of pairs that are clearly irrelevant.
    """
    alone_B = torch.cat([score([pair]) for pair in pairs])
    many_B = torch.cat([score([pair] * _COPIES)[-1:] for pair in pairs])
    padded_B = score(list(pairs))
    return [
        _compared(
            f"scores of {path} and batch size",
            f"{counted(len(pairs), 'pairs')} alone and in batches of {_COPIES}",
            (many_B, alone_B),
            "Look at the checkpoint's own code: dropout that stays on, or norms over the batch, make"
            " a score depend on the pairs beside it.",
        ),
        _compared(
            f"scores of {path} and padding",
            f"{counted(len(pairs), 'pairs')} alone and padded in one batch",
            (padded_B, alone_B),
            f"Let the model read by attention_mask, or set {path}.batchSize 1: padding reaches the score.",
        ),
    ]


def _compared(check: str, what: str, both: tuple[torch.Tensor, torch.Tensor], todo: str) -> Finding:
    found_B, wanted_B = both
    worst = ((found_B - wanted_B).abs() / wanted_B.abs().clamp_min(1)).max()
    if not bool(torch.isfinite(worst)):
        return Finding(check=check, status="ok", seen=f"{what}: not to be told, for want of scores")
    difference = float(worst)
    facts = {"difference": difference}
    if difference <= TOLERANCE:
        seen = f"{what}: the same within {difference:.0e}"
        return Finding(check=check, status="ok", seen=seen, facts=facts)
    return Finding(
        check=check,
        status="refuse" if difference > _BROKEN else "note",
        seen=f"{what}: they differ by up to {difference:.1e} in float32",
        todo=todo,
        facts=facts,
    )


def check_scores(path: str, scores_N: torch.Tensor, dtype: str) -> Finding:
    """Whether scores are numbers, and not all the same one.

    Args:
        path: Of the cross-encoder's options.
        scores_N: Of different pairs, under the activation.
        dtype: Of the weights that gave them.
    """
    check = f"scores of {path}"
    finite_N = torch.isfinite(scores_N)
    many = f"{counted(len(scores_N), 'pairs')} in {dtype}"
    if not bool(finite_N.all()):
        broken = int((~finite_N).sum())
        hint = "Look at the checkpoint: are its weights whole?"
        return Finding(
            check=check,
            status="refuse",
            seen=f"{broken:,} of {many} {'has' if broken == 1 else 'have'} none: NaN or infinite",
            todo=hint if dtype == "float32" else f"Set {path}.dtype to float32 or bfloat16.",
        )
    low, high = float(scores_N.min()), float(scores_N.max())
    facts = {"low": low, "high": high, "distinct": len(scores_N.unique())}
    if len(scores_N) > 1 and low == high:
        return Finding(
            check=check,
            status="refuse",
            seen=f"all of {many} have the same one, {low:.6g}: nothing can be ranked by it",
            todo=f"Set {path}.activation identity, should that be a limit of the sigmoid; else look at"
            " the label or the tokens that answer.",
            facts=facts,
        )
    return Finding(check=check, status="ok", seen=f"{low:.4g} to {high:.4g}, {many}", facts=facts)


def check_order(path: str, relevant_Q: torch.Tensor, random_Q: torch.Tensor) -> Finding:
    """Whether judged passages get higher scores than random ones, which any trained model gives them.

    Args:
        path: Of the cross-encoder's options.
        relevant_Q: Scores of queries with a passage that is judged relevant.
        random_Q: Of the same queries with any other passage.
    """
    check = f"order of {path}"
    wins, count = int((relevant_Q > random_Q).sum()), len(relevant_Q)
    low, high = wilson(wins, count)
    part = f"{wins:,} of {counted(count, 'queries')} ({100 * wins / count:.1f} %)"
    seen = f"the relevant passage above a random one for {part}"
    facts = {"above": wins, "queries": count}
    if low > 0.5:
        return Finding(check=check, status="ok", seen=seen, facts=facts)
    if high < 0.5:
        return Finding(
            check=check,
            status="note",
            seen=f"{seen}: the wrong way round",
            todo=f"Look at {path}.label, or at which of trueToken and falseToken says yes.",
            facts=facts,
        )
    return Finding(
        check=check,
        status="note",
        seen=f"{seen}: no better than chance",
        todo="Right for weights that were never taught to rank; else look at template, prompt, label"
        " and tokens.",
        facts=facts,
    )
