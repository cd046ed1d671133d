"""Whether two systems differ on average over data sets: tests and an interval of the mean of the sets' means.

Each data set counts the same, whatever its size. The sets are taken as they are and as independent of each other: what
is relabelled or drawn again are queries within a set. So the answers speak of other queries like these in these data
sets, not of other data sets, and a query that two sets share counts as two.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quarry_runtime.measuring.significance import (
    BOOTSTRAP_SAMPLES,
    SAMPLES,
    Randomisation,
    Values,
    bootstrap_means,
    percentile_interval,
    randomisation_test,
    two_sided_p,
)

# Sets whose differences cancel out leave the last bits of a sum.
_NOTHING = 1e-12


def stratified_t_test(strata: Sequence[Values]) -> tuple[float | None, float | None]:
    """Student's paired test of a mean of means, two-sided; of one data set it is `t_test`.

    The variance of the mean of S means is the sum of the sets' own, s²/n each, over S²; nothing is pooled, since
    data sets differ in how much a query can move. The degrees of freedom of such a sum are approximated as
    Satterthwaite does (An approximate distribution of estimates of variance components, 1946; Welch, 1947, for
    means of several samples). Of two sets it is Welch's test of the one's differences against the other's negated.

    Args:
        strata: of each data set [Q], other run minus baseline.

    Returns:
        The statistic and p; None for what is not defined: with a set of one query, whose variance nobody knows, or a
        statistic without bound (the differences are equal within each set, then p is 0).
    """
    if not any(np.any(differences) for differences in strata):
        return 0.0, 1.0
    counts = np.array([len(differences) for differences in strata])
    if np.any(counts < 2):
        return None, None
    mean = float(np.mean([differences.mean() for differences in strata]))
    # The variance of equal numbers is 0, but for its last bits.
    variances = np.array(
        [np.var(each, ddof=1) / len(each) if np.ptp(each) > 0 else 0.0 for each in strata]
    )
    if not np.any(variances):
        return (0.0, 1.0) if abs(mean) < _NOTHING else (None, 0.0)
    statistic = mean * len(strata) / float(np.sqrt(variances.sum()))
    freedom = variances.sum() ** 2 / np.sum(variances**2 / (counts - 1))
    return statistic, two_sided_p(statistic, freedom)


def stratified_randomisation_test(
    strata: Sequence[Values], rng: np.random.Generator, samples: int = SAMPLES
) -> Randomisation:
    """Fisher's randomisation test of a mean of means: the labels of the two runs change places in each query by itself.

    The mean of the sets' means is a sum of the differences, each divided by the number of sets and by that of its
    set's queries; flipping signs of these is flipping labels within queries.

    Args:
        strata: of each data set [Q], other run minus baseline.
        rng: draws the signs when they are sampled.
        samples: how many assignments are sampled.
    """
    weighted = [differences / (len(strata) * len(differences)) for differences in strata]
    return randomisation_test(np.concatenate(weighted), rng, samples)


def stratified_interval(
    strata: Sequence[Values], rng: np.random.Generator, samples: int = BOOTSTRAP_SAMPLES
) -> tuple[float, float]:
    """Percentile interval, 95 %, of a mean of means: of each set as many queries are drawn again as it has.

    So each sample has the average's own weights (Davison and Hinkley, Bootstrap Methods and their Application, 1997,
    section 3.2: several samples).

    Args:
        strata: of each data set [Q], other run minus baseline.
        rng: draws the queries.
        samples: how many times all queries are drawn.
    """
    means = [bootstrap_means(differences, rng, samples) for differences in strata]
    return percentile_interval(np.mean(means, axis=0))
