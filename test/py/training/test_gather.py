"""The gather of negatives: several ranks have the gradient of one with the whole batch."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from quarry_runtime.modeling.losses.infonce import InfoNCE, InfoNCEOptions
from quarry_runtime.training.gather import gather_numbers, gather_rows
from quarry_runtime.training.retriever import Retriever

QUERIES, PER_QUERY, WIDTH = 4, 3, 6


class TinyEncoder(torch.nn.Module):
    """Any module with forward(batch, side) serves as an encoder."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(WIDTH, 8), torch.nn.Tanh(), torch.nn.Linear(8, 4)
        )

    def forward(self, batch: dict[str, torch.Tensor], _side: str) -> torch.Tensor:
        return self.layers(batch["numbers"])


def whole_batch() -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(11)
    return {
        "queries": torch.randn(QUERIES, WIDTH, generator=draw),
        "passages": torch.randn(QUERIES * PER_QUERY, WIDTH, generator=draw),
        "mask": torch.rand(QUERIES, QUERIES * PER_QUERY, generator=draw) < 0.2,
    }


def gradients(rank: int, world: int) -> tuple[float, list[torch.Tensor]]:
    """Loss and gradients of one rank's share, averaged over ranks as DDP does it."""
    share = QUERIES // world
    queries = slice(rank * share, (rank + 1) * share)
    passages = slice(rank * share * PER_QUERY, (rank + 1) * share * PER_QUERY)
    batch = whole_batch()
    encoder = TinyEncoder()
    module: torch.nn.Module = Retriever(
        encoder, InfoNCE(InfoNCEOptions(temperature=0.2)), "cosine", True
    )
    if world > 1:
        module = torch.nn.parallel.DistributedDataParallel(module)
    loss = module(
        queries={"numbers": batch["queries"][queries]},
        passages={"numbers": batch["passages"][passages]},
        positive_columns=torch.arange(QUERIES)[queries] * PER_QUERY,
        mask=batch["mask"][queries],
        labels=torch.zeros(share, PER_QUERY),
    )["loss"]
    loss.backward()
    return loss.item(), [
        parameter.grad for parameter in encoder.parameters() if parameter.grad is not None
    ]


def one_of_two(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    loss, grads = gradients(rank, 2)
    rows = gather_rows(torch.full((1, 2), float(rank)))
    numbers = gather_numbers([rank, rank * 10], torch.device("cpu"))
    torch.save(
        {"loss": loss, "grads": grads, "rows": rows, "numbers": numbers},
        f"{folder}/{rank}.pt",
    )
    dist.destroy_process_group()


def test_two_gloo_ranks_have_the_gradient_of_one_rank_with_the_whole_batch() -> None:
    with tempfile.TemporaryDirectory() as folder:
        spawn(one_of_two, args=(folder,), nprocs=2)
        seen = [torch.load(Path(folder) / f"{rank}.pt", weights_only=True) for rank in range(2)]
    loss, expected = gradients(0, 1)
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
