"""Whether texts are there at all."""

from __future__ import annotations

from collections.abc import Sequence

from quarry_runtime.doctor.findings import Finding, share


def check_empty(name: str, texts: Sequence[str]) -> Finding:
    """Texts that hold nothing but white space.

    Args:
        name: What they are, e.g. "train passages".
        texts: Titles joined, prompts left out.
    """
    empty = sum(not text.strip() for text in texts)
    facts = {"empty": empty, "texts": len(texts)}
    if empty == 0:
        return Finding(
            check=f"text of {name}",
            status="ok",
            seen=f"none of {len(texts):,} is empty",
            facts=facts,
        )
    return Finding(
        check=f"text of {name}",
        status="refuse" if empty * 2 > len(texts) else "note",
        seen=f"{share(empty, len(texts))} are empty",
        todo="Name the right fields of the files, or leave such records out: validation.emptyTexts drop.",
        facts=facts,
    )
