"""The running top-k equals a brute-force sort, however passages are split among workers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from quarry_runtime.errors import DataError
from quarry_runtime.search.dense import Dense
from quarry_runtime.search.lists import BestLists
from quarry_runtime.search.sieve import Sieve
from quarry_runtime.search.single import Single
from quarry_runtime.search.topk import RunningTopK

# Few different scores, so that nearly everything is a tie; both zeros are equal.
SCORES = [-1.0, -0.0, 0.0, 0.25, 0.25, 3.0]


def brute_force(scores: NDArray, ranks: NDArray, k: int) -> list[list[int]]:
    order = [
        sorted(range(len(ranks)), key=lambda c, q=q: (-scores[q, c], -ranks[c]))
        for q in range(len(scores))
    ]
    return [columns[:k] for columns in order]


@st.composite
def searches(draw: st.DrawFn) -> tuple[NDArray, NDArray, int, list[list[list[int]]]]:
    """Scores [Q, N], id ranks, k, and each worker's units (lists of columns), in any order."""
    queries, count, k = (
        draw(st.integers(1, 4)),
        draw(st.integers(1, 40)),
        draw(st.integers(1, 12)),
    )
    flat = draw(
        st.lists(st.sampled_from(SCORES), min_size=queries * count, max_size=queries * count)
    )
    ranks = np.array(draw(st.permutations(range(count))), np.int32)
    order = draw(st.permutations(range(count)))
    workers: list[list[list[int]]] = [[] for _ in range(draw(st.integers(1, 4)))]
    start = 0
    while start < count:
        size = draw(st.integers(1, 15))
        draw(st.sampled_from(workers)).append(list(order[start : start + size]))
        start += size
    return np.array(flat, np.float32).reshape(queries, count), ranks, k, workers


def run(
    scores: NDArray,
    ranks: NDArray,
    k: int,
    units: list[list[int]],
    block: int,
    is_dense: bool,
) -> tuple[NDArray, NDArray]:
    best = RunningTopK(len(scores), k)
    if is_dense:
        as_on_a_gpu(best)
    best._room = best._enough = best._enough_alone = block
    for columns in units:
        rows = torch.tensor(columns, dtype=torch.int32)
        best.add(
            torch.from_numpy(scores[:, columns].copy()),
            rows,
            torch.from_numpy(ranks[columns]),
        )
    return best.snapshot()


def as_on_a_gpu(best: RunningTopK) -> None:
    """Takes the way that blocks go on a GPU; torch.topk is the same on every device."""
    lists = BestLists(best.query_count, best.k, best._device)
    best._taker, best._is_on_cpu = Dense(lists), False


@settings(max_examples=150)
@given(searches(), st.integers(1, 50), st.booleans())
def test_any_split_into_units_and_workers_merges_to_the_brute_force_order(
    search: tuple, block: int, is_dense: bool
) -> None:
    scores, ranks, k, workers = search
    found: list[list[tuple[float, int, int]]] = [[] for _ in scores]
    for units in workers:
        part_scores, part_rows = run(scores, ranks, k, units, block, is_dense)
        for query, merged in enumerate(found):
            merged += [
                (float(s), int(ranks[r]), int(r))
                for s, r in zip(part_scores[query], part_rows[query], strict=True)
                if r >= 0
            ]
    merged_rows = [[row for *_, row in sorted(entries, reverse=True)[:k]] for entries in found]
    assert merged_rows == brute_force(scores, ranks, k)


@settings(max_examples=100)
@given(searches(), st.integers(1, 50), st.booleans())
def test_one_worker_hands_in_its_lists_in_final_order_and_pads_them(
    search: tuple, block: int, is_dense: bool
) -> None:
    scores, ranks, k, workers = search
    units = [unit for units in workers for unit in units]
    found_scores, found_rows = run(scores, ranks, k, units, block, is_dense)
    count = min(k, scores.shape[1])
    expected = brute_force(scores, ranks, k)
    assert found_rows[:, :count].tolist() == expected
    assert np.array_equal(
        found_scores[:, :count], np.take_along_axis(scores, np.array(expected), 1)
    )
    assert (found_rows[:, count:] == -1).all()
    assert np.isneginf(found_scores[:, count:]).all()
    assert (found_scores.dtype, found_rows.dtype) == (np.float32, np.int32)


@pytest.mark.parametrize("order", ["random", "ascending", "descending", "clustered"])
@pytest.mark.parametrize(("queries", "is_dense"), [(1, False), (8, False), (8, True)])
def test_long_streams_in_any_order_equal_one_torch_topk(
    order: str, queries: int, is_dense: bool
) -> None:
    """Long enough that lists are cut, bounds rise, and chunks without a hit are skipped."""
    count, k = 60_000, 20
    scores = torch.randperm(queries * count, generator=torch.Generator().manual_seed(0)).float()
    scores = scores.view(queries, count)
    if order in ("ascending", "descending"):
        scores = scores.sort(dim=1, descending=order == "descending").values
    if order == "clustered":
        scores[:, 31_000:33_000] += queries * count
    best = RunningTopK(queries, k)
    if is_dense:
        as_on_a_gpu(best)
    best._room = best._enough = best._enough_alone = 4_096
    for start in range(0, count, 1_000):
        rows = torch.arange(start, min(start + 1_000, count), dtype=torch.int32)
        best.add(scores[:, start : start + 1_000], rows, rows)
    found_scores, found_rows = best.snapshot()
    expected = torch.topk(scores, k)
    assert np.array_equal(found_scores, expected.values.numpy())
    assert np.array_equal(found_rows, expected.indices.numpy())


@pytest.mark.parametrize(("queries", "is_dense"), [(1, False), (8, False), (8, True)])
def test_a_tie_with_the_last_place_is_decided_by_the_ids_also_late_in_a_long_stream(
    queries: int, is_dense: bool
) -> None:
    """By then most chunks are left unseen, and lists would depend on the order of the units."""
    count, k = 200_000, 2
    scores = torch.rand(queries, count, generator=torch.Generator().manual_seed(0))
    rows = torch.arange(count, dtype=torch.int32)
    best = RunningTopK(queries, k)
    if is_dense:
        as_on_a_gpu(best)
    best.add(scores, rows, rows)
    late = torch.zeros(queries, count)
    late[:, 777:778] = torch.topk(scores, k).values[:, 1:]
    best.add(late, rows + count, rows + count)
    assert best.snapshot()[1][:, 1].tolist() == [count + 777] * queries


@pytest.mark.parametrize("queries", [1, 3])
def test_scores_that_are_all_equal_are_decided_by_the_ids_alone(queries: int) -> None:
    best = RunningTopK(queries, 5)
    ranks = torch.randperm(20_000, generator=torch.Generator().manual_seed(1)).to(torch.int32)
    rows = torch.arange(20_000, dtype=torch.int32)
    for start in range(0, 20_000, 4_500):
        part = slice(start, start + 4_500)
        # -0.0 equals 0.0.
        zeros = torch.zeros(queries, len(rows[part]))
        zeros[:, ::2] *= -1
        best.add(zeros, rows[part], ranks[part])
        if isinstance(best._taker, Single):
            # Ties with the k-th score stay, but not without end.
            assert best._taker._count <= 5 + 1_024
    scores, found = best.snapshot()
    assert found.tolist() == [ranks.argsort(descending=True)[:5].tolist()] * queries
    assert not np.signbit(scores).any()


def test_many_tied_queries_are_decided_in_parts_as_in_one() -> None:
    # More keys than are made at once.
    queries, count, k = 40, 130_000, 3
    ranks = torch.randperm(count, generator=torch.Generator().manual_seed(2)).to(torch.int32)
    lists = BestLists(queries, k, torch.device("cpu"))
    dense = Dense(lists)
    dense.take(torch.zeros(queries, count), torch.arange(count, dtype=torch.int32), ranks)
    assert dense.ordered()[1].tolist() == [ranks.argsort(descending=True)[:k].tolist()] * queries


def test_memory_does_not_grow_with_the_number_of_passages() -> None:
    best = RunningTopK(4, 10)

    def held() -> int:
        sieve = best._taker
        assert isinstance(sieve, Sieve)
        lists = sieve._lists
        kept = [
            lists.keys_QW.numpy(),
            lists.rows_QW.numpy(),
            sieve._mask,
            *(best._waiting or ()),
        ]
        return sum(array.nbytes for array in kept)

    sizes = []
    for unit in range(120):
        scores = torch.randn(4, 5_000)
        rows = torch.arange(unit * 5_000, unit * 5_000 + 5_000, dtype=torch.int32)
        best.add(scores, rows, rows)
        sizes.append(held())
    assert sizes[20] == sizes[-1] < 8 * 1024 * 1024


def test_a_snapshot_is_not_changed_by_later_units() -> None:
    best = RunningTopK(1, 2)
    best.add(
        torch.tensor([[1.0]]),
        torch.tensor([0], dtype=torch.int32),
        torch.tensor([0], dtype=torch.int32),
    )
    scores, rows = best.snapshot()
    best.add(
        torch.tensor([[2.0]]),
        torch.tensor([1], dtype=torch.int32),
        torch.tensor([1], dtype=torch.int32),
    )
    best.snapshot()
    assert scores.tolist() == [[1.0, -np.inf]]
    assert rows.tolist() == [[0, -1]]


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_no_number_is_refused_with_its_row_and_nothing_is_taken_in(
    broken: float,
) -> None:
    best = RunningTopK(2, 3)
    scores = torch.tensor([[1.0, 2.0], [1.0, broken]])
    with pytest.raises(DataError) as caught:
        best.add(
            scores,
            torch.tensor([7, 9], dtype=torch.int32),
            torch.tensor([0, 1], dtype=torch.int32),
        )
    assert caught.value.rows == [9]
    assert (best.snapshot()[1] == -1).all()
