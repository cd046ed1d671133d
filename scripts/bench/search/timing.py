"""Rivals that take turns, so that a machine whose speed drifts slows all of them; peaks of memory."""

from __future__ import annotations

import ctypes
import gc
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

Rival = Callable[[], object]

# The first go of a rival faster than this warms up and does not count; a slower one's counts.
WARM_SECONDS = 2.0
# More than this for one go: two goes are enough. More than that: one.
SLOW_SECONDS, SLOWEST_SECONDS = 4.0, 12.0
MOST_ROUNDS = 15
LEAST_ROUNDS = 3


class Rounds:
    """Seconds of each rival in each round it took part in."""

    def __init__(self, seconds: dict[str, dict[int, float]]) -> None:
        self._seconds = seconds

    @property
    def names(self) -> list[str]:
        """Everybody who took part."""
        return list(self._seconds)

    def seconds(self, name: str) -> float:
        """The median of a rival's seconds."""
        return median(self._seconds[name].values())

    def ratio(self, name: str, other: str) -> float:
        """The median over common rounds of `name`'s seconds divided by those of `other`."""
        mine, its = self._seconds[name], self._seconds[other]
        common = mine.keys() & its.keys()
        if not common:  # one of them was asked only once
            return self.seconds(name) / self.seconds(other)
        return median(mine[at] / its[at] for at in common)

    def count(self, name: str) -> int:
        """In how many rounds the rival took part."""
        return len(self._seconds[name])


def alternate(rivals: dict[str, Rival], device: torch.device, budget_s: float) -> Rounds:
    """Lets the rivals take turns until `budget_s` seconds are spent: 3 to 15 rounds, fewer for slow ones.

    The order is turned around in every other round: whoever comes after a rival that empties the
    caches would pay for it each time.
    """
    seconds: dict[str, dict[int, float]] = {name: {} for name in rivals}
    goes_left: dict[str, int] = {}
    for name, rival in rivals.items():
        took = _once(rival, device)
        if took > WARM_SECONDS:
            seconds[name][0] = took
        goes_left[name] = MOST_ROUNDS
        if took > SLOW_SECONDS:
            goes_left[name] = 0 if took > SLOWEST_SECONDS else 1
    begin = time.perf_counter()
    for at in range(1, MOST_ROUNDS + 1):
        if at > LEAST_ROUNDS and time.perf_counter() - begin > budget_s:
            break
        for name in list(rivals) if at % 2 == 0 else list(reversed(rivals)):
            if goes_left[name] > 0:
                goes_left[name] -= 1
                seconds[name][at] = _once(rivals[name], device)
    return Rounds(seconds)


def _once(rival: Rival, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    begin = time.perf_counter()
    rival()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin


def scratch_bytes(rival: Rival, device: torch.device) -> int:
    """Most memory in use while a rival works beyond what was there before; its result included.

    On a GPU as torch's allocator counts it, on a CPU the kernel's peak of resident pages.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        rival()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    # What earlier work freed and the allocator kept would hide what this one needs.
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = _status("VmRSS")
    rival()
    return max(0, _status("VmHWM") - before)


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"this kernel does not tell {field}")
