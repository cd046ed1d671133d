"""The choice of a batch size: right on a noisy machine, small where nothing speaks for large."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_runtime.handlers.batch_choice import choose, measure_sizes

SIZES = [4, 8, 16, 32, 64]
# Seconds of a quiet round where texts of full length go through two threads of a CPU.
QUIET = {4: 1.08, 8: 1.0, 16: 1.05, 32: 1.1, 64: 1.15}


def noisy(seconds: dict[int, float], seed: int) -> Callable[[int], float]:
    """A machine with other work: mostly some per cent slower, one round in five much slower."""
    chance = random.Random(seed)

    def time_round(size: int) -> float:
        hiccup = chance.uniform(0.1, 0.6) if chance.random() < 0.2 else 0
        return seconds[size] * (1 + abs(chance.gauss(0, 0.03))) * (1 + hiccup)

    return time_round


@pytest.mark.parametrize(
    ("rounds", "chosen"),
    [
        ({4: [1.2, 1.2], 8: [1.0, 1.0], 16: [1.04, 1.05]}, 8),
        # Equal within 3 %: the smallest.
        ({4: [1.02, 1.02], 8: [1.0, 1.0], 16: [1.01, 1.0]}, 4),
        # Bigger is taken where it is faster beyond doubt.
        ({4: [1.05, 1.06, 1.05], 8: [1.0, 1.01, 1.0]}, 8),
        # One lucky round of a size whose others are slow is no proof against a smaller one.
        ({8: [1.0, 1.01, 1.02], 16: [0.95, 1.06, 1.07]}, 8),
        # Rounds that differ for the machine's reasons alone give away 6 % at most.
        ({8: [1.1, 1.5], 16: [1.0, 1.4]}, 16),
        ({1: [3.0]}, 1),
    ],
)
def test_the_smallest_size_is_taken_that_is_as_fast_as_the_fastest(
    rounds: dict[int, list[float]], chosen: int
) -> None:
    assert choose(rounds) == chosen


@given(
    st.dictionaries(
        st.sampled_from(SIZES), st.lists(st.floats(0.01, 100), min_size=1, max_size=6), min_size=1
    )
)
def test_no_more_than_6_per_cent_are_given_away(rounds: dict[int, list[float]]) -> None:
    chosen = choose(rounds)
    fastest = min(map(min, rounds.values()))
    assert min(rounds[chosen]) <= 1.06 * fastest
    assert all(min(seconds) > fastest for size, seconds in rounds.items() if size < chosen)


def test_a_noisy_machine_rarely_leads_to_another_size() -> None:
    chosen = [choose(measure_sizes(SIZES, noisy(QUIET, seed))) for seed in range(500)]
    assert chosen.count(8) > 0.9 * len(chosen)


def test_one_hiccup_hides_no_bigger_size() -> None:
    seconds = {4: 4.0, 8: 2.0, 16: 1.5, 32: 1.2, 64: 1.0}
    ran: list[int] = []

    def time_round(size: int) -> float:
        ran.append(size)
        return 9.0 if ran == [4, 8, 16] else seconds[size]

    assert choose(measure_sizes(SIZES, time_round)) == 64


def test_repeats_go_to_the_sizes_that_may_win_and_take_no_longer_than_three_rounds_of_all() -> None:
    rounds = measure_sizes(SIZES, noisy(QUIET, 7))
    assert len(rounds[8]) > 3
    assert len(rounds[8]) > len(rounds[64])
    first = sum(seconds[0] for seconds in rounds.values())
    assert sum(map(sum, rounds.values())) < 1.2 * 3 * first
    slow = measure_sizes(SIZES, lambda size: 20 * QUIET[size])
    assert sum(map(len, slow.values())) == len(SIZES)


def test_directions_alternate_so_that_a_drift_favours_no_size() -> None:
    ran: list[int] = []

    def slower_and_slower(size: int) -> float:
        ran.append(size)
        return 1 + len(ran) / 1_000

    measure_sizes([4, 8, 16], slower_and_slower)
    assert ran[:6] == [4, 8, 16, 16, 8, 4]


def test_where_memory_ends_the_sizes_below_are_left() -> None:
    assert set(measure_sizes(SIZES, lambda size: 1.0 if size < 32 else None)) == {4, 8, 16}
    assert measure_sizes(SIZES, lambda _: None) == {}
    # Memory that somebody else took meanwhile.
    fits = iter([1.0, 1.0, None])
    assert set(measure_sizes([4, 8], lambda _: next(fits, 1.0))) == {4}
