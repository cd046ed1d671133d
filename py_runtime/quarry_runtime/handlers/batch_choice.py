"""Which batch sizes are measured how often, and which one is taken: no clock and no model here.

Whatever else a machine does can only make a round slower. So a size is judged by its fastest
rounds, and repeats go to the sizes that may still win.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

Rounds = Mapping[int, Sequence[float]]
"""Seconds of each round, by batch size; every round did the same work."""

# All measuring takes as long as so many rounds of every size, and no longer than this.
_ROUNDS = 3
_MOST_SECONDS = 30.0
# Of sizes that are equal within the noise the smallest one is taken: it needs the least memory.
_EQUAL = 1.03
# However noisy the machine is, no more than this is given away for a smaller size.
_MOST_GIVEN_AWAY = 1.06
# Twice measured and still so much slower than the fastest one: such a size is not repeated.
_OUT = 1.10
# Twice measured and still so much slower: bigger ones are not tried.
_FALLING_OFF = 1.25


def measure_sizes(
    sizes: Sequence[int], time_round: Callable[[int], float | None]
) -> dict[int, list[float]]:
    """Measures sizes in interleaved rounds; empty where not even the first one fits into memory.

    Args:
        sizes: Ascending.
        time_round: Seconds of one round, None where memory ends.

    Example:
        choose(measure_sizes([4, 8, 16], time_round))
    """
    rounds: dict[int, list[float]] = {}
    spent = 0.0

    def measure(size: int) -> bool:
        nonlocal spent
        took = time_round(size)
        if took is None:
            # It may have fitted before, on a device that somebody else uses too.
            rounds.pop(size, None)
            return False
        rounds.setdefault(size, []).append(took)
        spent += took
        return True

    for size in sizes:
        if not measure(size):
            break
        # Measured twice, because one hiccup must not hide the bigger sizes.
        if _is_falling_off(rounds, size) and (not measure(size) or _is_falling_off(rounds, size)):
            break
    limit = min(_MOST_SECONDS, _ROUNDS * sum(seconds[0] for seconds in rounds.values()))
    direction = -1
    while len(left := [size for size in sorted(rounds) if not _is_out(rounds, size)]) > 1:
        # Back and forth, so that a machine that becomes slower or faster favours none of them.
        for size in left[::direction]:
            if spent + min(rounds[size]) > limit:
                return rounds
            measure(size)
        direction = -direction
    return rounds


def choose(rounds: Rounds) -> int:
    """The smallest size that is as fast as the fastest one, as far as the rounds can tell.

    Example:
        choose({4: [1.2, 1.2], 8: [1.0, 1.1], 16: [0.99, 1.3]})  # 8
    """
    fastest = min(rounds, key=lambda size: min(rounds[size]))
    return min(
        size
        for size, seconds in rounds.items()
        if min(seconds) <= min(rounds[fastest]) * _tolerance(seconds, rounds[fastest])
    )


def _is_falling_off(rounds: Rounds, size: int) -> bool:
    return min(rounds[size]) > _FALLING_OFF * _fastest(rounds)


def _is_out(rounds: Rounds, size: int) -> bool:
    # The first round of a size also made its memory and kernels ready.
    return len(rounds[size]) > 1 and min(rounds[size]) > _OUT * _fastest(rounds)


def _fastest(rounds: Rounds) -> float:
    return min(map(min, rounds.values()))


def _tolerance(*both: Sequence[float]) -> float:
    """How far two sizes' fastest rounds may differ by chance: as far as each one's two fastest."""
    gaps = [ordered[1] / ordered[0] for ordered in map(sorted, both) if len(ordered) > 1]
    return min(_MOST_GIVEN_AWAY, max([_EQUAL, *gaps]))
