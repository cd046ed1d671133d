"""What a search over a part of the corpus says about a search over all of it, and how sure that is.

The part holds every judged passage and a random sample of the others, so a relevant passage keeps the judged
ones above it and loses most of the rest: values are too high. Let X be the number of unjudged passages above
it in the whole corpus, of which x fell into the sample: x is hypergeometric given X. The distribution of X
over all relevant passages is fitted to the observed x (nonparametric maximum likelihood by EM: Kiefer and
Wolfowitz, 1956; Laird, 1978), and each passage's contribution to a measure is averaged over X given its own x.
Dividing x by the sampling rate instead would call every passage with x = 0 unbeaten.

The interval takes the fit from queries drawn again and X from what its x leaves open. It states the error of
looking at a part, not that of having these queries and no others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from quarry_runtime.measuring.files import read_qrels, read_run
from quarry_runtime.measuring.names import Measure
from quarry_runtime.measuring.scores import Scorer, in_order
from quarry_runtime.measuring.significance import generator

DRAWS = 200
_EM_STEPS = 200
# First, second and third, later relevant passages of a query: the first is beaten by fewer.
_STRATA = 3
_ESTIMATED = ("nDCG", "AP", "P", "R", "Success", "RR", "Rprec")

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """How the part was made: unjudged passages in the corpus and in the part, passages kept of each ranking."""

    unjudged: int
    sampled: int
    depth: int


@dataclass(frozen=True)
class Found:
    """Relevant passages that were found, [I] each, in the order of queries and ranks."""

    query: Ints
    grade: Ints
    #: Judged passages above, of this query or of another.
    fixed: Ints
    #: Sampled passages above.
    sampled: Ints
    #: 0, 1 or 2: which distribution of X it belongs to.
    stratum: Ints


def estimate(
    run: Path, qrels: Path, names: list[str], part: Part, *, level: int = 1, seed: int = 42
) -> dict[str, Any]:
    """Estimates measures over the whole corpus from a run over a part of it.

    Args:
        run: a TREC run over the part, as an evaluation writes it.
        qrels: judgements; each judged passage is in the part.
        names: measures as ir_measures writes them.
        part: how the part was made.
        level: the lowest grade that counts as relevant.
        seed: seed of the interval's draws.

    Returns:
        `{"measures": {name: {"measured", "estimate", "low", "high"}}, "notEstimated": [name, …]}`; the interval
        is one of 95 %. Measures that look at judged passages only (Bpref) are the same over all of the corpus;
        they and counts are not estimated.
    """
    judged = read_qrels(qrels)
    scorer = Scorer(judged, names, level)
    rankings = {query: in_order(ranking) for query, ranking in read_run(run) if query in judged}
    found = _found(rankings, judged)
    sums = [m for m in scorer.measures if m.name in _ESTIMATED and not m.is_judged_only]
    grid = _grid(part)
    likelihood = _likelihood(part, grid)
    weights = {m.text: _Contribution(m, found, judged, level, part.depth) for m in sums}
    fit = _fit(found, likelihood, np.ones(len(judged)))
    posterior = _posterior(found, likelihood, fit)
    answer: dict[str, Any] = {}
    draws = _draws(found, likelihood, grid, len(judged), seed)
    values = {m.text: [] for m in sums}
    for hidden in draws:
        for name, weight in weights.items():
            values[name].append(weight.mean(hidden))
    for m in sums:
        low, high = np.quantile(values[m.text], [0.025, 0.975])
        answer[m.text] = {
            "measured": weights[m.text].mean(found.sampled),
            "estimate": weights[m.text].expected(posterior, grid),
            "low": float(low),
            "high": float(high),
        }
    return {
        "measures": answer,
        "notEstimated": [m.text for m in scorer.measures if m.text not in answer],
    }


def _found(rankings: Mapping[str, list[str]], judged: Mapping[str, Mapping[str, int]]) -> Found:
    known = {passage for grades in judged.values() for passage in grades}
    rows: list[tuple[int, int, int, int, int]] = []
    for number, (query, grades) in enumerate(judged.items()):
        fixed = sampled = order = 0
        for passage in rankings.get(query, []):
            grade = grades.get(passage, 0)
            if grade > 0:
                rows.append((number, grade, fixed, sampled, min(_STRATA - 1, (order + 1) // 2)))
                order += 1
            if passage in known:
                fixed += 1
            else:
                sampled += 1
    # Without any all is 0, and surely so: none is found in the whole corpus, where more stand above it.
    return Found(*np.array(rows, dtype=np.int64).reshape(-1, 5).T)


class _Contribution:
    """A measure as a sum over found relevant passages, each a function of its own rank."""

    def __init__(
        self,
        m: Measure,
        found: Found,
        judged: Mapping[str, Mapping[str, int]],
        level: int,
        depth: int,
    ) -> None:
        self.found = found
        self.query_count = len(judged)
        least = 1 if m.name == "nDCG" else m.level(level)
        counts = np.array([sum(g >= least for g in grades.values()) for grades in judged.values()])
        self.is_counted = found.grade >= least
        # Relevant passages of the query up to this one.
        self.order = np.zeros(len(found.query), dtype=np.int64)
        for query in np.unique(found.query):
            own = found.query == query
            self.order[own] = np.cumsum(self.is_counted[own])
        relevant = np.maximum(counts[found.query], 1)
        cutoff = depth if m.cutoff is None else int(m.cutoff)
        last = relevant if m.name == "Rprec" else np.full(len(relevant), cutoff)
        self.last = np.minimum(last, depth)
        self.name = m.name
        self.scale = np.ones(len(relevant))
        if m.name in ("AP", "R", "Rprec"):
            self.scale = 1.0 / relevant
        elif m.name == "P":
            self.scale = np.full(len(relevant), 1.0 / int(m.cutoff or 1))
        elif m.name == "nDCG":
            ideals = [_ideal(grades, m) for grades in judged.values()]
            self.scale = _gain(found.grade, m) / np.array(ideals)[found.query]

    def at(self, hidden: NDArray[Any]) -> Floats:
        """Contributions when `hidden` unjudged passages stand above: [I], or [I, G] for several cases."""
        shape = (-1,) + (1,) * (hidden.ndim - 1)
        rank = 1.0 + self.found.fixed.reshape(shape) + hidden
        first = (self.order == 1).reshape(shape)
        shares: dict[str, Any] = {
            "nDCG": lambda: 1.0 / np.log2(1.0 + rank),
            "AP": lambda: self.order.reshape(shape) / rank,
            "RR": lambda: first / rank,
            "Success": lambda: first * np.ones_like(rank),
        }
        share = shares.get(self.name, lambda: np.ones_like(rank))()
        counts = self.is_counted.reshape(shape) & (rank <= self.last.reshape(shape))
        return np.where(counts, share * self.scale.reshape(shape), 0.0)

    def mean(self, hidden: NDArray[Any]) -> float:
        return float(self.at(hidden).sum() / self.query_count)

    def expected(self, posterior: Floats, grid: Ints) -> float:
        cases = np.broadcast_to(grid, (len(self.found.query), len(grid)))
        return float((self.at(cases) * posterior).sum() / self.query_count)


def _gain(grades: NDArray[Any], m: Measure) -> Floats:
    return np.asarray(grades, dtype=np.float64) if m.gains == "log2" else 2.0**grades - 1.0


def _ideal(grades: Mapping[str, int], m: Measure) -> float:
    best = np.array(sorted((grade for grade in grades.values() if grade > 0), reverse=True))
    best = best if m.cutoff is None else best[: int(m.cutoff)]
    return math.fsum(_gain(best, m) / np.log2(2.0 + np.arange(len(best)))) or 1.0


def _grid(part: Part) -> Ints:
    """Values of X, as dense as an x could tell them apart; coarse where no found passage can be."""
    rate = part.sampled / part.unjudged
    reach = 1.5 * part.depth / rate
    values = [0]
    while values[-1] < part.unjudged:
        last = values[-1]
        spread = math.sqrt(last * (1 - rate) / rate)
        step = 0.3 * spread if last < reach else max(0.3 * spread, 0.1 * last)
        values.append(min(part.unjudged, last + max(1, int(step))))
    return np.array(values)


def _likelihood(part: Part, grid: Ints) -> Floats:
    """P(x | X), [x, G], for every x that a ranking can show."""
    x = np.arange(min(part.depth, part.sampled) + 1)
    found = np.asarray(stats.hypergeom.pmf(x[:, None], part.unjudged, grid[None, :], part.sampled))
    # Where the grid is too coarse for an x, the nearest X stands for it.
    lost = np.flatnonzero(found.sum(axis=1) == 0)
    nearest = np.searchsorted(grid, x[lost] * part.unjudged / part.sampled)
    found[lost, np.minimum(nearest, len(grid) - 1)] = 1.0
    return found


def _fit(found: Found, likelihood: Floats, query_weights: Floats) -> Floats:
    """The distribution of X in each stratum, [S, G]; one with few passages takes that of all."""
    every = np.zeros((_STRATA, len(likelihood)))
    np.add.at(every, (found.stratum, found.sampled), query_weights[found.query])
    whole = _em(every.sum(axis=0), likelihood)
    return np.stack([_em(counts, likelihood) if counts.sum() >= 30 else whole for counts in every])


def _em(counts: Floats, likelihood: Floats) -> Floats:
    seen = counts > 0
    shown, weights = likelihood[seen], counts[seen] / max(counts.sum(), 1e-300)
    prior = np.full(likelihood.shape[1], 1.0 / likelihood.shape[1])
    for _ in range(_EM_STEPS):
        prior = prior * ((weights / (shown @ prior)) @ shown)
    return prior


def _posterior(found: Found, likelihood: Floats, fit: Floats) -> Floats:
    """P(X | x) of each found passage, [I, G]."""
    joint = likelihood[found.sampled] * fit[found.stratum]
    totals = joint.sum(axis=1, keepdims=True)
    # A draw of queries may leave out all that had this x: then the nearest possible X stands alone.
    bare = likelihood[found.sampled]
    return np.where(
        totals > 0,
        joint / np.where(totals > 0, totals, 1.0),
        bare / bare.sum(axis=1, keepdims=True),
    )


def _draws(found: Found, likelihood: Floats, grid: Ints, query_count: int, seed: int):
    """Values of X for all found passages, [I] a draw; within a query high ones go together."""
    rng = generator(seed, "sub-corpus")
    for _ in range(DRAWS):
        weights = rng.multinomial(query_count, np.full(query_count, 1.0 / query_count)).astype(
            np.float64
        )
        posterior = _posterior(found, likelihood, _fit(found, likelihood, weights))
        below = np.cumsum(posterior, axis=1)
        level = rng.random(query_count)[found.query][:, None]
        yield grid[np.minimum((below < level).sum(axis=1), len(grid) - 1)]
