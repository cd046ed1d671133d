"""Exact search equals brute force in float64, for every kernel, dtype, similarity and split."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quarry_runtime.errors import ConfigError, DataError
from quarry_runtime.guard import onednn
from quarry_runtime.modeling.registry import find
from quarry_runtime.search import exact, topk
from quarry_runtime.search.exact import ExactSearch
from quarry_runtime.search.products import dot_into, dots_of_one
from quarry_runtime.search.tracked import TrackedPairs

Similarity = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@pytest.fixture(params=["oneDNN", "MKL"], autouse=True)
def _kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this processor would take by itself."""
    if request.param == "oneDNN" and not onednn._works():
        pytest.skip("torch has no oneDNN")
    monkeypatch.setattr(onednn, "is_faster", lambda: request.param == "oneDNN")


def vectors(count: int, size: int, seed: int) -> torch.Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


def numbers(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.int32)


@pytest.mark.parametrize("queries", [1, 2, 8, 9, 70])
@pytest.mark.parametrize("passages", [1, 255, 700, 17_000])
def test_every_kernel_gives_the_products_to_the_last_digits(queries: int, passages: int) -> None:
    queries_QD, passages_ND = vectors(queries, 48, 0), vectors(passages, 48, 1)
    wide = torch.zeros(queries, passages + 5)
    dot_into(wide[:, :passages], queries_QD, passages_ND)
    expected = queries_QD.double() @ passages_ND.double().T
    assert float((wide[:, :passages] - expected).abs().max()) < 1e-4
    assert not wide[:, passages:].any()


@pytest.mark.parametrize("queries", [1, 5, 40])
def test_a_units_scores_are_the_same_bits_wherever_it_lies_in_memory(queries: int) -> None:
    queries_QD, passages_ND = vectors(queries, 33, 0), vectors(900, 33, 1)
    found = []
    for offset in (0, 1, 7):
        moved = torch.empty(900 * 33 + offset)[offset:].view(900, 33)
        moved.copy_(passages_ND)
        out = torch.empty(queries, 900)
        dot_into(out, queries_QD, moved)
        found.append(out)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.parametrize("size", [1, 33, 384])
def test_a_score_of_one_query_is_the_same_bits_whatever_comes_beside_it(size: int) -> None:
    query_1D, passages_ND = vectors(1, size, 0), vectors(700, size, 1)
    whole = torch.empty(1, 700)
    dot_into(whole, query_1D, passages_ND)
    for start, stop in ((0, 1), (3, 4), (5, 260), (699, 700)):
        for part in (passages_ND[start:stop], passages_ND.T.contiguous().T[start:stop]):
            found = dots_of_one(query_1D[0].numpy(), part)
            np.testing.assert_array_equal(found, whole[0, start:stop].numpy())


@pytest.mark.filterwarnings("error")
def test_large_scores_of_one_query_whose_squares_overflow_are_scores() -> None:
    query_1D, passages_ND = torch.tensor([[1e19, 0.0]]), torch.tensor([[1.0, 0.0], [1e19, 0.0]])
    search = ExactSearch(query_1D, 2)
    search.add(passages_ND, numbers(2), numbers(2))
    scores, rows = search.snapshot()
    np.testing.assert_allclose(scores, [[1e38, 1e19]], rtol=1e-6)
    assert rows.tolist() == [[1, 0]]
    with pytest.raises(DataError, match="rows 0"):
        search.add(torch.tensor([[-torch.inf, 0.0], [1e19, 0.0]]), numbers(2), numbers(2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("queries", [1, 3, 100, 1_500])
def test_scores_of_narrow_vectors_are_summed_in_float32(queries: int, dtype: torch.dtype) -> None:
    queries_QD, passages_ND = vectors(queries, 64, 0), vectors(1_300, 64, 1).to(dtype)
    search = ExactSearch(queries_QD, 7)
    for start in range(0, 1_300, 400):
        rows = numbers(1_300)[start : start + 400]
        search.add(passages_ND[start : start + 400], rows, rows)
    scores, rows = search.snapshot()
    expected = torch.topk(queries_QD.double() @ passages_ND.double().T, 7)
    np.testing.assert_allclose(scores, expected.values.numpy(), atol=1e-4)
    assert (rows == expected.indices.numpy()).mean() > 0.999


def squared(queries_QD: torch.Tensor, passages_ND: torch.Tensor) -> torch.Tensor:
    # Element by element: the same bits for a pair, whatever comes beside it.
    return -((queries_QD[:, None] - passages_ND[None]) ** 2).sum(2)


@settings(max_examples=60)
@given(
    st.integers(1, 6),
    st.integers(1, 60),
    st.integers(1, 9),
    st.sampled_from([squared, find("similarity", "manhattan").factory]),
    st.randoms(use_true_random=False),
)
def test_any_similarity_and_split_equals_brute_force_with_tracked_pairs(
    queries: int, passages: int, k: int, similarity: Similarity, random: object
) -> None:
    shuffle = random.shuffle  # type: ignore[attr-defined]
    # Small whole numbers: sums are exact, and ties are everywhere.
    queries_QD = vectors(queries, 3, 0).round()
    passages_ND = vectors(passages, 3, 1).round()
    ranks = list(range(passages))
    shuffle(ranks)
    ranks_N = np.array(ranks, np.int32)
    brute = similarity(queries_QD, passages_ND).numpy()
    pairs = [(row, query) for row in range(passages) for query in range(queries)]
    shuffle(pairs)
    chosen = sorted(pairs[: passages + 3])
    rows_T = np.array([row for row, _ in chosen], np.int32)
    queries_T = np.array([query for _, query in chosen], np.int32)
    order = list(range(passages))
    shuffle(order)
    workers = [order[::2], order[1::2]]
    merged: list[list[tuple[float, int, int]]] = [[] for _ in range(queries)]
    tracked_T = np.full(len(chosen), -np.inf, np.float32)
    for work in workers:
        tracked = TrackedPairs(queries_T, rows_T, torch.device("cpu"))
        search = ExactSearch(queries_QD, k, similarity, tracked)
        for start in range(0, len(work), 7):
            unit = np.array(work[start : start + 7], np.int32)
            search.add(passages_ND[unit], unit, ranks_N[unit])
        tracked_T = np.maximum(tracked_T, tracked.snapshot())
        for query, (scores, rows) in enumerate(zip(*search.snapshot(), strict=True)):
            merged[query] += [
                (float(score), int(ranks_N[row]), int(row))
                for score, row in zip(scores, rows, strict=True)
                if row >= 0
            ]
    for query, entries in enumerate(merged):
        expected = sorted(range(passages), key=lambda n: (-brute[query, n], -ranks_N[n]))[:k]
        assert [row for *_, row in sorted(entries, reverse=True)[:k]] == expected
    assert np.array_equal(tracked_T, brute[queries_T, rows_T])


def test_tracked_pairs_are_found_in_every_block_of_queries_and_strip(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(exact._QUERIES, "cpu", 100)
    queries_QD, passages_ND = vectors(250, 16, 0), vectors(3_000, 16, 1)
    monkeypatch.setattr(exact, "_STRIP_SCORES", 1)
    # Also at both ends of each strip.
    rows_T = numbers(3_000)
    queries_T = np.random.default_rng(1).integers(0, 250, 3_000).astype(np.int32)
    tracked = TrackedPairs(queries_T, rows_T, torch.device("cpu"))
    search = ExactSearch(queries_QD, 3, tracked=tracked)
    search.add(passages_ND[:2_000], numbers(2_000), numbers(2_000))
    half = tracked.snapshot()
    search.add(passages_ND[2_000:], numbers(3_000)[2_000:], numbers(3_000)[2_000:])
    expected = (queries_QD @ passages_ND.T).numpy()[queries_T, rows_T]
    np.testing.assert_allclose(tracked.snapshot(), expected, atol=1e-4)
    assert np.isneginf(half[rows_T >= 2_000]).all()
    assert np.isfinite(half[rows_T < 2_000]).all()


@pytest.mark.parametrize("unit", [30, 700])
@pytest.mark.parametrize("kib", [0, 64, 1_000_000])
def test_blocks_of_queries_share_the_memory_that_waits_and_find_the_same(
    monkeypatch: pytest.MonkeyPatch, unit: int, kib: int
) -> None:
    monkeypatch.setitem(exact._QUERIES, "cpu", 20)
    monkeypatch.setattr(topk, "_WAITING_BYTES", kib * 1024)
    queries_QD, passages_ND = vectors(110, 16, 0), vectors(6_000, 16, 1)
    search, most = ExactSearch(queries_QD, 5), 0
    for start in range(0, 6_000, unit):
        rows = numbers(6_000)[start : start + unit]
        search.add(passages_ND[start : start + unit], rows, rows)
        waiting = [best._waiting for _, best in search._blocks]
        most = max(most, sum(each[0].nbytes for each in waiting if each is not None))
    assert most <= max(kib * 1024, 4 * 110 * 5)
    scores_QN = queries_QD @ passages_ND.T
    assert np.array_equal(search.snapshot()[1], scores_QN.topk(5).indices.numpy())


@pytest.mark.parametrize("queries", [1, 2, 65, 1_100])
@pytest.mark.parametrize("broken", [float("nan"), float("inf"), 3e38])
def test_a_unit_with_a_broken_vector_or_score_is_refused_whole(
    queries: int, broken: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It is not in the first strip.
    monkeypatch.setattr(exact, "_STRIP_SCORES", 1)
    queries_QD, passages_ND = vectors(queries, 8, 0) + 10, vectors(1_200, 8, 1)
    tracked = TrackedPairs(numbers(1), numbers(1), torch.device("cpu"))
    search = ExactSearch(queries_QD, 3, tracked=tracked)
    passages_ND[1_150] = broken
    with pytest.raises(DataError) as caught:
        search.add(passages_ND, numbers(1_200) + 40, numbers(1_200))
    assert caught.value.rows == [1_190]
    assert (search.snapshot()[1] == -1).all()
    assert np.isneginf(tracked.snapshot()).all()


def test_a_similarity_of_the_wrong_shape_or_that_hides_nan_is_refused() -> None:
    def transposed(queries_QD: torch.Tensor, passages_ND: torch.Tensor) -> torch.Tensor:
        return passages_ND @ queries_QD.T

    def blind(queries_QD: torch.Tensor, passages_ND: torch.Tensor) -> torch.Tensor:
        return torch.nan_to_num(queries_QD @ passages_ND.T)

    passages_ND = vectors(4, 8, 1)
    with pytest.raises(ConfigError, match=r"\[4, 2\] for 2 queries and 4 passages"):
        ExactSearch(vectors(2, 8, 0), 3, transposed).add(passages_ND, numbers(4), numbers(4))
    passages_ND[2, 0] = float("nan")
    with pytest.raises(DataError) as caught:
        ExactSearch(vectors(2, 8, 0), 3, blind).add(passages_ND, numbers(4), numbers(4))
    assert caught.value.rows == [2]


def test_no_queries_and_no_passages_give_empty_lists() -> None:
    search = ExactSearch(vectors(0, 8, 0), 3)
    search.add(vectors(4, 8, 1), numbers(4), numbers(4))
    assert [part.shape for part in search.snapshot()] == [(0, 3), (0, 3)]
    search = ExactSearch(vectors(2, 8, 0), 3)
    search.add(vectors(0, 8, 1), numbers(0), numbers(0))
    assert search.snapshot()[1].tolist() == [[-1] * 3] * 2
