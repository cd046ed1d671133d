"""Approximate and flat FAISS indexes of one model's vectors; optional, and without torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from quarry_runtime.errors import ConfigError, DataError, EnvironmentFault
from quarry_runtime.guard.finite import check_finite

Kind = Literal["flat", "ivf", "hnsw"]
Metric = Literal["dot", "cosine"]
_BLOCK_ROWS = 8_192
# What FAISS wants for each centre: fewer vectors make bad centres, more make no better ones.
_FEWEST_FOR_A_LIST, _MOST_FOR_A_LIST = 39, 256
# Asked for beyond k, so that among equal scores across the k-th place the ids decide; and the factor where all of
# these are equal as well.
_SPARE, _MORE = 32, 4


@dataclasses.dataclass(frozen=True)
class IndexOptions:
    """How an index is built and searched; None is chosen by the number of vectors."""

    kind: Kind = "flat"
    metric: Metric = "dot"
    #: ivf: lists; None is 4 times the square root of the number of vectors.
    nlist: int | None = None
    #: ivf: lists that a query looks into; None is a twentieth of them, and at least 8.
    nprobe: int | None = None
    #: hnsw: links of a vector.
    m: int = 32
    #: hnsw: candidates that are kept while building; and while searching, where k is not more.
    ef: int = 200

    def settled(self, count: int) -> IndexOptions:
        """The same with every None filled in for that many vectors."""
        if self.kind != "ivf":
            return dataclasses.replace(self, nlist=None, nprobe=None)
        nlist = self.nlist or min(round(4 * count**0.5), count // _FEWEST_FOR_A_LIST)
        nlist = max(1, min(nlist, count))
        return dataclasses.replace(
            self, nlist=nlist, nprobe=min(self.nprobe or max(8, nlist // 20), nlist)
        )


class ScaledRows:
    """int8 codes times their scales, a slice at a time: as a whole they are four times the codes.

    Attributes:
        shape: [N, D].
    """

    ndim = 2

    def __init__(self, codes_ND: NDArray[Any], scales_N: NDArray[Any]) -> None:
        self._codes_ND, self._scales_N = codes_ND, scales_N
        self.shape: tuple[int, ...] = codes_ND.shape
        if scales_N.shape != codes_ND.shape[:1]:
            raise DataError(
                f"{list(scales_N.shape)} scales came for vectors of shape {list(self.shape)}."
            )

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        """float32 [B, D]."""
        return np.multiply(self._codes_ND[rows], self._scales_N[rows, None], dtype=np.float32)


#: Vectors that are read a block at a time.
Rows = NDArray[Any] | ScaledRows


def load_faiss() -> Any:
    """The faiss module.

    Raises:
        EnvironmentFault: it is not installed; the hint says how it gets there.
    """
    try:
        import faiss  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise EnvironmentFault(
            "FAISS is not installed in the Python environment.",
            hint="quarry setup --extra faiss (or pip install faiss-cpu).",
        ) from error
    return faiss


def build_index(vectors_ND: Rows, options: IndexOptions) -> Any:
    """A FAISS index of the vectors, numbered as their rows; the same on every run with one thread.

    Args:
        vectors_ND: Any number format, perhaps mapped: it is read a block at a time.
        options: As `settled` gives them.

    Raises:
        DataError: NaN or infinity, the rows named.
    """
    faiss = load_faiss()
    count, size = vectors_ND.shape
    product = faiss.METRIC_INNER_PRODUCT
    if options.kind == "flat":
        index = faiss.IndexFlatIP(size)
    elif options.kind == "hnsw":
        index = faiss.IndexHNSWFlat(size, options.m, product)
        index.hnsw.efConstruction = options.ef
    else:
        assert options.nlist is not None
        centres = faiss.IndexFlatIP(size)
        index = faiss.IndexIVFFlat(centres, size, options.nlist, product)
        # The index frees what it owns; without this Python would free it as well.
        index.own_fields = True
        centres.this.disown()
        # Evenly spread, for a corpus is often sorted by source.
        step = max(1, count // (_MOST_FOR_A_LIST * options.nlist))
        index.train(_prepared(vectors_ND[::step], options.metric, 0, step))
    for start, block_BD in _blocks(vectors_ND, options.metric):
        index.add(block_BD)
        assert index.ntotal == start + len(block_BD)
    return index


def search_index(
    index: Any, options: IndexOptions, queries_QD: NDArray[Any], k: int, ranks_N: NDArray[np.int32]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Scores and rows [Q, K] by score descending, then id rank descending; -inf and -1 pad.

    Raises:
        ConfigError: queries of another size.
        DataError: NaN or infinity among them.
    """
    if queries_QD.ndim != 2 or queries_QD.shape[1] != index.d:
        raise ConfigError(
            f"The queries are {list(queries_QD.shape)}, the index has {index.d} dimensions.",
            hint="Encode the queries with the model that the index was built with.",
        )
    if options.kind == "ivf":
        index.nprobe = options.nprobe
    elif options.kind == "hnsw":
        index.hnsw.efSearch = max(options.ef, k)
    scores_QK = np.full((len(queries_QD), k), -np.inf, np.float32)
    rows_QK = np.full((len(queries_QD), k), -1, np.int32)
    kept = min(k, len(ranks_N))
    if kept == 0:
        return scores_QK, rows_QK
    for start, block_BD in _blocks(queries_QD, options.metric, "query vector"):
        here = slice(start, start + len(block_BD))
        found = _best(index, block_BD, kept, kept + _SPARE, ranks_N)
        scores_QK[here, :kept], rows_QK[here, :kept] = found
    return scores_QK, rows_QK


def _best(
    index: Any, queries_BD: NDArray[np.float32], k: int, wanted: int, ranks_N: NDArray[np.int32]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Scores and rows [B, K]; of `wanted` ones, and of more where those beyond the last may equal the k-th."""
    wanted = min(wanted, len(ranks_N))
    scores_BW, rows_BW = index.search(queries_BD, wanted)
    ranks_BW = np.where(rows_BW < 0, -1, ranks_N[rows_BW])
    scores_BW = np.where(rows_BW < 0, -np.inf, scores_BW)
    # Ascending by score, then rank, and read from the end.
    order_BK = np.lexsort((ranks_BW, scores_BW), axis=1)[:, ::-1][:, :k]
    scores_BK = np.take_along_axis(scores_BW, order_BK, 1)
    rows_BK = np.take_along_axis(rows_BW, order_BK, 1)
    if wanted == len(ranks_N):
        return scores_BK, rows_BK
    is_open_B = (rows_BW[:, -1] >= 0) & (scores_BW[:, -1] == scores_BK[:, -1])
    # As many lists and places at once as the first search had at most.
    step = max(1, _BLOCK_ROWS * (k + _SPARE) // (_MORE * wanted))
    open_ = np.flatnonzero(is_open_B)
    for start in range(0, len(open_), step):
        part = open_[start : start + step]
        scores_BK[part], rows_BK[part] = _best(index, queries_BD[part], k, _MORE * wanted, ranks_N)
    return scores_BK, rows_BK


def _blocks(
    vectors_ND: Rows, metric: Metric, what: str = "vector"
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    for start in range(0, len(vectors_ND), _BLOCK_ROWS):
        block = vectors_ND[start : start + _BLOCK_ROWS]
        yield start, _prepared(block, metric, start, 1, what)


def _prepared(
    vectors_BD: NDArray[Any], metric: Metric, first: int, step: int, what: str = "vector"
) -> NDArray[np.float32]:
    """float32, finite, and of length 1 for cosine, which is then a product as well."""
    block_BD = np.ascontiguousarray(vectors_BD, dtype=np.float32)
    check_finite(block_BD, first + step * np.arange(len(block_BD)), what)
    if metric == "cosine":
        lengths_B = np.linalg.norm(block_BD, axis=1, keepdims=True)
        block_BD = block_BD / np.maximum(lengths_B, np.float32(1e-12))
    return block_BD
