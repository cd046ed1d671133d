"""Special tokens of pairs as a cross-encoder reads them, and how many pairs are cut at its maximum length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quarry_runtime.counted import counted
from quarry_runtime.doctor.findings import Finding, share
from quarry_runtime.doctor.special_tokens import doubled
from quarry_runtime.doctor.truncation import wilson

#: A share of cut pairs up to this is what people live with.
_TOLERATED = 0.05


@dataclass(frozen=True)
class PairTokens:
    """How a cross-encoder puts pairs together."""

    #: Ids of a pair of plain words.
    example: Sequence[int]
    #: What the tokenizer makes of a text alone, its special tokens included.
    single: Sequence[int]
    special: frozenset[int]
    #: Gives the text of an id.
    names: Any
    #: Whether a template makes one text of a pair, and whether that is the user's.
    is_templated: bool
    is_own_template: bool


def check_pair_tokens(path: str, ids: Sequence[Sequence[int]], tokens: PairTokens) -> Finding:
    """Special tokens counted in pairs as the model gets them.

    Args:
        path: Of the cross-encoder's options, e.g. "rerank".
        ids: Of each pair, not truncated.
        tokens: How they are made.
    """
    check = f"special tokens of {path}"
    example, special, names = tokens.example, tokens.special, tokens.names
    # RoBERTa's family has two ends between the texts of a pair, so only its beginning counts there.
    twice = doubled(example if tokens.is_templated else example[:2], special)
    if twice is not None:
        by = f"{path}.template" if tokens.is_own_template else "the checkpoint's template or prompt"
        return Finding(
            check=check,
            status="refuse",
            seen=f"{names(twice)} stands twice in a row in every pair",
            todo=f"Take it out of {by}: it is put there once already.",
        )
    expected = sum(token in special for token in example)
    extra = [row for row in ids if sum(token in special for token in row) != expected]
    facts = {"pairs": len(ids), "withOwn": len(extra), "specials": expected}
    if extra:
        first = next((token for token in extra[0] if token in special), None)
        return Finding(
            check=check,
            status="note",
            seen=f"{share(len(extra), len(ids))} of the pairs hold special tokens of their own",
            todo=f"Take {'them' if first is None else f'{names(first)} and the like'} out of the texts:"
            " the model reads one as an end or a beginning.",
            facts=facts,
        )
    begin = tokens.single[0] if tokens.single and tokens.single[0] in special else None
    if tokens.is_own_template and begin is not None and example[0] != begin:
        return Finding(
            check=check,
            status="note",
            seen=f"the tokenizer begins a text with {names(begin)}, {path}.template does not",
            todo=f"Begin the template with {names(begin)} if the model was taught so; its card says it.",
            facts=facts,
        )
    if expected == 0 and not tokens.is_templated:
        return Finding(
            check=check,
            status="note",
            seen="the tokenizer puts nothing between query and passage",
            todo=f"Right for a model that was taught so; else {path}.template says what a pair becomes.",
            facts=facts,
        )
    words = " ".join(names(token) for token in example) if not tokens.is_templated else ""
    seen = f"{counted(expected, 'special tokens')} in each of {counted(len(ids), 'pairs')}"
    return Finding(check=check, status="ok", seen=f"{seen}{words and f': {words}'}", facts=facts)


def check_pair_lengths(
    name: str,
    path: str,
    lengths: Sequence[tuple[int, int]],
    overhead: int,
    limit: int,
    longest_possible: int,
) -> Finding:
    """The share of pairs that are longer than the limit, and which of the two texts is cut.

    Args:
        name: What the pairs are of, e.g. "evaluate.data".
        path: Of the cross-encoder's options.
        lengths: Tokens of query and passage of each pair.
        overhead: Tokens of a pair of empty texts: special tokens, template and prompt.
        limit: Tokens of a pair.
        longest_possible: What the model's positions allow.
    """
    room = limit - overhead
    totals = [query + passage + overhead for query, passage in lengths]
    cut = [pair for pair, total in zip(lengths, totals, strict=True) if total > limit]
    # From the longer text first: the shorter one is cut only where it alone takes more than half.
    queries = sum(query > max(room // 2, room - passage) for query, passage in cut)
    passages = sum(passage > max(room // 2, room - query) for query, passage in cut)
    low, high = wilson(len(cut), len(totals))
    at_95, at_99 = (int(np.quantile(totals, q, method="higher")) for q in (0.95, 0.99))
    what = f"{len(cut):,} of {counted(len(totals), 'pairs')} {'is' if len(cut) == 1 else 'are'}"
    seen = (
        f"{what} longer than {limit} tokens"
        f" ({100 * len(cut) / len(totals):.1f} %, {100 * low:.1f} to {100 * high:.1f} % of all);"
        f" 95 % have up to {at_95}, 99 % up to {at_99}"
    )
    if cut:
        seen += f"; the passage is cut in {passages:,}, the query in {queries:,}"
    facts = {
        "cut": len(cut), "pairs": len(totals), "low": low, "high": high, "limit": limit,
        "queriesCut": queries, "passagesCut": passages, "p95": at_95, "p99": at_99,
    }  # fmt: skip
    check = f"length of {path} pairs of {name}"
    if len(cut) <= _TOLERATED * len(totals):
        return Finding(check=check, status="ok", seen=seen, facts=facts)
    lost = sum(sum(pair) - room for pair in cut) / sum(map(sum, lengths))
    todo = f"Now {100 * lost:.0f} % of the tokens are cut off"
    enough = min(at_95, longest_possible)
    if enough > limit:
        gain = "keep all of 95 %" if enough == at_95 else "cut less"
        todo += f"; {path}.maxLength {enough} would {gain}, at up to {enough / limit:.1f} times the cost of a full pair"
    if at_95 > longest_possible:
        todo += f". The model's positions end at {longest_possible}: split the passages, or live with it"
    return Finding(check=check, status="note", seen=seen, todo=f"{todo}.", facts=facts)
