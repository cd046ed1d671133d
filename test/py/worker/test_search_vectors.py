"""Searching stored vectors: the same answers as searching the texts, in every dtype; tracked pairs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from quarry_runtime.errors import ConfigError, DataError, ProtocolError
from quarry_runtime.handlers.models import Models
from quarry_runtime.handlers.open import open_handler
from quarry_runtime.handlers.search import SearchHandler
from quarry_runtime.protocol.messages import PluginFile, Queries, Scoring, SnapshotUnit, Tracked
from quarry_runtime.protocol.tensor import pack, to_numpy
from quarry_runtime.search.stored import to_stored

DTYPES = ["float32", "float16", "bfloat16", "int8"]
_ARROW = {"float32": pa.float32(), "float16": pa.float16(), "bfloat16": pa.uint16()}
QUERIES = np.random.default_rng(0).standard_normal((6, 32)).astype(np.float32)
PASSAGES = np.random.default_rng(1).standard_normal((40, 32)).astype(np.float32)


def ignore() -> None:
    pass


def frame(vectors: np.ndarray, dtype: str, first_row: int = 0) -> memoryview:
    """A unit of vectors as a store gives them."""
    codes, scales = to_stored(torch.from_numpy(vectors), dtype)  # type: ignore[arg-type]
    bits = codes.view(torch.int16).numpy().view(np.uint16) if dtype == "bfloat16" else codes.numpy()
    numbers = pa.array(range(first_row, first_row + len(vectors)), pa.int32())
    flat = pa.array(bits.reshape(-1), _ARROW.get(dtype, pa.int8()))
    columns = [numbers, numbers, pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])]
    names = ["row", "idRank", "vector"]
    if scales is not None:
        columns.append(pa.array(scales.numpy()))
        names.append("scale")
    batch = pa.record_batch(columns, names=names)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return memoryview(sink.getvalue().to_pybytes())


@pytest.fixture
def searching(search_task: Callable[..., Any]) -> Callable[..., SearchHandler]:
    """A handler without a model, with its queries and tracked pairs sent as messages."""

    def make(dtype: str = "float32", tracked: list[tuple[int, int]] | None = None, **given: Any):
        pairs = tracked or []
        sizes: dict[str, Any] = {"batch_size": 4, "top_k": 5, "query_count": 6, "dimension": 32}
        task = search_task(
            None,
            vector_dtype=dtype,
            snapshot_every_units=2,
            tracked_count=len(pairs),
            **{**sizes, **given},
        )
        handler = open_handler(task, Models("cpu"))
        assert isinstance(handler, SearchHandler)
        tensor, data = pack(QUERIES, 1)
        assert handler.take(Queries(first_row=0, tensor=tensor), [data])
        if pairs:
            columns = np.array(pairs, np.int32).T
            (queries, one), (rows, two) = pack(columns[0].copy(), 1), pack(columns[1].copy(), 2)
            assert handler.take(Tracked(queries=queries, rows=rows), [one, two])
        return handler

    return make


def feed(handler: SearchHandler, vectors: np.ndarray, dtype: str, first_row: int = 0) -> None:
    unit = handler.prepare(frame(vectors, dtype, first_row), len(vectors))
    handler.compute(f"u{first_row}", unit, ignore)


@pytest.mark.parametrize("dtype", DTYPES)
def test_stored_vectors_score_as_texts_do_to_the_last_bit(
    searching: Callable[..., SearchHandler],
    search_task: Callable[..., Any],
    tiny_bert: Path,
    load: Callable,
    model_spec: Callable,
    unit_frame: Callable,
    dtype: str,
) -> None:
    encoder = load(tiny_bert)
    texts = [f"the cat sat on mat {n} times" for n in range(20)]
    sizes: dict[str, Any] = {"batch_size": 4, "top_k": 5, "query_count": 6, "dimension": 32}
    task = search_task(model_spec(tiny_bert), vector_dtype=dtype, snapshot_every_units=1, **sizes)
    by_texts = SearchHandler(task, encoder, torch.device("cpu"))
    by_texts.take_queries(0, QUERIES)
    unit = by_texts.prepare(memoryview(unit_frame(texts)), 20)
    assert by_texts._forward is not None
    vectors = by_texts._forward.unit(unit, ignore).numpy()  # type: ignore[arg-type]
    by_texts.compute("u0", unit, ignore)
    by_vectors = searching(dtype)
    feed(by_vectors, vectors, dtype)
    for one, other in zip(by_texts.best(), by_vectors.best(), strict=True):
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_ranks_close_to_float32(
    searching: Callable[..., SearchHandler], dtype: str
) -> None:
    handler = searching(dtype)
    for start in (20, 0):
        feed(handler, PASSAGES[start : start + 20], dtype, start)
    unit = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in (QUERIES, PASSAGES)]
    expected = np.sort(unit[0] @ unit[1].T, axis=1)[:, ::-1][:, :5]
    np.testing.assert_allclose(handler.best()[0], expected, atol=0.01)


def test_snapshots_carry_the_tracked_scores_of_what_has_come_by(
    searching: Callable[..., SearchHandler],
) -> None:
    pairs = [(2, 3), (0, 7), (5, 7), (1, 25)]
    handler = searching(
        tracked=pairs, scoring=Scoring(similarity="dot", is_normalizing=False, plugins=[])
    )

    def tracked() -> list[float]:
        message, frames = handler.snapshot([SnapshotUnit(unit="u", attempt=0)])
        assert message.tracked is not None  # type: ignore[union-attr]
        return to_numpy(message.tracked, frames).tolist()  # type: ignore[union-attr]

    assert tracked() == [-np.inf] * 4
    feed(handler, PASSAGES[:20], "float32")
    exact = [float(QUERIES[query] @ PASSAGES[row]) for query, row in pairs]
    assert tracked() == pytest.approx([*exact[:3], -np.inf], abs=1e-4)
    feed(handler, PASSAGES[20:], "float32", 20)
    assert tracked() == pytest.approx(exact, abs=1e-4)


def test_without_tracked_pairs_a_snapshot_says_so(
    searching: Callable[..., SearchHandler],
) -> None:
    message, frames = searching().snapshot([])
    assert (message.tracked, len(frames)) == (None, 2)  # type: ignore[union-attr]


def test_a_plugins_similarity_scores_and_a_misspelt_one_is_answered_with_the_nearest(
    searching: Callable[..., SearchHandler], tmp_path: Path
) -> None:
    plugin = tmp_path / "near.py"
    plugin.write_text(
        "from quarry_runtime.modeling.registry import register_similarity\n"
        "@register_similarity('nearness')\n"
        "def nearness(queries_QD, passages_ND):\n"
        "    return -(queries_QD[:, None] - passages_ND[None]).abs().amax(2)\n"
    )
    files = [PluginFile(path=str(plugin), sha256=None)]
    handler = searching(scoring=Scoring(similarity="nearness", is_normalizing=False, plugins=files))
    feed(handler, PASSAGES, "float32")
    brute = -np.abs(QUERIES[:, None] - PASSAGES[None]).max(2)
    assert np.array_equal(handler.best()[1], np.argsort(-brute, axis=1)[:, :5])
    with pytest.raises(ConfigError) as caught:
        searching(scoring=Scoring(similarity="nearnes", is_normalizing=False, plugins=[]))
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("Did you mean nearness?")


def test_a_stored_vector_that_is_no_number_is_refused_with_its_row(
    searching: Callable[..., SearchHandler],
) -> None:
    handler, broken = searching(tracked=[(0, 4)]), PASSAGES.copy()
    broken[4, 9] = np.nan
    with pytest.raises(DataError) as caught:
        feed(handler, broken, "float32")
    assert caught.value.rows == [4]
    assert (handler.best()[1] == -1).all()
    feed(handler, PASSAGES, "float32")
    assert (handler.best()[1] >= 0).all()


def test_a_query_vector_that_is_no_number_is_refused_with_its_row(
    searching: Callable[..., SearchHandler],
) -> None:
    broken = QUERIES[2:].copy()
    broken[1, 9] = np.nan
    with pytest.raises(DataError) as caught:
        searching().take_queries(2, broken)
    assert caught.value.rows == [3]


def test_frames_of_another_shape_dtype_or_length_and_pairs_out_of_place_are_refused(
    searching: Callable[..., SearchHandler],
) -> None:
    handler = searching("float16")
    good = frame(PASSAGES, "float16")
    for bad, count in (
        (good, 39),
        (good[:-300], 40),
        (frame(PASSAGES, "float32"), 40),
        (frame(PASSAGES, "bfloat16"), 40),
        (frame(PASSAGES[:, :31], "float16"), 40),
        (memoryview(b""), 0),
    ):
        with pytest.raises(ProtocolError):
            handler.prepare(bad, count)
    for pairs in ([(0, 5), (0, 4)], [(6, 1)], [(-1, 1)]):
        with pytest.raises(ProtocolError):
            searching(tracked=pairs)
    with pytest.raises(ProtocolError, match="does not know"):
        handler.take_tracked(np.zeros(1, np.int32), np.zeros(1, np.int32))
    feed(handler, PASSAGES, "float16")
    with pytest.raises(ProtocolError, match="after the first unit"):
        handler.take_queries(0, QUERIES)
