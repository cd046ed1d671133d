"""Paired tests agree with scipy's; intervals and corrections keep their laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from quarry_runtime.measuring.significance import (
    EXACT_LIMIT,
    bootstrap_interval,
    generator,
    holm,
    randomisation_test,
    t_test,
)

# Values of measures come in steps, and many queries do not move at all.
steps = st.sampled_from([0.0, 0.0, 0.5, -0.5, 1 / 3, -1 / 3, 0.25, -1.0, 2 / 3])


def scipys_randomisation(differences: np.ndarray, resamples: float) -> float:
    found = stats.permutation_test(
        (differences, np.zeros(len(differences))),
        lambda one, other, axis: np.mean(one - other, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,  # type: ignore[arg-type]
        rng=np.random.default_rng(7),
    )
    return float(found.pvalue)


@given(st.lists(steps, min_size=2, max_size=9).filter(any))
@settings(max_examples=40)
def test_few_queries_have_the_exact_p_of_all_sign_patterns(values: list[float]) -> None:
    differences = np.array(values)
    found = randomisation_test(differences, generator(1))
    assert found.is_exact
    assert found.samples == 2 ** np.count_nonzero(differences)
    # In twelfths all sums are exact: scipy does not take those for equal that differ in their last bits.
    wanted = scipys_randomisation(np.rint(12 * differences), np.inf)
    assert found.p == pytest.approx(wanted, abs=1e-12)


def test_many_queries_are_sampled_close_to_scipys_p() -> None:
    draw = np.random.default_rng(3)
    for shift in (0.0, 0.02, 0.05):
        differences = draw.normal(shift, 0.2, 150)
        found = randomisation_test(differences, generator(1))
        assert not found.is_exact
        # Both are estimates of the same p from 100,000 and 20,000 draws: four standard errors.
        wanted = scipys_randomisation(differences, 20_000)
        error = 4 * np.sqrt(max(wanted * (1 - wanted), 1e-5) / 20_000)
        assert found.p == pytest.approx(wanted, abs=error)


def test_sampling_and_counting_meet_at_the_limit() -> None:
    differences = np.random.default_rng(5).normal(0.1, 0.3, EXACT_LIMIT)
    exact = randomisation_test(differences, generator(1))
    padded = np.concatenate([differences, [1e-12]])
    sampled = randomisation_test(padded, generator(1))
    assert (exact.is_exact, sampled.is_exact) == (True, False)
    assert sampled.p == pytest.approx(exact.p, abs=0.01)


@given(st.lists(steps, min_size=3, max_size=40).filter(lambda v: len(set(v)) > 1))
def test_students_p_is_scipys(values: list[float]) -> None:
    other = np.linspace(0, 1, len(values))
    statistic, p = t_test(np.array(values))
    found = stats.ttest_rel(np.array(values) + other, other)
    assert statistic == pytest.approx(float(found.statistic), rel=1e-6, abs=1e-9)
    assert p == pytest.approx(float(found.pvalue), rel=1e-6, abs=1e-9)


def test_what_has_no_statistic_is_said_so() -> None:
    assert t_test(np.zeros(5)) == (0.0, 1.0)
    assert t_test(np.array([0.5])) == (None, None)
    assert t_test(np.full(4, 0.25)) == (None, 0.0)
    assert randomisation_test(np.zeros(5), generator(1)).p == 1.0
    assert randomisation_test(np.full(4, 0.25), generator(1)).p == 2 / 16


def test_equal_seeds_give_equal_answers_and_names_keep_tests_apart() -> None:
    differences = np.random.default_rng(9).normal(0.03, 0.3, 60)
    first, again, other = (
        randomisation_test(differences, generator(42, name), 2_000) for name in ("a", "a", "b")
    )
    assert first == again
    assert first.p != other.p


def test_the_interval_is_scipys_and_covers_the_truth_as_often_as_it_says() -> None:
    draw = np.random.default_rng(11)
    values = draw.normal(0.3, 0.2, 80)
    low, high = bootstrap_interval(values, generator(1))
    wanted = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=10_000, rng=np.random.default_rng(2)
    ).confidence_interval
    assert (low, high) == pytest.approx((wanted.low, wanted.high), abs=0.003)
    covered = 0
    for trial in range(200):
        low, high = bootstrap_interval(draw.normal(0, 1, 60), generator(trial), samples=500)
        covered += low <= 0 <= high
    # 190 expected; a binomial with 200 draws leaves this range once in many thousands.
    assert 175 <= covered <= 199


def test_holms_correction() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, None, 0.9]) == [1.0, None, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_no_correction_and_bonferroni(values: list[float]) -> None:
    adjusted = [p for p in holm(values) if p is not None]
    for p, found in zip(values, adjusted, strict=True):
        assert p <= found <= min(1.0, len(values) * p) + 1e-15 or found <= 1.0
        assert found >= p
    order = sorted(range(len(values)), key=lambda at: values[at])
    assert [adjusted[at] for at in order] == sorted(adjusted)
