"""How many texts are cut at the maximum length, and which lengths would do."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from quarry_runtime.counted import counted
from quarry_runtime.doctor.findings import Finding

#: A share of cut texts up to this is what people live with.
_TOLERATED = 0.05
_Z = 1.96


def wilson(part: int, whole: int) -> tuple[float, float]:
    """95 % interval of a share seen in a sample (Wilson, JASA 22, 1927)."""
    if whole == 0:
        return 0.0, 1.0
    seen, weight = part / whole, _Z * _Z / whole
    middle = (seen + weight / 2) / (1 + weight)
    half = _Z / (1 + weight) * math.sqrt(seen * (1 - seen) / whole + weight / (4 * whole))
    # Exact at the ends, where rounding would leave some 1e-17.
    return (0.0 if part == 0 else middle - half), (1.0 if part == whole else middle + half)


def check_truncation(
    name: str,
    side: str,
    lengths: Sequence[int],
    limit: int,
    overhead: int,
    longest_possible: int,
    is_whole: bool = False,
) -> Finding:
    """The share of texts that are longer than the limit.

    Args:
        name: What the texts are, e.g. "train passages".
        side: "query" or "passage", for the option's name.
        lengths: Tokens of each text, special tokens and prompt included, not truncated.
        limit: The side's maximum length.
        overhead: Tokens of an empty text: special tokens and prompt.
        longest_possible: What the model's positions allow.
        is_whole: Whether these are all texts, so that there is no sampling error.
    """
    check = f"length of {name}"
    option = f"model.{side}MaxLength"
    if overhead >= limit:
        return Finding(
            check=check,
            status="refuse",
            seen=f"special tokens and prompt alone take {overhead} of {limit} tokens: no text is left",
            todo=f"Set {option} to {overhead + 16} or more.",
        )
    cut = sum(length > limit for length in lengths)
    low, high = wilson(cut, len(lengths))
    at_95, at_99 = (int(np.quantile(lengths, q, method="higher")) for q in (0.95, 0.99))
    interval = "" if is_whole else f", {100 * low:.1f} to {100 * high:.1f} % of all"
    seen = (
        f"{cut:,} of {counted(len(lengths), 'texts')} {'is' if cut == 1 else 'are'} longer than {limit} tokens"
        f" ({100 * cut / len(lengths):.1f} %{interval});"
        f" 95 % have up to {at_95}, 99 % up to {at_99}"
    )
    facts = {
        "cut": cut, "texts": len(lengths), "low": low, "high": high, "limit": limit,
        "p95": at_95, "p99": at_99, "mean": float(np.mean(lengths)),
    }  # fmt: skip
    if cut / len(lengths) <= _TOLERATED:
        return Finding(check=check, status="ok", seen=seen, facts=facts)
    enough = min(at_95, longest_possible)
    rest = (
        f" The model's positions end at {longest_possible}."
        if at_95 > longest_possible
        else f" Cost grows with the length: at most {enough / limit:.1f} times per full text."
    )
    kept = [max(0, length - limit) for length in lengths]
    all_words = sum(max(0, length - overhead) for length in lengths)
    lost = sum(kept) / max(1, all_words)
    todo = f"{option} {enough} would keep all of 95 %; now {100 * lost:.0f} % of the tokens are cut off.{rest}"
    if enough <= limit:
        todo = f"The model reads no more than {longest_possible} tokens; split the texts.{rest}"
    return Finding(check=check, status="note", seen=seen, todo=todo, facts=facts)
