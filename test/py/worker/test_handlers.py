"""A unit's result depends on the unit alone; broken vectors and lack of memory are told clearly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from quarry_runtime.errors import ConfigError, DataError, ProtocolError, WorkerFault
from quarry_runtime.handlers.encode import EncodeHandler
from quarry_runtime.handlers.search import SearchHandler
from quarry_runtime.modeling.encoder import Encoder
from quarry_runtime.protocol.messages import EncodeTask, Unit

CPU = torch.device("cpu")
WORDS = ["cat", "dog", "sat", "mat", "on", "the", "blue", "sky", "over", "sea"]
TEXTS = [" ".join(WORDS[(n * k) % 10] for k in range(1, 2 + n % 7)) for n in range(48)]


def ignore() -> None:
    pass


@pytest.fixture(scope="module")
def encoder(tiny_bert: Path, load: Callable[..., Encoder]) -> Encoder:
    return load(tiny_bert)


@pytest.fixture
def encoding(encoder: Encoder, tiny_bert: Path, model_spec: Callable) -> EncodeHandler:
    return EncodeHandler(
        EncodeTask(
            model=model_spec(tiny_bert), side="passage", batch_size=4, vector_dtype="float32"
        ),
        encoder,
        CPU,
    )


@pytest.fixture
def searching(
    search_task: Callable, encoder: Encoder, tiny_bert: Path, model_spec: Callable
) -> Callable[[], SearchHandler]:
    queries = np.random.default_rng(0).standard_normal((6, 32)).astype(np.float32)
    sizes: dict[str, Any] = {"batch_size": 4, "top_k": 5, "query_count": 6, "dimension": 32}

    def make() -> SearchHandler:
        task = search_task(model_spec(tiny_bert), snapshot_every_units=2, **sizes)
        handler = SearchHandler(task, encoder, CPU)
        handler.take_queries(0, queries[:4])
        handler.take_queries(4, queries[4:])
        return handler

    return make


def test_vectors_come_in_the_order_of_the_rows_with_titles_joined(
    encoding: EncodeHandler, unit_frame: Callable, encoder: Encoder
) -> None:
    counted: list[int] = []
    unit = encoding.prepare(memoryview(unit_frame(TEXTS[:10], 100, ["Title"] * 10)), 10)
    vectors = encoding.compute(unit, lambda: counted.append(1))
    assert (vectors.shape, vectors.dtype, len(counted)) == ((10, 32), np.float32, 3)
    assert unit.rows.tolist() == list(range(100, 110))
    with torch.inference_mode():
        for vector, text in zip(vectors, TEXTS, strict=False):
            ids = encoder.tokenize([f"Title {text}"], "passage")["input_ids"]
            np.testing.assert_allclose(vector, encoder(encoder.collate(ids))[0].numpy(), atol=1e-5)


def test_a_units_vectors_are_the_same_bytes_whatever_was_done_before(
    encoding: EncodeHandler, unit_frame: Callable
) -> None:
    def vectors() -> bytes:
        return encoding.compute(
            encoding.prepare(memoryview(unit_frame(TEXTS)), 48), ignore
        ).tobytes()

    first = vectors()
    encoding.compute(encoding.prepare(memoryview(unit_frame(TEXTS[5:9])), 4), ignore)
    assert vectors() == first


def test_search_results_do_not_depend_on_the_number_of_workers_or_the_order_of_units(
    searching: Callable[[], SearchHandler], unit_frame: Callable
) -> None:
    # Every text occurs twice: ties throughout.
    units = {f"u{n}": unit_frame(TEXTS[n * 8 % 24 : n * 8 % 24 + 8], n * 8) for n in range(6)}

    def search(*shares: list[str]) -> list[list[tuple[float, int]]]:
        merged: list[list[tuple[float, int]]] = [[] for _ in range(6)]
        for share in shares:
            handler = searching()
            for name in share:
                handler.compute(name, handler.prepare(memoryview(units[name]), 8), ignore)
            scores, rows = handler.best()
            for query in range(6):
                pairs = zip(scores[query].tolist(), rows[query].tolist(), strict=True)
                merged[query] += [pair for pair in pairs if pair[1] >= 0]
        return [sorted(entries, reverse=True)[:5] for entries in merged]

    alone = search(list(units))
    assert search(list(reversed(units))) == alone
    assert search(["u3", "u0"], ["u5"], ["u1", "u2", "u4"]) == alone


def test_a_unit_that_comes_twice_counts_once(
    searching: Callable[[], SearchHandler], unit_frame: Callable
) -> None:
    handler = searching()
    for _ in range(2):
        handler.compute("u0", handler.prepare(memoryview(unit_frame(TEXTS[:4])), 4), ignore)
    assert sorted(handler.best()[1][0].tolist()) == [-1, 0, 1, 2, 3]


def test_cosine_of_a_model_that_does_not_normalise_is_a_matter_of_scoring(
    search_task: Callable,
    tiny_bert: Path,
    load: Callable,
    model_spec: Callable,
    unit_frame: Callable,
) -> None:
    encoder = load(tiny_bert, normalize=False)
    sizes: dict[str, Any] = {"batch_size": 4, "top_k": 3, "query_count": 1, "dimension": 32}
    handler = SearchHandler(
        search_task(model_spec(tiny_bert), snapshot_every_units=1, **sizes), encoder, CPU
    )
    encode = EncodeHandler(
        EncodeTask(model=model_spec(tiny_bert), side="query", batch_size=4, vector_dtype="float32"),
        encoder,
        CPU,
    )
    vectors = encode.compute(encode.prepare(memoryview(unit_frame(TEXTS[:3])), 3), ignore)
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).min() > 0.1
    handler.take_queries(0, vectors[:1])
    handler.compute("u", handler.prepare(memoryview(unit_frame(TEXTS[:3])), 3), ignore)
    scores, rows = handler.best()
    assert rows[0, 0] == 0
    assert scores[0, 0] == pytest.approx(1, abs=1e-5)


def test_a_broken_vector_names_its_row_and_leaves_the_search_as_it_was(
    searching: Callable[[], SearchHandler],
    unit_frame: Callable,
    encoder: Encoder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handler, forward = searching(), encoder.forward

    def poisoned(batch: dict[str, torch.Tensor], side: Any) -> torch.Tensor:
        return forward(batch, side).index_fill(0, torch.tensor([0]), float("nan"))

    monkeypatch.setattr(encoder, "forward", poisoned)
    with pytest.raises(DataError) as caught:
        handler.compute("u0", handler.prepare(memoryview(unit_frame(TEXTS[:3], 70)), 3), ignore)
    # The longest text is the first of its batch.
    assert caught.value.rows == [72]
    assert (handler.best()[1] == -1).all()


@pytest.mark.parametrize(("dtype", "value"), [("float32", float("nan")), ("float16", 1e6)])
def test_a_vector_that_cannot_be_kept_is_refused_with_its_row(
    model_spec: Callable,
    unit_frame: Callable,
    encoder: Encoder,
    monkeypatch: pytest.MonkeyPatch,
    tiny_bert: Path,
    dtype: Any,
    value: float,
) -> None:
    forward = encoder.forward

    def poisoned(batch: dict[str, torch.Tensor], side: Any) -> torch.Tensor:
        return forward(batch, side).index_fill(0, torch.tensor([0]), value)

    monkeypatch.setattr(encoder, "forward", poisoned)
    task = EncodeTask(model=model_spec(tiny_bert), side="passage", batch_size=4, vector_dtype=dtype)
    handler = EncodeHandler(task, encoder, CPU)
    prepared = handler.prepare(memoryview(unit_frame(TEXTS[:3], 70)), 3)
    unit = Unit(unit="u0", attempt=0, row_count=3)
    with pytest.raises(DataError) as caught:
        handler.work(unit, prepared, 0.0, ignore)
    # The longest text is the first of its batch.
    assert caught.value.rows == [72]


@pytest.mark.parametrize(
    ("error", "quoted"),
    [
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), ""),
        (MemoryError(), ""),
        # oneDNN says so, too, where a system forbids it to write code.
        (
            RuntimeError("could not create a primitive"),
            " (RuntimeError: could not create a primitive)",
        ),
    ],
)
def test_out_of_memory_halves_the_batch_and_then_names_the_rows(
    encoding: EncodeHandler,
    unit_frame: Callable,
    encoder: Encoder,
    monkeypatch: pytest.MonkeyPatch,
    tiny_bert: Path,
    model_spec: Callable,
    error: Exception,
    quoted: str,
) -> None:
    whole = encoding.compute(encoding.prepare(memoryview(unit_frame(TEXTS)), 48), ignore)
    forward, fits = encoder.forward, 4

    failures = 0

    def small(batch: dict[str, torch.Tensor], side: Any) -> torch.Tensor:
        nonlocal failures
        if len(batch["input_ids"]) > fits:
            failures += 1
            raise error
        return forward(batch, side)

    monkeypatch.setattr(encoder, "forward", small)
    task = EncodeTask(
        model=model_spec(tiny_bert), side="passage", batch_size=32, vector_dtype="float32"
    )
    handler = EncodeHandler(task, encoder, CPU)
    halved = handler.compute(handler.prepare(memoryview(unit_frame(TEXTS)), 48), ignore)
    np.testing.assert_allclose(halved, whole, atol=1e-5)
    # What did not fit is not tried again: the next unit of this kind is halved before it fails.
    assert failures > 0
    failures = 0
    again = handler.compute(handler.prepare(memoryview(unit_frame(TEXTS)), 48), ignore)
    np.testing.assert_array_equal(again, halved)
    assert failures == 0
    fits = 3
    with pytest.raises(WorkerFault, match="Out of memory on cpu: 4 text") as caught:
        handler.compute(handler.prepare(memoryview(unit_frame(TEXTS)), 48), ignore)
    assert len(caught.value.rows) == 4
    assert caught.value.message.endswith(f" tokens{quoted}.")


def test_queries_of_another_size_or_place_and_units_before_queries_are_refused(
    search_task: Callable,
    searching: Callable[[], SearchHandler],
    encoder: Encoder,
    tiny_bert: Path,
    model_spec: Callable,
    unit_frame: Callable,
) -> None:
    handler = searching()
    for first, shape in ((0, (2, 31)), (5, (2, 32))):
        with pytest.raises(ProtocolError):
            handler.take_queries(first, np.zeros(shape, np.float32))
    sizes: dict[str, Any] = {
        "batch_size": 4,
        "top_k": 5,
        "query_count": 6,
        "snapshot_every_units": 1,
    }
    with pytest.raises(ConfigError, match="31 dimensions"):
        SearchHandler(search_task(model_spec(tiny_bert), dimension=31, **sizes), encoder, CPU)
    early = SearchHandler(search_task(model_spec(tiny_bert), dimension=32, **sizes), encoder, CPU)
    with pytest.raises(ProtocolError, match="before 6 of the queries"):
        early.compute("u", early.prepare(memoryview(unit_frame(["a"])), 1), ignore)


def test_a_unit_that_is_no_table_or_cut_short_is_refused(
    encoding: EncodeHandler, unit_frame: Callable
) -> None:
    whole = unit_frame(TEXTS)
    for frame, count in ((b"", 0), (b"\x00" * 40, 1), (whole[:-200], 48), (whole, 47)):
        with pytest.raises(ProtocolError):
            encoding.prepare(memoryview(frame), count)
