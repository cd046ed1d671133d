"""Several ranks have the gradient of one with the whole batch: for each loss, whole and in pieces."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from quarry_runtime.modeling.registry import registered
from quarry_runtime.training.gather import gather_constant, gather_numbers, gather_rows

ROOT = Path(__file__).parents[3]
RANK = ROOT / "test" / "fixtures" / "gathering_rank.py"


def load_rank() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gathering_rank", RANK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RANKS = load_rank()
CASES = list(RANKS.CASES)


@pytest.fixture(scope="module", params=[2, 3])
def seen(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    start_code: Callable[[str], Any],
) -> list[Any]:
    """What each of several gloo ranks found, all cases in one start."""
    folder = tmp_path_factory.mktemp("ranks")
    world = request.param
    ranks = [
        start_code(
            "import os, runpy\n"
            "os.environ['GLOO_SOCKET_IFNAME'] = 'lo'\n"
            f"runpy.run_path({str(RANK)!r})['main']({rank}, {world}, {str(folder)!r})"
        )
        for rank in range(world)
    ]
    try:
        for rank in ranks:
            rank.join(500)
        assert [rank.exitcode for rank in ranks] == [0] * world
    finally:
        for rank in ranks:
            rank.kill()
            rank.join()
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(world)]


def test_every_registered_loss_is_among_the_cases() -> None:
    assert {
        name for name in registered("loss") if not any(case.startswith(name) for case in CASES)
    } == set()


@pytest.mark.parametrize("way", ["cases", "groups", "pieces"])
@pytest.mark.parametrize("case", CASES)
def test_several_ranks_have_the_gradient_of_one_rank_with_the_whole_batch(
    seen: list[Any], case: str, way: str
) -> None:
    loss, expected = RANKS.gradients(case, 0, 1)
    assert sum(float(gradient.abs().sum()) for gradient in expected) > 1e-3
    found = [rank[way][case] for rank in seen]
    assert sum(each[0] for each in found) / len(found) == pytest.approx(loss, rel=1e-5, abs=1e-5)
    for _, gradients in found:
        for got, wanted in zip(gradients, expected, strict=True):
            assert torch.allclose(got, wanted, atol=1e-5)


def test_pieces_have_the_same_dropout_in_both_passes_on_every_rank(seen: list[Any]) -> None:
    for rank in seen:
        for got, wanted in zip(rank["dropout"], rank["replayed"], strict=True):
            assert torch.allclose(got, wanted, atol=1e-5)
    first, second = RANKS.share(0, 1), RANKS.gradients("by source", 0, 1)[1]
    assert first["sources"].unique().tolist() == [0, 1, 2]
    assert not torch.allclose(seen[0]["dropout"][0], second[0], atol=1e-3)


@pytest.mark.parametrize("piece", [1, 4, 100])
@pytest.mark.parametrize("case", CASES)
def test_pieces_of_any_size_have_the_gradient_of_the_whole_batch(case: str, piece: int) -> None:
    loss, expected = RANKS.gradients(case, 0, 1)
    found, gradients = RANKS.gradients(case, 0, 1, piece=piece)
    assert found == pytest.approx(loss, rel=1e-5, abs=1e-5)
    for got, wanted in zip(gradients, expected, strict=True):
        assert torch.allclose(got, wanted, atol=1e-5)


def test_pieces_replay_their_dropout_in_one_process() -> None:
    found = RANKS.gradients("infonce", 0, 1, piece=5, dropout=0.5)[1]
    wanted = RANKS.replayed("infonce", 0, 1, 5, 0.5)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, wanted, strict=True))


def test_gathered_rows_and_numbers_stand_rank_by_rank_on_every_rank(seen: list[Any]) -> None:
    for rank in seen:
        assert rank["rows"].tolist() == [[n, n] for n in range(len(seen))]
        assert rank["numbers"].tolist() == [[n, 10 * n] for n in range(len(seen))]


def test_one_process_gathers_nothing() -> None:
    rows = torch.ones(2, 2)
    assert gather_rows(rows) is rows
    assert gather_constant(rows) is rows
    assert gather_numbers([1.5, 2], torch.device("cpu")).tolist() == [[1.5, 2.0]]
