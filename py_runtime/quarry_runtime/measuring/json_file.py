"""Answers that a file keeps as well: JSON, written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from quarry_runtime.guard.durable import whole_file


def write_json(path: Path, value: Any) -> None:
    """Writes an answer; NaN is refused, because JSON has no word for it."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(value, ensure_ascii=False, allow_nan=False), "utf-8")
