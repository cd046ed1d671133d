"""The gather of negatives: several ranks have the gradient of one with the whole batch."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from quarry_runtime.training.gather import gather_numbers, gather_rows

ROOT = Path(__file__).parents[3]
RANK = ROOT / "test" / "fixtures" / "gathering_rank.py"


def load_rank() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gathering_rank", RANK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_two_gloo_ranks_have_the_gradient_of_one_rank_with_the_whole_batch(tmp_path: Path) -> None:
    # Programs of their own: a spawned child would have to import this module by its name.
    env = {**os.environ, "PYTHONPATH": str(ROOT / "py_runtime"), "GLOO_SOCKET_IFNAME": "lo"}
    ranks = [
        subprocess.Popen([sys.executable, str(RANK), str(rank), str(tmp_path)], env=env)
        for rank in range(2)
    ]
    try:
        assert [rank.wait(timeout=60) for rank in ranks] == [0, 0]
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
    seen = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    loss, expected = load_rank().gradients(0, 1)
    assert (seen[0]["loss"] + seen[1]["loss"]) / 2 == pytest.approx(loss, abs=1e-5)
    for rank in range(2):
        assert len(seen[rank]["grads"]) == len(expected) == 4
        for got, wanted in zip(seen[rank]["grads"], expected, strict=True):
            assert torch.allclose(got, wanted, atol=1e-5)
        # Rank by rank, on every rank.
        assert seen[rank]["rows"].tolist() == [[0, 0], [1, 1]]
        assert seen[rank]["numbers"].tolist() == [[0, 0], [1, 10]]


def test_one_process_gathers_nothing() -> None:
    rows = torch.ones(2, 2)
    assert gather_rows(rows) is rows
    assert gather_numbers([1.5, 2], torch.device("cpu")).tolist() == [[1.5, 2.0]]
