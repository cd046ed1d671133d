"""Answers of the short-lived commands: JSON, written whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_json(path: Path, value: Any) -> None:
    """Writes beside the file and renames; NaN is refused, because JSON has no word for it."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value, ensure_ascii=False, allow_nan=False), "utf-8")
    os.replace(temporary, path)
