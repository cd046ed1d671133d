"""Values of each query that are to be compared: scored from runs, or read from files that say what they rest on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quarry_runtime.errors import ConfigError, DataError
from quarry_runtime.measuring.files import fingerprint, read_qrels
from quarry_runtime.measuring.scores import Missing, measure
from quarry_runtime.measuring.told import Hear, Told

PerQuery = Mapping[str, Mapping[str, float]]
# What measure() writes as `basis`, in words; of judgements a message says only that they differ.
_FACTS = {
    "relevanceLevel": "relevance level",
    "missing": "rule for queries without results",
    "depth": "depth",
    "judgements": "judgements",
}
_ALIKE = "Compare run files, which are scored anew, or values that were measured alike."


@dataclass(frozen=True)
class Values:
    """The values of each query of one run.

    Attributes:
        name: How messages call the run.
        queries: Values by query and measure.
        basis: What they rest on (see measure()); None for a file from before this was written.
    """

    name: str
    queries: PerQuery
    basis: Mapping[str, Any] | None


def values_of(
    inputs: Sequence[tuple[str, Path]],
    qrels: Path | None,
    names: list[str],
    level: int | None,
    missing: Missing | None,
    told: Told,
) -> list[Values]:
    """Reads or scores runs, so that all values rest on the same; what is not asked for is as in the files of values.

    Raises:
        ConfigError: values that rest on something else than what is asked for, or than those of another file.
    """
    kept = {
        at: _read(name, path, names)
        for at, (name, path) in enumerate(inputs)
        if path.suffix == ".json"
    }
    asked = {"relevanceLevel": level, "missing": missing}
    asked = {fact: value for fact, value in asked.items() if value is not None}
    if asked and (silent := next((each for each in kept.values() if each.basis is None), None)):
        what = " and ".join(_FACTS[fact] for fact in asked)
        raise ConfigError(
            f"{silent.name}: does not say its {what}, which is asked for.",
            hint="Ask for none, or compare the run file.",
        )
    if qrels is not None and any(each.basis is not None for each in kept.values()):
        asked["judgements"] = fingerprint(read_qrels(qrels))
    agreed = _agreed(list(kept.values()), asked)
    return [
        kept[at]
        if at in kept
        else _score(
            name,
            path,
            qrels,
            names,
            agreed,
            told.reading(f"reading {name}, {at + 1} of {len(inputs)}", path),
        )
        for at, (name, path) in enumerate(inputs)
    ]


def _score(
    name: str,
    path: Path,
    qrels: Path | None,
    names: list[str],
    agreed: Mapping[str, Any],
    hear: Hear,
) -> Values:
    if qrels is None:
        raise ConfigError(f"{path}: a run needs judgements.", hint="Name them with --qrels.")
    found = measure(
        path,
        qrels,
        names,
        level=agreed.get("relevanceLevel", 1),
        missing=agreed.get("missing", "zero"),
        depth=agreed.get("depth"),
        hear=hear,
    )
    return Values(name, found["queries"], found["basis"])


def _agreed(kept: Sequence[Values], asked: Mapping[str, Any]) -> dict[str, Any]:
    """What everything rests on, as far as it is asked for or stated."""
    agreed = {fact: (value, "this comparison") for fact, value in asked.items()}
    for each in kept:
        for fact, value in (each.basis or {}).items():
            expected, whose = agreed.setdefault(fact, (value, each.name))
            if value == expected:
                continue
            what = _FACTS[fact]
            message = f"its {what} is {value}, that of {whose} {expected}"
            if fact == "judgements":
                message = f"its judgements are others than those of {whose}"
            raise ConfigError(f"{each.name}: {message}.", hint=_ALIKE)
    return {fact: value for fact, (value, _) in agreed.items()}


def _read(name: str, path: Path, names: list[str]) -> Values:
    try:
        recorded = json.loads(path.read_text("utf-8"))
        queries = {
            query: {measure: float(values[measure]) for measure in names}
            for query, values in recorded["queries"].items()
        }
        basis = recorded.get("basis")
        if basis is not None and basis.keys() != _FACTS.keys():
            raise ValueError("basis")
        return Values(name, queries, basis)
    except KeyError as missing:
        raise DataError(
            f"{path}: holds no values of {missing}.",
            hint="Compare the run file instead, or by a measure that was computed.",
        ) from None
    except (ValueError, TypeError, AttributeError):
        raise DataError(
            f"{path}: not the values of each query.", hint="Give a run file or per-query.json."
        ) from None
