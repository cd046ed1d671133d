"""`index check|build|search`: makes a FAISS index of vectors in a folder, or searches one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from quarry_runtime.errors import ConfigError, DataError
from quarry_runtime.guard.id_list import read_ids
from quarry_runtime.search.faiss_index import IndexOptions, Kind, Metric, ScaledRows, load_faiss
from quarry_runtime.search.saved_index import open_saved, save


def answer(argv: list[str]) -> dict[str, Any]:
    """Builds or searches; the answer says what was made or found."""
    options = _parse(argv)
    faiss = load_faiss()
    if options.action == "check":
        return {"faiss": str(faiss.__version__)}
    if options.threads is not None:
        faiss.omp_set_num_threads(options.threads)
    return _build(options) if options.action == "build" else _search(options)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="quarry_runtime index", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("check", help="see whether FAISS is there")
    build = actions.add_parser("build", help="make an index")
    build.add_argument("--vectors", type=Path, required=True, help="a .npy file, [N, D]")
    build.add_argument("--scales", type=Path, help="a .npy file, [N], that int8 vectors need")
    build.add_argument("--ids", type=Path, required=True, help="a JSON list of N ids")
    build.add_argument("--kind", choices=get_args(Kind), default="flat")
    build.add_argument("--metric", choices=get_args(Metric), default="dot")
    build.add_argument("--nlist", type=_positive, help="lists of ivf; default: 4 √N")
    build.add_argument("--m", type=_positive, default=32, help="links of hnsw")
    search = actions.add_parser("search", help="search an index")
    search.add_argument("--index", type=Path, required=True, help="the folder of an index")
    search.add_argument("--queries", type=Path, required=True, help="a .npy file, [Q, D]")
    search.add_argument("--k", type=_positive, required=True)
    for action in (build, search):
        action.add_argument("--nprobe", type=_positive, help="lists of ivf that a query looks into")
        action.add_argument("--ef", type=_positive, help="candidates of hnsw; default: 200")
        action.add_argument("--fingerprint", required=True, help="of the model of the vectors")
        action.add_argument("--threads", type=_positive)
        action.add_argument("--out", type=Path, required=True, help="a folder")
    return parser.parse_args(argv)


def _build(options: argparse.Namespace) -> dict[str, Any]:
    vectors_ND = _read(options.vectors)
    if options.scales is not None:
        vectors_ND = ScaledRows(vectors_ND, _read(options.scales))
    elif vectors_ND.dtype == np.int8:
        raise ConfigError("int8 vectors came without scales.", hint="Name them with --scales.")
    wanted = IndexOptions(
        options.kind,
        options.metric,
        options.nlist,
        options.nprobe,
        options.m,
        options.ef or IndexOptions.ef,
    )
    ids = list(read_ids(options.ids))
    manifest = save(options.out, vectors_ND, ids, wanted, options.fingerprint)
    return {
        "rowCount": manifest.row_count,
        "dimension": manifest.dimension,
        "kind": manifest.kind,
        "nlist": manifest.nlist,
        "nprobe": manifest.nprobe,
    }


def _search(options: argparse.Namespace) -> dict[str, Any]:
    saved = open_saved(options.index, options.fingerprint)
    queries_QD = _read(options.queries)
    scores_QK, rows_QK = saved.search(queries_QD, options.k, options.nprobe, options.ef)
    options.out.mkdir(parents=True, exist_ok=True)
    np.save(options.out / "scores.npy", scores_QK, allow_pickle=False)
    np.save(options.out / "rows.npy", rows_QK, allow_pickle=False)
    return {"queryCount": len(queries_QD), "rowCount": saved.manifest.row_count}


def _read(path: Path) -> NDArray[Any]:
    """A mapped array; a big matrix is never whole in memory."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is no .npy file: {error}") from error
    if array.dtype.kind not in "fi" or array.ndim not in (1, 2):
        raise DataError(f"{path} holds {array.dtype} {list(array.shape)}, not vectors.")
    return array


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number
