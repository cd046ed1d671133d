"""Counts a checkpoint's weights from the safetensors headers, without reading a tensor."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from pathlib import Path

from quarry_runtime.errors import IntegrityError
from quarry_runtime.guard.locate import weight_files

_MAX_HEADER_BYTES = 100_000_000
_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}


@dataclasses.dataclass(frozen=True)
class WeightFacts:
    """Weights as they are stored; `dtype` is that of most parameters."""

    files: tuple[Path, ...]
    bytes: int
    parameter_count: int
    dtype: str


def weight_facts(folder: Path, *more: Path) -> WeightFacts:
    """Facts about the weights that transformers loads, and about `more` files.

    Raises:
        IntegrityError: a file that is cut short or whose header is not one.
    """
    counts: Counter[str] = Counter()
    total = 0
    files = (*(folder / name for name in weight_files(folder)), *more)
    for file in files:
        for tensor in _header(file).values():
            # Integers are buffers (old BERTs store their position ids), not parameters.
            if not tensor["dtype"].startswith(("F", "BF")):
                continue
            counts[tensor["dtype"]] += math.prod(tensor["shape"])
        total += file.stat().st_size
    stored = counts.most_common(1)[0][0] if counts else "F32"
    return WeightFacts(
        files,
        total,
        sum(counts.values()),
        _DTYPES.get(stored, stored.lower()),
    )


def _header(file: Path) -> dict[str, dict]:
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if 8 + length > size or length > _MAX_HEADER_BYTES:
            raise IntegrityError(
                f"{file} is cut short or is no safetensors file.", hint="Fetch the model again."
            )
        try:
            header = json.loads(stream.read(length))
            header.pop("__metadata__", None)
            ends = [tensor["data_offsets"][1] for tensor in header.values()]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise IntegrityError(
                f"{file} has a broken header: {error}", hint="Fetch the model again."
            ) from error
    if 8 + length + max(ends, default=0) != size:
        raise IntegrityError(
            f"{file} has {size} bytes, its header names others.", hint="Fetch the model again."
        )
    return header
