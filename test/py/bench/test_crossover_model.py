"""The model behind docs/crossover.md: laws through measured points, and when an index pays."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

FILE = Path(__file__).parents[3] / "scripts" / "bench" / "search" / "crossover_model.py"


def load():
    spec = importlib.util.spec_from_file_location("crossover_model", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


model = load()
positive = st.floats(1e-6, 1e3)


@given(constant=positive, power=st.floats(0.2, 2))
def test_a_law_is_found_again_from_its_own_points(constant: float, power: float):
    sizes = [1e4, 3e4, 1e5, 3e5]
    law = model.fit(sizes, [constant * size**power for size in sizes], power=None)
    assert law.power == pytest.approx(power, rel=1e-6)
    assert law(1e7) == pytest.approx(constant * 1e7**power, rel=1e-4)
    assert law.misfit == pytest.approx(1, abs=1e-6)


def test_a_search_that_seems_not_to_grow_gets_the_least_power():
    law = model.fit([1e4, 1e5], [2e-4, 1e-4], power=None, least_power=0.5)
    assert law.power == 0.5
    assert law.misfit > 1


def test_one_point_makes_no_law_with_a_free_power():
    with pytest.raises(ValueError, match="too few"):
        model.fit([1e4], [1.0], power=None)


@given(build=positive, query=positive, exact=positive, passages=st.floats(1e4, 1e8))
def test_at_the_break_even_both_ways_take_the_same_time(
    build: float, query: float, exact: float, passages: float
):
    costs = model.Costs(
        build=model.Law(build, model.ivf_build_work),
        query=model.Law(query, float, 0.5),
        exact_query=model.Law(exact, float),
    )
    queries = costs.break_even(passages)
    if math.isinf(queries):
        assert costs.query(passages) >= costs.exact_query(passages)
        return
    indexed = costs.build(passages) + queries * costs.query(passages)
    assert indexed == pytest.approx(queries * costs.exact_query(passages), rel=1e-3)
    assert costs.evaluations(passages, queries) == pytest.approx(1)


def test_an_index_that_is_slower_than_exact_search_never_pays():
    law = model.Law(1.0, float)
    costs = model.Costs(build=law, query=model.Law(2.0, float), exact_query=law)
    assert costs.break_even(1e6) == math.inf
    assert model.paying_range(costs, 1e12) is None


def test_the_sizes_at_which_an_index_pays_are_those_below_its_line():
    # Building costs N^1.5, a query saves N: the break-even is √N queries.
    costs = model.Costs(
        build=model.Law(1.0, float, 1.5),
        query=model.Law(1e-9, float),
        exact_query=model.Law(1.0, float),
    )
    found = model.paying_range(costs, queries=1_000)
    assert found is not None
    low, high = found
    assert low == 1e4
    assert high == pytest.approx(1e6, rel=0.05)


@pytest.mark.parametrize(("passages", "lists"), [(1, 4), (10_000, 400), (1_000_000, 4_000)])
def test_lists_are_four_times_the_root(passages: int, lists: int):
    assert model.list_count(passages) == lists
