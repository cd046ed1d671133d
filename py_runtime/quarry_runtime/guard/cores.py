"""Which processor this machine has, and how many of its cores there are for this process."""

from __future__ import annotations

import os
from pathlib import Path


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor(fact: str) -> str:
    """What Linux says of the first core under a name, e.g. "model name"; empty where it says nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    told = (line.partition(":")[2].strip() for line in lines if line.startswith(fact))
    return next(told, "")
