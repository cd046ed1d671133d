"""From measured seconds to larger corpora: what building and searching cost, and when building pays.

Constants are fitted in the logarithm, so that each size weighs the same. N passages, Q queries.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

# As faiss does it: rounds of k-means, and at most so many of the passages for each of its centres.
KMEANS_ROUNDS = 10
POINTS_PER_LIST = 256


def list_count(passages: int) -> int:
    """Lists of an IVF index: four times the root, as FAISS's guide recommends."""
    return max(1, int(4 * math.sqrt(passages)))


def ivf_build_work(passages: float) -> float:
    """Distances computed: rounds of k-means over a sample, then each passage to its list."""
    lists = 4 * math.sqrt(passages)
    return (KMEANS_ROUNDS * min(passages, POINTS_PER_LIST * lists) + passages) * lists


def hnsw_build_work(passages: float) -> float:
    """N inserts into a graph whose search grows with the logarithm."""
    return passages * math.log(passages)


@dataclasses.dataclass(frozen=True)
class Law:
    """Seconds of a size: `constant * shape(size) ** power`."""

    constant: float
    shape: Callable[[float], float]
    power: float = 1.0
    #: Largest factor between a measured point and the law.
    misfit: float = 1.0

    def __call__(self, passages: float) -> float:
        return self.constant * self.shape(passages) ** self.power


def fit(
    sizes: Sequence[float],
    seconds: Sequence[float],
    shape: Callable[[float], float] = float,
    power: float | None = 1.0,
    least_power: float = 0.0,
) -> Law:
    """The law of that shape through the points; `power=None` fits the power too.

    Args:
        least_power: What a fitted power may not fall below: few small sizes can make a search look
            as if it did not grow at all.

    Raises:
        ValueError: no points, or one point and a free power.
    """
    if not sizes or (power is None and len(sizes) < 2):
        raise ValueError("too few points for a law")
    xs, ys = [math.log(shape(size)) for size in sizes], [math.log(each) for each in seconds]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    if power is None:
        spread = sum((x - mean_x) ** 2 for x in xs)
        power = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread
        power = max(least_power, power)
    constant = math.exp(mean_y - power * mean_x)
    law = Law(constant, shape, power)
    misfit = max(
        max(law(size) / took, took / law(size)) for size, took in zip(sizes, seconds, strict=True)
    )
    return dataclasses.replace(law, misfit=misfit)


@dataclasses.dataclass(frozen=True)
class Costs:
    """Laws of one kind of index beside exact search: seconds to build, seconds for one query of many."""

    build: Law
    query: Law
    exact_query: Law

    def break_even(self, passages: float) -> float:
        """The number of queries from which on building and searching the index is faster; inf for never."""
        saved = self.exact_query(passages) - self.query(passages)
        return self.build(passages) / saved if saved > 0 else math.inf

    def evaluations(self, passages: float, queries: float) -> float:
        """How often an evaluation of so many queries must use the same index until it pays."""
        return self.break_even(passages) / queries


def paying_range(
    costs: Costs, queries: float, smallest: float = 1e4, largest: float = 1e9
) -> tuple[float, float] | None:
    """The range of corpus sizes in which an index pays for one evaluation of so many queries, or None.

    The ends are `smallest` and `largest` where the range goes beyond them.
    """
    steps = 400
    sizes = [smallest * (largest / smallest) ** (at / steps) for at in range(steps + 1)]
    paying = [size for size in sizes if costs.break_even(size) <= queries]
    return (paying[0], paying[-1]) if paying else None
