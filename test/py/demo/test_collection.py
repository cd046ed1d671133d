"""The embedded collection as users get it: BEIR files, disjoint splits, the same on every build."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from quarry_runtime.demo import answer, build, split_of
from quarry_runtime.errors import EnvironmentFault


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo")
    build(out)
    return out


def read(path: Path) -> dict[str, str]:
    lines = path.read_text("utf-8").splitlines()
    return {record["_id"]: record["text"] for record in map(json.loads, lines)}


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def top_modules(folder: Path, split: str) -> set[str]:
    return {name.split(".")[0] for name in read(folder / split / "corpus.jsonl")}


def test_train_and_held_out_modules_are_disjoint(folder: Path) -> None:
    train, heldout = top_modules(folder, "train"), top_modules(folder, "heldout")
    assert train
    assert heldout
    assert train.isdisjoint(heldout)
    assert all(split_of(module) == "train" for module in train)


def test_there_are_about_four_thousand_pairs_and_a_quarter_is_held_out(folder: Path) -> None:
    counts = json.loads((folder / "manifest.json").read_text("utf-8"))["pairs"]
    total = counts["train"] + counts["heldout"]
    assert 3_000 < total < 6_000
    assert 0.2 < counts["heldout"] / total < 0.3
    if sys.version_info[:3] == (3, 11, 7):
        assert counts == {"train": 2867, "heldout": 1016}


@pytest.mark.parametrize(("split", "qrels"), [("train", "train.tsv"), ("heldout", "test.tsv")])
def test_each_query_has_its_one_passage_and_no_docstring_text_is_left_in_it(
    folder: Path, split: str, qrels: str
) -> None:
    passages = read(folder / split / "corpus.jsonl")
    queries = read(folder / split / "queries.jsonl")
    header, *lines = (folder / split / "qrels" / qrels).read_text("utf-8").splitlines()
    assert header == "query-id\tcorpus-id\tscore"
    judged = [line.split("\t") for line in lines]
    assert {query for query, _, _ in judged} == set(queries)
    assert {passage for _, passage, _ in judged} == set(passages)
    for query, passage, score in judged:
        assert (query, score) == (f"q:{passage}", "1")
        code = " ".join(passages[passage].split()).casefold()
        assert " ".join(queries[query].split()).casefold() not in code
        assert len(queries[query].split()) >= 5


def test_no_query_and_no_passage_stands_twice_in_either_split(folder: Path) -> None:
    for name in ("corpus.jsonl", "queries.jsonl"):
        texts = [*read(folder / "train" / name).values(), *read(folder / "heldout" / name).values()]
        assert len(texts) == len(set(texts))


def test_two_builds_are_equal_and_leave_nothing_else_behind(tmp_path: Path) -> None:
    source = Path(json.__file__).parents[1] / "email"
    once, again = (build(tmp_path / name, source) for name in ("once", "again"))
    assert once == again
    assert min(once["pairs"].values()) > 0
    assert files(tmp_path / "once") == files(tmp_path / "again")
    assert len(files(tmp_path / "once")) == 7


def test_the_command_makes_the_folder_that_it_finds_whole_the_next_time(folder: Path) -> None:
    before = files(folder)
    pairs = answer(["--out", str(folder)])
    assert min(pairs.values()) > 0
    assert files(folder) == before


def test_a_second_call_leaves_a_whole_collection_alone_and_mends_a_broken_one(
    tmp_path: Path,
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    body = "return [value for value in values if value > limit and value not in excluded_values]"
    for name in ("alpha", "beta", "gamma", "delta", "epsilon"):
        docstring = f'"""Keep what {name} finds large enough."""'
        text = f"def {name}(values):\n    {docstring}\n    {body}  # {name}\n"
        (source / f"{name}.py").write_text(text)
    out = tmp_path / "out"
    first = build(out, source)
    corpus = out / "train" / "corpus.jsonl"
    untouched = corpus.stat().st_mtime_ns
    assert build(out, source) == first
    assert corpus.stat().st_mtime_ns == untouched
    whole = files(out)
    corpus.write_text("torn")
    assert build(out, source) == first
    assert files(out) == whole
    (out / "manifest.json").write_text('{"origin"')
    build(out, source)
    assert files(out) == whole


def test_a_folder_that_cannot_be_made_is_a_fault_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quarry_runtime.demo.harvest", lambda _: [])
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="Not a directory") as caught:
        answer(["--out", str(tmp_path / "file" / "below")])
    assert "QUARRY_CACHE" in str(caught.value.hint)
