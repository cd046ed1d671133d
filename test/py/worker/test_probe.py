"""The probe finds a batch size by measuring, and memory's end is only the end of the list."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from quarry_runtime.errors import WorkerFault
from quarry_runtime.handlers import probe as probe_module
from quarry_runtime.handlers.probe import CrossEncoderProbe, EncoderProbe
from quarry_runtime.modeling.cross_encoder import PairIds, load_cross_encoder
from quarry_runtime.modeling.encoder import Encoder
from quarry_runtime.protocol.messages import Probed, ProbeScoreTask, ProbeTask, Unit

CPU = torch.device("cpu")
TEXTS = [" ".join(["cat"] * (1 + n % 9)) for n in range(64)]


@pytest.fixture
def encoder(tiny_bert: Path, load: Callable[..., Encoder]) -> Encoder:
    return load(tiny_bert)


@pytest.fixture
def probe(encoder: Encoder, tiny_bert: Path, model_spec: Callable) -> Callable[..., EncoderProbe]:
    def make(limit: int = 64) -> EncoderProbe:
        task = ProbeTask(model=model_spec(tiny_bert), side="passage", max_batch_size=limit)
        return EncoderProbe(task, encoder, CPU)

    return make


def pretend(
    encoder: Encoder,
    monkeypatch: pytest.MonkeyPatch,
    seconds: Callable[[int], float],
    fits: int = 1_000,
) -> list[int]:
    """Makes each batch take its time, and not fit above a size; tells the sizes that ran.

    The clock is pretended as well: a real one tells of whatever else the machine does.
    """
    sizes: list[int] = []
    now = 0.0
    monkeypatch.setattr(probe_module, "time", SimpleNamespace(perf_counter=lambda: now))

    def forward(batch: dict[str, torch.Tensor], side: Any) -> torch.Tensor:  # noqa: ARG001
        nonlocal now
        size = len(batch["input_ids"])
        if size > fits:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        sizes.append(size)
        now += seconds(size)
        return torch.zeros(size, 32)

    monkeypatch.setattr(encoder, "forward", forward)
    return sizes


def test_the_fastest_size_comes_first_and_bigger_ones_are_left_out_once_they_fall_off(
    probe: Callable[..., EncoderProbe],
    encoder: Encoder,
    monkeypatch: pytest.MonkeyPatch,
    unit_frame: Callable,
) -> None:
    # 16 texts a batch are best; beyond that a text costs ever more, as where caches end.
    sizes = pretend(encoder, monkeypatch, lambda size: 0.004 + 0.0005 * max(0, size - 16))
    handler = probe()
    message = Unit(unit="sample", attempt=1, row_count=64)
    prepared = handler.prepare(memoryview(unit_frame(TEXTS)), 64)
    answer, frames = handler.work(message, prepared, time.perf_counter(), lambda: None)
    assert isinstance(answer, Probed)
    assert answer.sizes[0].batch_size == 16
    assert frames == []
    rates = [each.texts_per_second for each in answer.sizes]
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert max(sizes) == 32


def test_of_equal_sizes_the_smallest_one_is_taken(
    probe: Callable[..., EncoderProbe], encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(encoder, monkeypatch, lambda size: 0.0005 * size)
    chosen = probe().measure([[1, 2]] * 64, lambda: None)[0][0]
    assert chosen < 64


def test_where_memory_ends_the_sizes_below_are_measured(
    probe: Callable[..., EncoderProbe], encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(encoder, monkeypatch, lambda _: 0.002, fits=8)
    found = probe().measure([[1, 2]] * 64, lambda: None)
    assert [size for size, _ in found] == [8, 4]


def test_no_room_for_the_smallest_batch_is_told_at_once(
    probe: Callable[..., EncoderProbe], encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(encoder, monkeypatch, lambda _: 0, fits=0)
    with pytest.raises(WorkerFault, match="Out of memory on cpu with 4 text") as caught:
        probe().measure([[1, 2]] * 64, lambda: None)
    # Another worker would fare no better.
    assert not caught.value.is_retryable


def test_a_sample_smaller_than_the_limit_is_the_limit(
    probe: Callable[..., EncoderProbe],
) -> None:
    assert {size for size, _ in probe().measure([[1, 2, 3]] * 5, lambda: None)} == {4}
    assert {size for size, _ in probe(2).measure([[1, 2, 3]] * 5, lambda: None)} == {1}


def test_a_cross_encoder_is_measured_on_its_pairs(
    tiny_cross: Callable[..., Path], cross_spec: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_cross()
    model = load_cross_encoder(cross_spec(folder), "cpu")
    task = ProbeScoreTask(model=cross_spec(folder), max_batch_size=16)
    handler = CrossEncoderProbe(task, model, CPU)
    ready = handler.ready(4)
    assert (ready.model, ready.cross_encoder) == (None, model.contract)
    pairs = model.tokenize(["a cat"] * 40, TEXTS[:40])
    assert isinstance(pairs[0], PairIds)
    ran: list[int] = []
    forward = model.forward

    def counted(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        ran.append(len(batch["input_ids"]))
        return forward(batch)

    monkeypatch.setattr(model, "forward", counted)
    found = dict(handler.measure(pairs, lambda: None))
    assert set(found) <= {4, 8, 16}
    assert set(found) >= {4}
    assert max(ran) == max(found)
    assert min(found.values()) > 0
