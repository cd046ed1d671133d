"""Tests of an average over data sets agree with scipy's and with counting; of one set they are the plain ones."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from quarry_runtime.measuring.significance import (
    bootstrap_interval,
    generator,
    randomisation_test,
    t_test,
)
from quarry_runtime.measuring.stratified import (
    stratified_interval,
    stratified_randomisation_test,
    stratified_t_test,
)

# Differences in twelfths, which are counted without rounding; many queries do not move at all.
twelfths = st.sampled_from([0, 0, 6, -6, 4, -4, 3, -12, 8])
few_sets = st.lists(st.lists(twelfths, min_size=1, max_size=4), min_size=1, max_size=3)


def drawn_sets(seed: int, shift: float = 0.0) -> list[np.ndarray]:
    """Three data sets that differ in size, spread and effect."""
    draw = np.random.default_rng(seed)
    shapes = ((120, 0.05, shift), (15, 0.3, 2 * shift), (40, 0.15, 0.0))
    return [draw.normal(mean, spread, count) for count, spread, mean in shapes]


@given(few_sets)
@settings(max_examples=60)
def test_few_queries_have_the_p_of_all_labellings(sets: list[list[int]]) -> None:
    def average(signs: tuple[int, ...]) -> Fraction:
        flips = iter(signs)
        means = [Fraction(sum(next(flips) * each for each in own), len(own)) for own in sets]
        return sum(means, Fraction(0)) / len(sets)

    queries = sum(map(len, sets))
    observed = abs(average((1,) * queries))
    all_signs = list(itertools.product((1, -1), repeat=queries))
    extreme = sum(abs(average(signs)) >= observed for signs in all_signs)
    found = stratified_randomisation_test([np.array(own) / 12 for own in sets], generator(1))
    assert found.is_exact
    assert found.p == pytest.approx(extreme / len(all_signs), abs=1e-12)


def test_many_queries_are_sampled_close_to_scipys_p() -> None:
    for shift in (0.0, 0.01, 0.04):
        sets = drawn_sets(3, shift)
        ends = np.cumsum([len(each) for each in sets])
        before = np.random.default_rng(4).uniform(0, 1, ends[-1])

        def average(one: np.ndarray, other: np.ndarray, axis: int, ends=ends) -> np.ndarray:
            parts = np.split(other - one, ends[:-1], axis=axis)
            return np.mean([part.mean(axis=axis) for part in parts], axis=0)

        wanted = stats.permutation_test(
            (before, before + np.concatenate(sets)),
            average,
            permutation_type="samples",
            vectorized=True,
            n_resamples=20_000,
            batch=2_000,
            rng=np.random.default_rng(7),
        ).pvalue
        found = stratified_randomisation_test(sets, generator(1))
        assert not found.is_exact
        # Both are estimates of the same p from 100,000 and 20,000 draws: four standard errors.
        error = 4 * float(np.sqrt(max(wanted * (1 - wanted), 1e-5) / 20_000))
        assert found.p == pytest.approx(wanted, abs=error)


def test_the_interval_is_scipys_and_not_that_of_all_queries_together() -> None:
    sets = drawn_sets(5, 0.05)

    def average(*parts: np.ndarray, axis: int) -> np.ndarray:
        return np.mean([part.mean(axis=axis) for part in parts], axis=0)

    wanted = stats.bootstrap(
        sets, average, method="percentile", n_resamples=10_000, rng=np.random.default_rng(2)
    ).confidence_interval
    found = stratified_interval(sets, generator(1))
    assert found == pytest.approx((wanted.low, wanted.high), abs=0.003)
    together = bootstrap_interval(np.concatenate(sets), generator(1))
    # The set of 15 queries weighs as much as that of 120, and knows less.
    assert found[1] - found[0] > 2 * (together[1] - together[0])


def test_two_sets_have_welchs_p() -> None:
    draw = np.random.default_rng(6)
    for one, other in ((30, 5), (2, 200), (8, 8)):
        sets = [draw.normal(0.02, 0.3, one), draw.normal(0.1, 0.05, other)]
        # The sum of two means is the difference of the one and the other turned round.
        wanted: Any = stats.ttest_ind(sets[0], -sets[1], equal_var=False)
        assert stratified_t_test(sets) == pytest.approx((wanted.statistic, wanted.pvalue))


def test_error_and_coverage_are_as_often_as_they_say() -> None:
    trials = 1_000
    significant = sum(
        (stratified_t_test(drawn_sets(seed))[1] or 0) < 0.05 for seed in range(trials)
    )
    # 50 expected; a binomial leaves this range once in tens of thousands.
    assert 24 <= significant <= 80
    covered = 0
    for seed in range(200):
        low, high = stratified_interval(drawn_sets(seed), generator(seed), samples=400)
        covered += low <= 0 <= high
    # 190 due; a percentile interval of 15 queries is somewhat narrow.
    assert 170 <= covered <= 199


def test_one_set_has_the_plain_tests() -> None:
    for differences in drawn_sets(8, 0.05):
        assert stratified_t_test([differences]) == pytest.approx(t_test(differences))
        assert stratified_randomisation_test([differences], generator(3)) == randomisation_test(
            differences, generator(3)
        )
        assert stratified_interval([differences], generator(3)) == bootstrap_interval(
            differences, generator(3)
        )


def test_what_has_no_statistic_is_said_so() -> None:
    moved, still, alike = np.array([0.1, 0.3, -0.1]), np.zeros(4), np.full(3, 0.25)
    assert stratified_t_test([still, np.zeros(1)]) == (0.0, 1.0)
    assert stratified_t_test([moved, np.array([0.5])]) == (None, None)
    assert stratified_t_test([alike, still]) == (None, 0.0)
    assert stratified_t_test([alike, -alike]) == (0.0, 1.0)
    # A set in which nothing moved halves the average, and the error with it.
    assert stratified_t_test([moved, still]) == pytest.approx(t_test(moved))
