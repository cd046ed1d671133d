"""The Python parts of the benchmarks, each in its smallest form, in this process: it has imported torch."""

from __future__ import annotations

import contextlib
import io
import json
import os
import runpy
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from quarry_runtime.modeling import registry
from quarry_runtime.modeling.losses.inputs import LossInputs

BENCH = Path(__file__).parents[3] / "scripts" / "bench"
WORDS = ["amber", "river", "stone", "cloud", "violet", "copper", "forest"]

Run = Callable[..., list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def leave_nothing() -> Iterator[None]:
    """What scripts set and import: another folder's have neighbours of the same names."""
    threads = torch.get_num_threads()
    with mock.patch.dict(os.environ):
        yield
    torch.set_num_threads(threads)
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(BENCH)):
            del sys.modules[name]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a script with arguments; gives the JSON lines that it prints."""

    def start(name: str, *args: object) -> list[dict[str, Any]]:
        script = BENCH / name
        monkeypatch.syspath_prepend(script.parent)
        monkeypatch.setattr(sys, "argv", [str(script), *map(str, args)])
        runpy.run_path(str(script), run_name="__main__")
        lines = capsys.readouterr().out.splitlines()
        return [json.loads(line) for line in lines if line.startswith('{"')]

    return start


@pytest.fixture
def first_losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """What each of those told who came to a gate; it lets all of them run to their end."""
    losses: list[float] = []
    path = tmp_path / "gate"
    monkeypatch.setenv("QUARRY_BENCH_GATE", str(path))

    def open_gate(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, connection.makefile() as lines:
                    losses.append(json.loads(lines.readline())["loss"])
                    connection.sendall(b'{"steps": -1}\n')

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        threading.Thread(target=open_gate, args=[listener], daemon=True).start()
        yield losses
        listener.shutdown(socket.SHUT_RDWR)


SMALL = ["--json", "--threads", 1, "--budget", 0, "--block", 256, "--queries", 1, 2, "--passages"]


@pytest.mark.parametrize("script", ["topk", "score"])
def test_exact_search_is_timed_with_whoever_is_there(script: str, run: Run) -> None:
    *told, end = run(f"search/{script}.py", *SMALL, 600, "--k", 10)
    assert end == {"event": "end"}
    assert {each["part"] for each in told} == {script}
    seconds = [each["seconds"] for each in told if "seconds" in each]
    assert len(seconds) == 2
    assert {"quarry", "torch"} <= seconds[0].keys()


def test_indexes_are_compared_with_exact_search(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("nfcorpus", "scifact"):
        (tmp_path / name / "qrels").mkdir(parents=True)
        texts = [{"_id": str(row), "text": " ".join(WORDS[row % 5 :])} for row in range(10)]
        lines = "".join(json.dumps(text) + "\n" for text in texts)
        for file in ("corpus.jsonl", "queries.jsonl"):
            (tmp_path / name / file).write_text(lines)
        (tmp_path / name / "qrels" / "test.tsv").write_text("query\tcorpus\tscore\n0\t1\t1\n")
    monkeypatch.setenv("QUARRY_TEST_DATA", str(tmp_path))
    monkeypatch.syspath_prepend(BENCH / "search")
    import vectors  # pyright: ignore[reportMissingImports]

    monkeypatch.setattr(vectors, "CACHE", tmp_path)
    *told, end = run("search/crossover.py", *SMALL, 400)
    assert end == {"event": "end"}
    assert [each["kind"] for each in told if "kind" in each] == ["flat", "ivf", "hnsw"]


def test_peers_encode_the_texts_of_a_request(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = tmp_path / "texts.json"
    texts.write_text(json.dumps([{"_id": "a", "title": "", "text": word} for word in WORDS]))
    asked = [
        json.dumps({"peer": peer, "texts": str(texts), "batch": 4, "unit": 5})
        for peer in ("loop", "sentence-transformers")
    ]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(asked)))
    assert [each.keys() for each in run("search/encode_peers.py", 1)] == [{"seconds"}] * 2


def test_rivals_train_on_equal_batches(run: Run, first_losses: list[float], tmp_path: Path) -> None:
    model, groups, spec = (tmp_path / name for name in ("model", "groups.jsonl", "spec.json"))
    run("train/models.py", "stub", model)
    texts = [{"query": word, "passages": [word * 2, "a", "b"]} for word in WORDS[:4]]
    groups.write_text("".join(json.dumps(each) + "\n" for each in texts))
    options = {"model": str(model), "groups": str(groups), "folder": str(tmp_path)}
    options |= {"queries": 2, "queryLength": 8, "passageLength": 8, "steps": 2, "loaders": 0}
    options |= {"device": "cpu", "bf16": False, "temperature": 0.05, "learningRate": 2e-5}
    spec.write_text(json.dumps(options))
    rivals = ["loop", "tokenised-loop", "trainer"]
    for rival in rivals:
        run("train/rivals.py", rival, spec)
    assert first_losses == pytest.approx([first_losses[0]] * len(rivals))


@pytest.mark.usefixtures("leave_no_names")
def test_quarrys_loss_tells_the_gate_what_it_is(
    first_losses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whatever the plugin adds for itself.
    monkeypatch.setattr(sys, "path", [*sys.path])
    registry.load_plugins([str(BENCH / "train" / "gated_loss.py")])
    gated, plain = (
        entry.factory(entry.parse({"temperature": 0.05}))
        for entry in (registry.find("loss", name) for name in ("gated_infonce", "infonce"))
    )
    labels, counts = torch.tensor([[1.0, 0.0]] * 2), torch.tensor([2, 2])
    mask = torch.zeros((2, 4), dtype=torch.bool)
    batch = LossInputs(torch.eye(2, 3), torch.eye(4, 3), torch.tensor([0, 2]), mask, labels, counts)
    gated(batch)
    assert first_losses == [pytest.approx(plain(batch).item())]
