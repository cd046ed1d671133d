"""What a Python part of the benchmark tells: JSON lines for the script that asked, or a table for a person."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys

import torch


@dataclasses.dataclass(frozen=True)
class Figure:
    """One measured thing; `reach` says what it must be, None where nothing was promised."""

    part: str
    what: str
    measured: str
    reach: str | None = None
    is_ok: bool | None = None


@dataclasses.dataclass(frozen=True)
class Check:
    """A number and the bound that it must keep, if there is one."""

    unit: str
    value: float
    most: float | None = None
    least: float | None = None

    @property
    def reach(self) -> str | None:
        """The bound in words."""
        if self.most is not None:
            return f"≤ {self.most:g}"
        return None if self.least is None else f"≥ {self.least:g}"

    @property
    def is_ok(self) -> bool:
        """Whether the bound is kept."""
        return (self.most is None or self.value <= self.most) and (
            self.least is None or self.value >= self.least
        )

    def __str__(self) -> str:
        digits = 0 if self.value >= 20 else 2
        return f"{self.value:.{digits}f} {self.unit}{'' if self.is_ok else ' (not reached)'}"


class Report:
    """Collects figures, and every number behind them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._is_json = options.json
        self._figures: list[Figure] = []

    def tell(self, figure: Figure) -> None:
        """Takes a figure in."""
        self._figures.append(figure)
        if self._is_json:
            told = dataclasses.asdict(figure)
            told["isOk"] = told.pop("is_ok")
            print(json.dumps({"event": "figure", **told}), flush=True)

    def checked(self, part: str, what: str, checks: list[Check], own: str) -> None:
        """Takes several numbers of one thing in as one figure; `own` is told beside them."""
        measured = ", ".join([*map(str, checks), own])
        reach = ", ".join(check.reach for check in checks if check.reach is not None)
        self.tell(Figure(part, what, measured, reach, all(check.is_ok for check in checks)))

    def numbers(self, **values: object) -> None:
        """Numbers that a table has no room for; they are kept in the JSON file."""
        if self._is_json:
            print(json.dumps({"event": "numbers", **values}), flush=True)

    def note(self, text: str) -> None:
        """What is at work, for whoever watches."""
        print(f"{text} (load {os.getloadavg()[0]:.1f})", file=sys.stderr, flush=True)

    def bounded(self, part: str, what: str, scratch: dict[tuple[int, int], dict[int, int]]) -> None:
        """Tells scratch bytes by (queries, k) and passages; the largest corpus may not need more."""
        for queries in dict.fromkeys(queries for queries, _ in scratch):
            by_k = {k: found for (of, k), found in scratch.items() if of == queries}
            told = "; ".join(
                f"k = {k}: " + ", ".join(f"{size / 1e6:.0f}" for size in by_size.values())
                for k, by_size in by_k.items()
            )
            # Pages come and go by the allocator's mood: a quarter and 16 MB are no growth.
            grid = [[by_size[size] for size in sorted(by_size)] for by_size in by_k.values()]
            is_bounded = all(sizes[-1] <= sizes[0] * 1.25 + 16e6 for sizes in grid)
            is_grid = len(grid[0]) > 1
            passages = " / ".join(f"{size:,}" for size in next(iter(by_k.values())))
            self.tell(
                Figure(
                    part,
                    f"{what}, {queries} queries, {passages} passages, MB",
                    told,
                    "does not grow with the corpus" if is_grid else None,
                    is_bounded if is_grid else None,
                )
            )

    def close(self) -> None:
        """Prints the table for a person, or the end for the script."""
        if self._is_json:
            print(json.dumps({"event": "end"}), flush=True)
            return
        for figure in self._figures:
            mark = "" if figure.is_ok is None else "ok" if figure.is_ok else "NOT REACHED"
            reach = f" (reach {figure.reach})" if figure.reach else ""
            print(f"{figure.what}: {figure.measured}{reach} {mark}".rstrip())


def parser(description: str) -> argparse.ArgumentParser:
    """The options that all Python parts have."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    made.add_argument("--threads", type=int, help="CPU threads; default: all cores")
    made.add_argument("--quick", action="store_true", help="small sizes, under two minutes")
    made.add_argument("--json", action="store_true", help="JSON lines in place of a table")
    made.add_argument(
        "--budget", type=float, default=2.5, help="seconds for the rounds of one cell"
    )
    made.add_argument("--block", type=int, default=8_192, help="passages in a block of scores")
    made.add_argument("--queries", type=int, nargs="+", default=[1, 32, 1_024])
    made.add_argument("--passages", type=int, nargs="+", default=[100_000, 1_000_000])
    made.add_argument("--k", type=int, nargs="+", default=[10, 100, 1_000])
    return made


def set_up(made: argparse.ArgumentParser) -> tuple[argparse.Namespace, torch.device]:
    """Reads the options and sets the number of threads."""
    options = made.parse_args()
    if options.quick:
        options.passages = [min([100_000, *options.passages])]
        options.queries = [min(256, queries) for queries in options.queries]
        options.budget = min(options.budget, 0.5)
    if options.threads is None:
        options.threads = len(os.sched_getaffinity(0))
    torch.set_num_threads(options.threads)
    return options, torch.device(options.device)


def device_words(device: torch.device, threads: int) -> str:
    """The device as a reader of figures knows it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {threads} threads"
