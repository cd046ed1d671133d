"""Saved FAISS indexes: what they find, whose queries they take, and that damage is noticed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quarry_runtime.__main__ import main as runtime
from quarry_runtime.errors import (
    EXIT_STATUS,
    ConfigError,
    DataError,
    EnvironmentFault,
    IntegrityError,
)
from quarry_runtime.index import answer
from quarry_runtime.search import faiss_index
from quarry_runtime.search.faiss_index import IndexOptions
from quarry_runtime.search.saved_index import open_saved, ranks_of

RUNTIME = Path(__file__).parents[3] / "py_runtime"
MODEL = "a" * 64
Paths = dict[str, Path]


@pytest.fixture
def files(tmp_path: Path) -> Paths:
    """Vectors around 40 centres, queries near some of them, and ids out of order."""
    numbers = np.random.default_rng(0)
    centres = numbers.standard_normal((40, 16)).astype(np.float32)
    vectors = centres.repeat(60, 0) + 0.3 * numbers.standard_normal((2_400, 16)).astype(np.float32)
    np.save(tmp_path / "v.npy", vectors)
    np.save(tmp_path / "q.npy", vectors[::100] + np.float32(0.01))
    (tmp_path / "ids.json").write_text(json.dumps([f"d{n * 7 % 2_400}" for n in range(2_400)]))
    names = {"v": "v.npy", "q": "q.npy", "ids": "ids.json", "index": "index", "out": "found"}
    return {name: tmp_path / file for name, file in names.items()}


def build(files: Paths, *more: str) -> dict[str, Any]:
    arguments = ["build", "--vectors", str(files["v"]), "--ids", str(files["ids"])]
    arguments += ["--fingerprint", MODEL, "--out", str(files["index"]), "--threads", "1"]
    return answer([*arguments, *more])


def search(files: Paths, *more: str, fingerprint: str = MODEL) -> tuple[np.ndarray, np.ndarray]:
    arguments = ["search", "--index", str(files["index"]), "--queries", str(files["q"])]
    arguments += ["--fingerprint", fingerprint, "--out", str(files["out"]), "--k", "10"]
    answer([*arguments, *more])
    return np.load(files["out"] / "scores.npy"), np.load(files["out"] / "rows.npy")


@pytest.mark.parametrize("metric", ["dot", "cosine"])
@pytest.mark.parametrize(("kind", "recall"), [("flat", 1.0), ("ivf", 0.9), ("hnsw", 0.95)])
def test_each_kind_finds_what_exact_search_finds(
    files: Paths, kind: str, recall: float, metric: str
) -> None:
    build(files, "--kind", kind, "--metric", metric)
    scores, rows = search(files)
    vectors, queries = np.load(files["v"]), np.load(files["q"])
    if metric == "cosine":
        vectors, queries = (
            x / np.linalg.norm(x, axis=1, keepdims=True) for x in (vectors, queries)
        )
    exact = queries @ vectors.T
    best = np.argsort(-exact, axis=1)[:, :10]
    shared = [len(set(found) & set(right)) for found, right in zip(rows, best, strict=True)]
    assert np.mean(shared) / 10 >= recall
    np.testing.assert_allclose(scores, np.take_along_axis(exact, rows, 1), rtol=1e-4)
    assert (np.diff(scores, axis=1) <= 0).all()
    assert (scores.dtype, rows.dtype) == (np.float32, np.int32)


@pytest.mark.parametrize(
    ("kind", "count"),
    [("flat", 30), ("flat", 80), ("flat", 800), ("ivf", 800), ("hnsw", 80)],
)
def test_equal_scores_come_by_id_descending_also_across_the_last_place(
    files: Paths, kind: str, count: int
) -> None:
    # The first query has no tie at its last place, so that one block holds both.
    apart = [[n + 10.0, 0, 0, 0] for n in range(12)]
    np.save(files["v"], np.array(apart + [[0, 1, 1, 1]] * (count - 12), np.float32))
    np.save(files["q"], np.array([[1, 0, 0, 0], [0, 1, 1, 1]], np.float32))
    ids = [f"d{n * 7 % count:03}" for n in range(count)]
    files["ids"].write_text(json.dumps(ids))
    build(files, "--kind", kind, *(["--nlist", "4", "--nprobe", "4"] if kind == "ivf" else []))
    scores, rows = search(files)
    assert rows[0].tolist() == list(range(11, 1, -1))
    assert [ids[row] for row in rows[1]] == sorted(ids[12:], reverse=True)[:10]
    assert (scores[1] == 3).all()


def test_ids_rank_as_utf_8_bytes_do() -> None:
    ids = ["b", "", "é", "Z", "\U0001f600", "\uffff", "ab", "a"]
    by_bytes = sorted(ids, key=lambda text: text.encode())
    assert [by_bytes[rank] for rank in ranks_of(ids)] == ids


def test_fewer_passages_than_places_are_padded(files: Paths) -> None:
    np.save(files["v"], np.eye(3, 16, dtype=np.float32))
    files["ids"].write_text('["a", "b", "c"]')
    for kind in ("flat", "ivf", "hnsw"):
        build(files, "--kind", kind)
        scores, rows = search(files)
        assert (rows[:, 3:] == -1).all()
        assert np.isneginf(scores[:, 3:]).all()
        assert sorted(rows[0, :3]) == [0, 1, 2]


@pytest.mark.parametrize(
    ("count", "nlist", "nprobe"), [(10, 1, 1), (2_400, 61, 8), (1_000_000, 4_000, 200)]
)
def test_lists_are_chosen_by_the_number_of_vectors(count: int, nlist: int, nprobe: int) -> None:
    settled = IndexOptions("ivf").settled(count)
    assert (settled.nlist, settled.nprobe) == (nlist, nprobe)


def test_an_option_of_another_kind_of_index_is_refused(files: Paths) -> None:
    for kind, others in {"flat": ["nprobe", "ef"], "ivf": ["ef"], "hnsw": ["nprobe"]}.items():
        build(files, "--kind", kind)
        for other in others:
            with pytest.raises(
                ConfigError, match=f"{other} is an option of .*, but the index is {kind}"
            ):
                search(files, f"--{other}", "3")


def test_more_lists_than_the_index_has_are_refused(files: Paths) -> None:
    build(files, "--kind", "ivf", "--nlist", "4")
    with pytest.raises(ConfigError, match="looks into 5 lists, but the index has 4"):
        search(files, "--nprobe", "5")


def test_int8_vectors_take_their_scales(files: Paths) -> None:
    vectors = np.load(files["v"])
    scales = np.abs(vectors).max(1) / 127
    np.save(files["v"], np.rint(vectors / scales[:, None]).astype(np.int8))
    with pytest.raises(ConfigError, match="without scales"):
        build(files)
    np.save(files["out"].with_name("s.npy"), scales)
    build(files, "--scales", str(files["out"].with_name("s.npy")))
    assert (search(files)[1][:, 0] == np.argmax(np.load(files["q"]) @ vectors.T, axis=1)).all()


def test_another_models_queries_are_refused(files: Paths) -> None:
    build(files)
    with pytest.raises(ConfigError, match="another model: aaaaaaaaaaaa"):
        search(files, fingerprint="b" * 64)
    np.save(files["q"], np.zeros((1, 15), np.float32))
    with pytest.raises(ConfigError, match="has 16 dimensions"):
        search(files)


def test_every_flipped_bit_and_every_cut_is_noticed(files: Paths) -> None:
    build(files)
    numbers = np.random.default_rng(0)
    for file in sorted(files["index"].iterdir()):
        whole = file.read_bytes()
        times = file.stat()
        damaged = [whole[: len(whole) // 2], b""]
        for place in numbers.integers(0, len(whole), 25):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << int(numbers.integers(8))
            damaged.append(bytes(flipped))
        for bytes_ in damaged:
            file.write_bytes(bytes_)
            os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
            if file.name == "manifest.json" and _says_the_same(bytes_, whole):
                continue
            with pytest.raises((IntegrityError, ConfigError)):
                open_saved(files["index"], MODEL)
        file.write_bytes(whole)
    assert open_saved(files["index"], MODEL).index.ntotal == 2_400


def _says_the_same(one: bytes, other: bytes) -> bool:
    """Whether only a blank between two words changed."""
    try:
        return json.loads(one) == json.loads(other)
    except ValueError:
        return False


def test_a_vector_of_zeros_has_a_cosine_of_0_with_every_query(files: Paths) -> None:
    np.save(files["v"], np.diag([1.0, 0, -1] + [0.0] * 13).astype(np.float32)[:3])
    np.save(files["q"], np.eye(1, 16, dtype=np.float32))
    files["ids"].write_text('["a", "b", "c"]')
    build(files, "--metric", "cosine")
    scores, rows = search(files)
    assert (rows[0, 0], scores[0, :3].tolist()) == (0, [1, 0, 0])


def test_broken_vectors_and_ids_that_do_not_fit_are_refused_and_leave_nothing(
    files: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The broken one is not in the first block.
    monkeypatch.setattr(faiss_index, "_BLOCK_ROWS", 1_000)
    vectors = np.load(files["v"])
    vectors[1_234, 3] = np.nan
    np.save(files["v"], vectors)
    with pytest.raises(DataError) as caught:
        build(files)
    assert caught.value.rows == [1_234]
    for ids, message in (('["a"]', "1 ids"), ("{}", "no list of ids"), ("[1]", "each a string")):
        files["ids"].write_text(ids)
        with pytest.raises(DataError, match=message):
            build(files)
    files["ids"].write_text(json.dumps(["twice"] * 2_400))
    with pytest.raises(DataError, match="twice"):
        build(files)
    assert not [name for name in os.listdir(tmp_path) if "index" in name]


def test_an_index_is_replaced_whole_and_a_folder_of_something_else_is_left_alone(
    files: Paths,
) -> None:
    build(files)
    build(files, "--kind", "hnsw")
    assert open_saved(files["index"], MODEL).manifest.kind == "hnsw"
    files["out"].mkdir()
    files["index"] = files["out"]
    (files["out"] / "mine.txt").write_text("dear")
    with pytest.raises(ConfigError, match="holds no index"):
        build(files)
    assert (files["out"] / "mine.txt").read_text() == "dear"


def test_without_faiss_the_way_to_it_is_said(files: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(EnvironmentFault) as caught:
        build(files)
    assert "quarry setup --extra faiss" in str(caught.value.hint)


def test_the_check_says_whether_faiss_is_there(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert runtime(["index", "check"]) == 0
    assert json.loads(capfd.readouterr().out)["faiss"]
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert runtime(["index", "check"]) == EXIT_STATUS["ENVIRONMENT"]
    assert "\n  quarry setup --extra faiss" in capfd.readouterr().err


def test_the_command_starts_without_torch_and_says_what_it_made(files: Paths) -> None:
    arguments = ["--vectors", str(files["v"]), "--ids", str(files["ids"]), "--kind", "ivf"]
    arguments += ["--fingerprint", MODEL, "--out", str(files["index"])]
    code = (
        "import sys; from quarry_runtime.__main__ import main; status = main(sys.argv[1:]);"
        " assert 'torch' not in sys.modules; sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "index", "build", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(RUNTIME)},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert said == {"rowCount": 2400, "dimension": 16, "kind": "ivf", "nlist": 61, "nprobe": 8}


def test_building_twice_gives_the_same_answers(files: Paths) -> None:
    for kind in ("ivf", "hnsw"):
        found: list[Callable[..., Any] | Any] = []
        for _ in range(2):
            build(files, "--kind", kind)
            found.append([part.tobytes() for part in search(files)])
        assert found[0] == found[1]


def test_queries_go_in_blocks(files: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    build(files)
    whole = search(files)
    monkeypatch.setattr(faiss_index, "_BLOCK_ROWS", 7)
    for one, other in zip(whole, search(files), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
