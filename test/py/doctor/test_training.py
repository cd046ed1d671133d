"""The first loss, the temperature and the probe: right set-ups pass, broken ones are told apart."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from quarry_runtime.doctor import probe
from quarry_runtime.doctor.command import main
from quarry_runtime.doctor.temperature import lowest_loss
from quarry_runtime.protocol.codec import encode
from quarry_runtime.protocol.messages import LossSpec, MicroBatch, TrainStep, TrainTask
from quarry_runtime.protocol.tensor import pack

BROKEN = str(Path(__file__).parent / "broken_losses.py")
QUERIES = ["amber river", "violet copper", "stone and cloud", "winter forest"]
#: Each query's positive, which shares its words, and a negative that shares none.
PASSAGES = [
    text
    for positive, negative in zip(
        [
            "the amber river flows",
            "violet copper wires",
            "a stone under a cloud",
            "snow in the winter forest",
        ],
        ["9 8 7", "zzz xyz", "1 2 3 4", "qqq"],
        strict=True,
    )
    for text in (positive, negative)
]


def packed(queries: Sequence[str], passages: Sequence[str]) -> bytes:
    """A micro-batch as the orchestrator writes it into a file."""
    count, per_query = len(queries), len(passages) // len(queries)
    labels = np.tile(np.eye(1, per_query, dtype=np.float32), (count, 1))
    tensors = [
        np.arange(count, dtype=np.int32) * per_query,
        np.zeros((count, len(passages)), np.uint8),
        labels,
        np.full(count, per_query, np.int32),
        np.zeros(count, np.int32),
    ]
    specs, data = zip(*(pack(tensor, 3 + n) for n, tensor in enumerate(tensors)), strict=True)
    names = ("positive_columns", "mask", "labels", "counts", "sources")
    message = MicroBatch(step=0, micro_step=0, **dict(zip(names, specs, strict=True)))
    frames = encode(message, [table(queries), table(passages), *data])
    parts = [bytes(memoryview(frame).cast("B")) for frame in frames]
    return b"".join(len(part).to_bytes(4, "little") + part for part in parts)


def table(texts: Sequence[str]) -> bytes:
    rows = pa.array(range(len(texts)), pa.int32())
    titles, given = pa.array([""] * len(texts)), pa.array(texts)
    batch = pa.record_batch({"row": rows, "idRank": rows, "title": titles, "text": given})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


@pytest.fixture
def examine(tmp_path: Path, tiny_bert: Path, model_spec: Callable[..., Any]) -> Callable[..., Any]:
    """Runs sections of the doctor and gives its findings by what was looked at."""

    def make(
        *sections: str,
        loss: str = "infonce",
        queries: Sequence[str] = QUERIES,
        passages: Sequence[str] = PASSAGES,
        options: dict[str, Any] | None = None,
        encoder: str = "auto",
        seconds: float = 0.01,
        max_steps: int = 1_000,
        **given: Any,
    ) -> dict[str, Any]:
        model = model_spec(tiny_bert, plugins=[BROKEN], encoder=encoder, dtype="float32", **given)
        (tmp_path / "batch.bin").write_bytes(packed(queries, passages))
        task = TrainTask(
            model=model,
            losses=[
                LossSpec(name=loss, weight=1, sources=[], matryoshka=None, options=options or {})
            ],
            sources=["all"],
            mini_batch_size=None,
            length_groups=None,
            args={"save_steps": 2, "learning_rate": 1e-3},
            output_dir=str(tmp_path / "train"),
            max_steps=max_steps,
            queries_per_rank=len(queries),
            passages_per_query=len(passages) // len(queries),
            accumulation_steps=2,
            seed=1,
            retriever=None,
            eval_steps=None,
            checkpoint_every=None,
            is_evaluating=False,
            resume_from=None,
            is_dropout_on=True,
        )
        work = {
            "sections": list(sections), "device": "cpu", "model": model, "train": task,
            "samples": [], "lossBatches": ["batch.bin"], "probeBatches": ["batch.bin"],
            "probeSeconds": seconds, "batchSize": 4, "encodeSeconds": 0.1,
        }  # fmt: skip
        (tmp_path / "task.json").write_bytes(msgspec.json.encode(work))
        (tmp_path / "answers.jsonl").unlink(missing_ok=True)
        assert main(["--folder", str(tmp_path)]) == 0
        lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
        assert [line["section"] for line in lines if "section" in line] == list(sections)
        return {line["check"]: line for line in lines if "check" in line}

    return make


def test_a_sound_set_up_passes_and_its_loss_lies_between_0_and_equal_scores(
    examine: Callable[..., Any],
) -> None:
    found = examine("loss")
    first = found["loss of the first step"]
    assert first["status"] == "ok"
    assert first["facts"]["columns"] == 8
    assert first["facts"]["equalScores"] == pytest.approx(math.log(8))
    assert 0 < first["facts"]["loss"] < math.log(8) < first["facts"]["mixedUp"]
    assert found["temperature"]["status"] == "ok"


def test_a_loss_that_is_no_number_is_refused(examine: Callable[..., Any]) -> None:
    assert examine("loss", loss="not_a_number")["loss of the first step"]["status"] == "refuse"


def test_a_query_that_is_its_own_answer_is_told(examine: Callable[..., Any]) -> None:
    leaking = [text for query in QUERIES for text in (f" {query.upper()}", "9 8 7")]
    found = examine("loss", passages=leaking)["loss of the first step"]
    assert (found["status"], "4 of 4 queries" in found["seen"]) == ("refuse", True)
    once = examine("loss", passages=[QUERIES[0], *PASSAGES[1:]])["loss of the first step"]
    assert (once["status"], "1 of 4 queries" in once["seen"]) == ("note", True)


def test_a_batch_without_negatives_is_refused(examine: Callable[..., Any]) -> None:
    found = examine("loss", queries=QUERIES[:1], passages=PASSAGES[:1])["loss of the first step"]
    assert (found["status"], "nothing to tell it from" in found["seen"]) == ("refuse", True)


def test_a_loss_that_is_0_whatever_the_pairs_are_is_refused(examine: Callable[..., Any]) -> None:
    found = examine("loss", loss="kl", passages=PASSAGES[::2])["loss of the first step"]
    assert (found["status"], "0 whatever the pairs are" in found["seen"]) == ("refuse", True)


def test_labels_the_wrong_way_round_and_wrong_pairs_are_told(examine: Callable[..., Any]) -> None:
    turned = examine("loss", loss="turned_round")["loss of the first step"]
    assert (turned["status"], "does not tell its positives" in turned["seen"]) == ("note", True)
    shifted = [*PASSAGES[2:], *PASSAGES[:2]]
    wrong = examine("loss", passages=shifted)["loss of the first step"]
    assert (wrong["status"], "worse than equal scores" in wrong["seen"]) == ("note", True)


@pytest.mark.parametrize(
    ("options", "given", "words"),
    [
        ({"temperature": 5.0}, {}, "even perfect vectors"),
        ({"temperature": 1.0}, {}, "even perfect vectors"),
        ({"temperature": 0.001}, {}, "one passage takes all"),
        ({"temperature": 0.05}, {"similarity": "dot", "normalize": False}, "one passage takes all"),
    ],
)
def test_a_temperature_that_does_not_fit_the_vectors_is_noted(
    options: dict[str, Any], given: dict[str, Any], words: str, examine: Callable[..., Any]
) -> None:
    found = examine("loss", options=options, **given)["temperature"]
    assert (found["status"], words in found["seen"]) == ("note", True)


def test_the_lowest_loss_is_that_of_positives_at_1_and_negatives_at_0() -> None:
    # -log(e^(1/t) / (e^(1/t) + 7)) for t = 0.5
    assert lowest_loss(0.5, 8) == pytest.approx(-math.log(math.exp(2) / (math.exp(2) + 7)))


def test_the_probe_trains_really_and_says_what_it_cost(
    examine: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    losses: list[float] = []
    hear = probe._Clock.hear

    def listen(clock: probe._Clock, message: Any) -> None:
        losses.extend([message.loss] if isinstance(message, TrainStep) else [])
        hear(clock, message)

    monkeypatch.setattr(probe._Clock, "hear", listen)
    # A clock that goes on by a second each time that somebody looks at it.
    seconds = itertools.count()
    monkeypatch.setattr(probe, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    facts = examine("probe", seconds=8.0)["probe"]["facts"]
    assert 7 <= facts["steps"] < 1_000
    assert facts["stepSeconds"] > 0
    assert losses[-1] < losses[0]
    assert facts["peakBytes"] > 50_000_000
    assert (facts["queriesPerRank"], facts["microSteps"]) == (4, 2)
    assert facts["tokensPerSecond"] > 0


def test_a_probe_that_sees_the_last_step_ends_and_leaves_no_checkpoint(
    examine: Callable[..., Any], tmp_path: Path
) -> None:
    assert examine("probe", seconds=60.0, max_steps=4)["probe"]["facts"]["steps"] == 4
    assert not list(tmp_path.glob("train/checkpoint-*"))


def test_a_training_that_learns_nothing_is_refused(examine: Callable[..., Any]) -> None:
    found = examine("probe", loss="detached")
    assert (found["learning"]["status"], "gradient" in found["learning"]["seen"]) == (
        "refuse",
        True,
    )
    assert examine("probe", loss="not_a_number")["learning"]["status"] == "refuse"


def test_an_encoder_that_is_frozen_is_refused(examine: Callable[..., Any]) -> None:
    found = examine("probe", encoder="frozen")
    assert next(iter(found.values()))["status"] == "refuse"


def test_memory_that_ends_is_told_as_such(examine: Callable[..., Any]) -> None:
    found = examine("probe", loss="hungry")["probe"]
    assert (found["status"], found["facts"]["isOutOfMemory"]) == ("refuse", True)
    fits = examine("probe", loss="hungry", queries=QUERIES[:2], passages=PASSAGES[:4])["probe"]
    assert (fits["status"], fits["facts"]["queriesPerRank"]) == ("ok", 2)


def test_a_wrong_option_is_a_finding_with_the_hint_that_training_would_give(
    examine: Callable[..., Any],
) -> None:
    found = examine("loss", "probe", options={"temprature": 0.1})
    assert found["loss"]["status"] == "refuse"
    assert found["loss"]["todo"] == "Did you mean temperature?"
