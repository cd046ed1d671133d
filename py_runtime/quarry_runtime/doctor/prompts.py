"""Whether prompts are those that the checkpoint was trained with, as its configuration and its model card say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from quarry_runtime.doctor.findings import Finding

#: Prompts that model cards show in quotes or code, by the side they belong to.
_IN_CARDS = {
    "query": (
        "query: ",
        "search_query: ",
        "Represent this sentence for searching relevant passages:",
        "Represent this query for retrieving relevant documents:",
    ),
    "passage": ("passage: ", "search_document: ", "title: none | text: "),
}
_NAMES = {"query": ("query",), "passage": ("document", "passage", "corpus")}


def prompts_in_card(card: str) -> dict[str, str]:
    """Prompts that a model card shows at the beginning of a quoted or indented text, by side."""
    found: dict[str, str] = {}
    for side, known in _IN_CARDS.items():
        for prompt in known:
            if re.search(rf"[\"'`“]{re.escape(prompt.strip())}", card):
                found[side] = prompt
                break
    return found


def check_prompt(
    side: str, used: str, declared: Mapping[str, str | None], card: str | None
) -> Finding:
    """The prompt in use against what the checkpoint says of itself.

    Args:
        side: "query" or "passage".
        used: What stands before each text now.
        declared: `prompts` of config_sentence_transformers.json.
        card: Text of the checkpoint's README.md; None where there is none.
    """
    check = f"{side} prompt"
    using = f"{used!r} is used" if used else "none is used"
    own = next((declared[name] for name in _NAMES[side] if declared.get(name)), None)
    if own is not None:
        if own == used:
            return Finding(
                check=check,
                status="ok",
                seen=f"{used!r}, as config_sentence_transformers.json says",
            )
        return Finding(
            check=check,
            status="note",
            seen=f"{using}, but config_sentence_transformers.json says {own!r}",
            todo=f"Leave model.prompts.{side} out to use the checkpoint's own.",
        )
    shown = prompts_in_card(card).get(side) if card is not None else None
    if shown is not None and not used.startswith(shown.strip()):
        return Finding(
            check=check,
            status="note",
            seen=f"{using}, but the model card shows texts that begin with {shown!r}",
            todo=f"Set model.prompts.{side} to {shown!r}, or read the card for what it means.",
        )
    others = sorted(name for name, prompt in declared.items() if prompt)
    if others and not used:
        return Finding(
            check=check,
            status="note",
            seen=f"none is used; the checkpoint has prompts for {', '.join(others[:5])}",
            todo=f"Set model.prompts.{side} to the one of your task, or leave it if none fits.",
        )
    said = (
        "says nothing of one" if card is not None else "says nothing of one and has no model card"
    )
    return Finding(check=check, status="ok", seen=f"{using}; the checkpoint {said}")


def read_card(folder: Path) -> str | None:
    """The model card beside a checkpoint's weights."""
    file = folder / "README.md"
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else None
