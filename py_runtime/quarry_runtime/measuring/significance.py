"""Whether two systems differ: paired tests over queries, an interval of the difference, correction for many tests."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

# 2^18 sign patterns are counted one by one in some milliseconds; more are sampled.
EXACT_LIMIT = 18
SAMPLES = 100_000
BOOTSTRAP_SAMPLES = 10_000
_CHUNK_VALUES = 4_000_000

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Randomisation:
    """Outcome of the sign-flipping test."""

    p: float
    is_exact: bool
    samples: int


def t_test(differences: Values) -> tuple[float | None, float | None]:
    """Student's paired test, two-sided.

    Args:
        differences: [Q], other run minus baseline.

    Returns:
        The statistic and p; None for what is not defined: with one query, or a statistic without bound
        (all differences equal, then p is 0).
    """
    if not np.any(differences):
        return 0.0, 1.0
    if len(differences) < 2:
        return None, None
    if np.ptp(differences) == 0:
        return None, 0.0
    # scipy.stats has both, but takes a second to import.
    count = len(differences)
    variance = np.var(differences) * (count / (count - 1))
    statistic = float(differences.mean() / np.sqrt(variance / count))
    return statistic, two_sided_p(statistic, count - 1)


def two_sided_p(statistic: float, freedom: float) -> float:
    """Of Student's t."""
    return float(2 * special.stdtr(freedom, -abs(statistic)))


def randomisation_test(
    differences: Values, rng: np.random.Generator, samples: int = SAMPLES
) -> Randomisation:
    """Fisher's randomisation test: were the labels of the two runs exchangeable in each query?

    Each difference keeps or changes its sign with equal chance; p is the share of such assignments with a mean
    (of weighted differences: a sum) at least as far from 0 as the observed one. All assignments are counted while
    at most EXACT_LIMIT queries differ. Sampled ones include the observed assignment itself, so p is never 0
    (Phipson and Smyth, 2010).

    Args:
        differences: [Q], other run minus baseline.
        rng: draws the signs when they are sampled.
        samples: how many assignments are sampled.
    """
    moved = differences[differences != 0]
    # Sums of the same numbers in another order differ in their last bits and are equal nevertheless.
    least = abs(float(moved.sum())) - 1e-9 * float(np.abs(moved).sum())
    if len(moved) <= EXACT_LIMIT:
        sums = np.zeros(1)
        for difference in moved:
            sums = np.concatenate([sums + difference, sums - difference])
        return Randomisation(float(np.mean(np.abs(sums) >= least)), True, len(sums))
    extreme = 0
    for start, stop in _chunks(samples, len(moved)):
        sums = 2.0 * (_coins(rng, stop - start, len(moved)) @ moved) - moved.sum()
        extreme += int(np.sum(np.abs(sums) >= least))
    return Randomisation((extreme + 1) / (samples + 1), False, samples)


def bootstrap_interval(
    values: Values, rng: np.random.Generator, level: float = 0.95, samples: int = BOOTSTRAP_SAMPLES
) -> tuple[float, float]:
    """Percentile interval of the mean: queries are drawn again, with replacement.

    Args:
        values: [Q], one value or one difference for each query.
        rng: draws the queries.
        level: how much of the distribution lies inside.
        samples: how many times all queries are drawn.
    """
    return percentile_interval(bootstrap_means(values, rng, samples), level)


def bootstrap_means(
    values: Values, rng: np.random.Generator, samples: int = BOOTSTRAP_SAMPLES
) -> Values:
    """The means, [samples], of queries drawn again with replacement; `values` [Q]."""
    means = np.empty(samples)
    for start, stop in _chunks(samples, len(values)):
        drawn = rng.integers(0, len(values), size=(stop - start, len(values)))
        means[start:stop] = values[drawn].mean(axis=1)
    return means


def percentile_interval(means: Values, level: float = 0.95) -> tuple[float, float]:
    """What holds the middle of drawn means, [samples]; `level` is how much of them."""
    outside = (1 - level) / 2
    low, high = np.quantile(means, [outside, 1 - outside])
    return float(low), float(high)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p adjusted for all tests together (Holm, 1979): the family-wise error stays below what each is read at.

    What is not defined stays so, and does not count.
    """
    defined = [(p, at) for at, p in enumerate(p_values) if p is not None]
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, at) in enumerate(sorted(defined)):
        highest = max(highest, min(1.0, (len(defined) - rank) * p))
        adjusted[at] = highest
    return adjusted


def generator(seed: int, *names: str) -> np.random.Generator:
    """A generator of its own for each test, so that no test depends on which others are asked for."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


def _coins(rng: np.random.Generator, rows: int, columns: int) -> Values:
    """Zeros and ones with equal chance: what integers(0, 2, dtype=int8) draws, two to three times as fast."""
    drawn = np.frombuffer(rng.bytes(rows * columns), np.uint8) >> 7
    # As floats: numpy multiplies other types without BLAS.
    return drawn.reshape(rows, columns).astype(np.float64)


def _chunks(samples: int, width: int) -> list[tuple[int, int]]:
    size = max(1, _CHUNK_VALUES // max(1, width))
    return [(start, min(start + size, samples)) for start in range(0, samples, size)]
