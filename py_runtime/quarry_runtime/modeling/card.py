"""The model card: README.md with a header that the hub reads, measures, data and how to use it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quarry_runtime.modeling.card_usage import library_of, usage
from quarry_runtime.modeling.resolved import Resolved
from quarry_runtime.protocol.messages import ModelContract

_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")


def card(resolved: Resolved, contract: ModelContract, facts: Mapping[str, Any]) -> str:
    """The card's text.

    Args:
        resolved: The exported model.
        contract: The same, as it travels.
        facts: `name` of the run; `title`, the repository or the folder; `license` or null; `base`,
            the checkpoint that training began with, or null; `experiment`, its configuration, or
            null; `data`, fingerprints by use; `measures`, values by measure and data set; `step` of
            training or null; `isAdapter`; `versions` by package; `own`, for a model that only Quarry
            can load, the options that it needs there, else null; `isTrusted`, whether the model's
            own code may run.
    """
    base = _base_id(facts.get("base"))
    if facts["isAdapter"] and resolved.adapter is not None:
        base = _base_id(resolved.adapter.base) or base
    library = library_of(resolved, facts)
    header = _header(facts, library, base, facts.get("license") or _license(resolved))
    parts = [f"# {facts['title']}", _sentence(contract, facts, base), _shape(resolved, contract)]
    parts += [
        usage(library, resolved, contract, facts, base),
        _measures(facts),
        _training(facts),
    ]
    return "\n\n".join([f"---\n{header}---", *(part for part in parts if part)]) + "\n"


def _header(
    facts: Mapping[str, Any], library: str, base: str | None, license_name: str | None
) -> str:
    import huggingface_hub as hub

    results = [
        hub.EvalResult(
            task_type="information-retrieval",
            task_name="Information retrieval",
            dataset_type=data_set,
            dataset_name=data_set,
            metric_type=measure,
            metric_name=measure,
            metric_value=round(value, 6),
        )
        for data_set, values in facts["measures"].items()
        for measure, value in values.items()
    ]
    more: dict[str, Any] = {}
    if base is not None:
        more["base_model"] = base
        more["base_model_relation"] = "adapter" if facts["isAdapter"] else "finetune"
    if license_name is not None:
        more["license"] = license_name
    if results:
        more |= {"model_name": facts["name"], "eval_results": results}
    data = hub.ModelCardData(
        library_name=library,
        pipeline_tag="sentence-similarity",
        tags=list(dict.fromkeys([library, "sentence-similarity", "feature-extraction", "quarry"])),
        **more,
    )
    return data.to_yaml().rstrip() + "\n"


def _sentence(contract: ModelContract, facts: Mapping[str, Any], base: str | None) -> str:
    kind = "An adapter" if facts["isAdapter"] else "A model"
    origin = f", trained from [{base}](https://huggingface.co/{base})" if base else ""
    return (
        f"{kind} for dense retrieval{origin} with Quarry. It turns texts into vectors of"
        f" {contract.dimension} dimensions, which are compared by {contract.similarity}."
    )


def _shape(resolved: Resolved, contract: ModelContract) -> str:
    def prompt(text: str) -> str:
        # As JSON: a line's end would end the table's row.
        return f"`{json.dumps(text, ensure_ascii=False)}`" if text else "none"

    chat = [("texts", "in the chat template, prompts as its system's message")]
    rows = [
        ("architecture", contract.architecture),
        ("parameters", f"{contract.parameter_count:,}"),
        ("pooling", contract.pooling),
        ("length 1", "yes" if contract.normalize else "no"),
        *(chat if resolved.chat is not None else []),
        ("query prompt", prompt(contract.query_prompt)),
        ("passage prompt", prompt(contract.passage_prompt)),
        (
            "most tokens",
            f"query {contract.query_max_length}, passage {contract.passage_max_length}",
        ),
    ]
    return _table(("", ""), rows)


def _measures(facts: Mapping[str, Any]) -> str:
    rows = [
        (data_set, measure, f"{value:.4f}")
        for data_set, values in facts["measures"].items()
        for measure, value in values.items()
    ]
    if not rows:
        return ""
    return f"## Measures\n\n{_table(('data set', 'measure', 'value'), rows)}"


def _training(facts: Mapping[str, Any]) -> str:
    if facts.get("experiment") is None:
        return ""
    parts = ["## Training"]
    if facts.get("step") is not None:
        parts.append(f"{facts['step']:,} optimiser steps.")
    if facts["data"]:
        prints = [(use, f"`{found}`") for use, found in facts["data"].items()]
        parts.append(_table(("data", "fingerprint"), prints))
    if facts["versions"]:
        parts.append(_table(("package", "version"), list(facts["versions"].items())))
    text = json.dumps(facts["experiment"], indent=2, ensure_ascii=False)
    parts.append(
        f"<details>\n<summary>The experiment</summary>\n\n```json\n{text}\n```\n\n</details>"
    )
    return "\n\n".join(parts)


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|")


def _base_id(name: str | None) -> str | None:
    """A name that the hub has; folders are nobody else's business."""
    if name is not None and name.startswith("embedded:"):
        return f"sentence-transformers/{name.removeprefix('embedded:')}"
    return name if name is not None and _HUB_ID.match(name) else None


def _license(resolved: Resolved) -> str | None:
    """The licence that the model's own card, or that of an adapter's base, names."""
    bases = [] if resolved.adapter is None else [resolved.adapter.base_path]
    for folder in [resolved.path, *bases]:
        found = _license_of(folder / "README.md")
        if found is not None:
            return found
    return None


def _license_of(file: Path) -> str | None:
    import huggingface_hub as hub

    if not file.is_file():
        return None
    try:
        # The text alone: a card's content never makes the hub's client ask for anything.
        text = file.read_text(encoding="utf-8")
        data: Any = hub.ModelCard(text, ignore_metadata_errors=True).data
        return data.license
    except Exception:
        # A card that cannot be read names no licence; it does not keep anybody from exporting.
        return None
