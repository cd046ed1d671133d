"""Scores of a unit of pairs: in order, batch by batch, and clear about what went wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from quarry_runtime.errors import DataError, ProtocolError, WorkerFault
from quarry_runtime.handlers.score import ScoreHandler
from quarry_runtime.modeling.cross_encoder import CrossEncoder, load_cross_encoder
from quarry_runtime.protocol.messages import Configure, Drain, Result, ScoreTask, Unit
from quarry_runtime.protocol.tensor import to_numpy

CPU = torch.device("cpu")
WORDS = ["cat", "dog", "sat", "mat", "on", "the", "blue", "sky", "over", "sea"]
QUERIES = [" ".join(WORDS[(n * k) % 10] for k in range(1, 2 + n % 4)) for n in range(20)]
TEXTS = [" ".join(WORDS[(n + k * k) % 10] for k in range(1 + n)) for n in range(20)]


def ignore() -> None:
    pass


def frame(
    queries: Sequence[str | None], texts: list[str], first: int = 0, titles: list[str] | None = None
) -> memoryview:
    columns = [
        pa.array(range(first, first + len(queries)), pa.int32()),
        pa.array(queries, pa.string()),
        pa.array(titles or [""] * len(texts), pa.string()),
        pa.array(texts, pa.string()),
    ]
    batch = pa.record_batch(columns, names=["row", "query", "title", "text"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return memoryview(sink.getvalue().to_pybytes())


@pytest.fixture(scope="module")
def folder(tiny_cross: Callable[..., Path]) -> Path:
    return tiny_cross()


@pytest.fixture
def model(folder: Path, cross_spec: Callable) -> CrossEncoder:
    return load_cross_encoder(cross_spec(folder), "cpu")


@pytest.fixture
def scoring(model: CrossEncoder, folder: Path, cross_spec: Callable) -> Callable[..., ScoreHandler]:
    return lambda size=4: ScoreHandler(
        ScoreTask(model=cross_spec(folder), batch_size=size), model, CPU
    )


def test_scores_come_in_the_order_of_the_pairs_with_titles_joined(
    scoring: Callable, model: CrossEncoder
) -> None:
    counted: list[int] = []
    handler = scoring()
    titles = ["Title" if n % 2 else "" for n in range(10)]
    unit = handler.prepare(frame(QUERIES[:10], TEXTS[:10], 100, titles), 10)
    found = handler.compute(unit, lambda: counted.append(1))
    assert (found.shape, found.dtype, len(counted)) == ((10,), np.float32, 3)
    assert unit.rows.tolist() == list(range(100, 110))
    with torch.inference_mode():
        for number, score in enumerate(found):
            text = f"Title {TEXTS[number]}" if number % 2 else TEXTS[number]
            ids = model.tokenize([QUERIES[number]], [text])
            assert float(model(model.collate(ids))[0]) == pytest.approx(float(score), abs=1e-5)


def test_batches_hold_pairs_of_about_equal_length(scoring: Callable) -> None:
    unit = scoring(5).prepare(frame(QUERIES, TEXTS), 20)
    lengths = [[len(pair) for pair in batch.ids] for batch in unit.batches]
    assert [len(batch) for batch in lengths] == [5, 5, 5, 5]
    flat = [length for batch in lengths for length in batch]
    assert flat == sorted(flat, reverse=True)


def test_a_units_scores_are_the_same_bytes_whatever_was_done_before(scoring: Callable) -> None:
    handler = scoring()

    def scores() -> bytes:
        return handler.compute(handler.prepare(frame(QUERIES, TEXTS), 20), ignore).tobytes()

    first = scores()
    handler.compute(handler.prepare(frame(QUERIES[5:9], TEXTS[5:9]), 4), ignore)
    assert scores() == first


def test_a_score_that_is_no_number_names_its_pairs(
    scoring: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = scoring(20)
    whole = handler.prepare(frame(QUERIES, TEXTS, 40), 20)

    def broken(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        found = torch.zeros(len(batch["input_ids"]))
        found[2], found[5] = float("nan"), float("inf")
        return found

    monkeypatch.setattr(handler._forward, "_run", broken)
    with pytest.raises(DataError, match="2 pair") as caught:
        handler.compute(whole, ignore)
    positions = whole.batches[0].positions[[2, 5]]
    assert sorted(caught.value.rows) == sorted((positions + 40).tolist())


def test_a_batch_that_does_not_fit_is_halved_and_remembered(
    scoring: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = scoring(16)
    expected = handler.compute(handler.prepare(frame(QUERIES, TEXTS), 20), ignore)
    run = handler._forward._run
    sizes: list[int] = []

    def small(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        sizes.append(len(batch["input_ids"]))
        if sizes[-1] > 4:
            raise MemoryError
        return run(batch)

    monkeypatch.setattr(handler._forward, "_run", small)
    found = handler.compute(handler.prepare(frame(QUERIES, TEXTS), 20), ignore)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert max(sizes) == 16
    sizes.clear()
    handler.compute(handler.prepare(frame(QUERIES[-4:], TEXTS[-4:]), 4), ignore)
    assert max(sizes) <= 4


def test_a_pair_that_never_fits_is_told_with_its_number(
    scoring: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = scoring(2)

    def never(_batch: Any) -> torch.Tensor:
        raise MemoryError

    monkeypatch.setattr(handler._forward, "_run", never)
    with pytest.raises(WorkerFault, match=r": 1 pair of ") as caught:
        handler.compute(handler.prepare(frame(QUERIES[:2], TEXTS[:2], 7), 2), ignore)
    assert caught.value.is_retryable
    assert len(caught.value.rows) == 1


def test_units_that_hold_something_else_are_refused(
    scoring: Callable, unit_frame: Callable
) -> None:
    handler = scoring()
    whole = frame(QUERIES, TEXTS)
    for bad, count in (
        (whole, 19),
        (whole[: len(whole) // 2], 20),
        (memoryview(b""), 20),
        (memoryview(unit_frame(TEXTS)), 20),
        (frame([None, *QUERIES[1:]], TEXTS), 20),
    ):
        with pytest.raises(ProtocolError):
            handler.prepare(bad, count)


def test_a_worker_says_what_the_cross_encoder_is_and_scores_over_the_wire(
    orchestrate: Callable, folder: Path, cross_spec: Callable, scoring: Callable
) -> None:
    peer = orchestrate("--device", "cpu")
    peer.receive()
    peer.send(Configure(task=ScoreTask(model=cross_spec(folder), batch_size=4)))
    ready, _ = peer.receive()
    assert (ready.model, ready.cross_encoder.label_count) == (None, 1)
    peer.send(Unit(unit="pairs-0", attempt=1, row_count=20), [frame(QUERIES, TEXTS)])
    result, frames = peer.receive(Result)
    handler = scoring()
    expected = handler.compute(handler.prepare(frame(QUERIES, TEXTS), 20), ignore)
    np.testing.assert_allclose(to_numpy(result.tensor, frames), expected, atol=1e-6)
    peer.send(Drain())
    assert peer.wait() == 0
