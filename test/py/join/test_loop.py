"""The loop of a worker that joined: a lost connection empties its hands, its model comes from where it lies here."""

from __future__ import annotations

import gc
import weakref
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from quarry_runtime.errors import ProtocolError, Reconnected
from quarry_runtime.loop import Loop
from quarry_runtime.model_files import ModelFiles
from quarry_runtime.protocol.messages import (
    Configure,
    Done,
    Drain,
    EncodeTask,
    Files,
    ModelContract,
    ModelFile,
    Piece,
    Ready,
    Unit,
    Welcome,
)


class Peer:
    """Hands out what was put in, in order, and keeps what is sent."""

    def __init__(self, *items: Any) -> None:
        self.items = deque(items)
        self.sent: list[Any] = []
        self.progress = 0

    def send(self, message: Any, frames: Any = ()) -> None:
        del frames
        self.sent.append(message)

    def receive(self, timeout: float | None = None) -> tuple[Any, list[memoryview]]:
        if not self.items:
            assert timeout == 0, "waits for a message that nobody sends"
            raise TimeoutError
        item = self.items.popleft()
        if item == "nothing yet":
            raise TimeoutError
        if isinstance(item, Reconnected):
            raise item
        return item, [memoryview(b"")] if isinstance(item, Unit) else []


class Handler:
    """Answers each unit with its name; its contract names the checkpoint it was given."""

    def __init__(self, task: Any) -> None:
        self.checkpoint = task.model.checkpoint

    def ready(self, credits: int) -> Ready:
        facts: dict[str, Any] = dict.fromkeys(
            ("query_prompt", "passage_prompt", "architecture", "similarity", "fingerprint"), "x"
        )
        facts |= dict.fromkeys(
            ("dimension", "query_max_length", "passage_max_length", "parameter_count"), 1
        )
        model = ModelContract(
            checkpoint=self.checkpoint,
            pooling="mean",
            normalize=True,
            padding_side="right",
            dtype="float32",
            revision=None,
            **facts,
        )
        return Ready(model=model, cross_encoder=None, credits=credits)

    def take(self, *_: Any) -> bool:
        return False

    def prepare(self, *_: Any) -> None:
        return None

    def work(self, message: Unit, *_: Any) -> tuple[Any, list[Any]]:
        return Done(unit=message.unit, attempt=message.attempt, seconds=0.0), []


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARRY_CACHE", str(tmp_path))


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch, model_spec: Callable[..., Any]) -> EncodeTask:
    monkeypatch.setattr("quarry_runtime.loop.open_handler", lambda task, _: Handler(task))
    monkeypatch.setattr("quarry_runtime.loop.look_ahead", lambda _: None)
    return EncodeTask(
        model=model_spec("/there/model"), side="passage", batch_size=1, vector_dtype="float32"
    )


def unit(name: str) -> Unit:
    return Unit(unit=name, attempt=1, row_count=1)


def test_after_a_loss_only_what_comes_then_is_worked_on(task: EncodeTask) -> None:
    before = [Configure(task=task), unit("a"), unit("b"), "nothing yet", unit("c"), Reconnected()]
    after = [Welcome(name="far.0"), Configure(task=task), unit("d"), Drain()]
    peer = Peer(*before, *after)
    Loop(peer, "cpu", 1).run()
    assert [message.unit for message in peer.sent if isinstance(message, Done)] == ["a", "d"]
    assert sum(isinstance(message, Ready) for message in peer.sent) == 2


def test_a_unit_needs_a_configuration_made_after_the_loss(task: EncodeTask) -> None:
    peer = Peer(Configure(task=task), Reconnected(), unit("a"))
    with pytest.raises(ProtocolError, match="cannot take a Unit"):
        Loop(peer, "cpu", 1).run()


def test_the_model_is_read_here_and_named_as_there(
    task: EncodeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        ModelFiles, "_folder_of", lambda _, message: Path("/here") / Path(message.checkpoint).name
    )
    opened: list[str] = []

    def open_here(task: Any, _: Any) -> Handler:
        opened.extend([task.model.checkpoint, task.model.query_checkpoint])
        return Handler(task)

    monkeypatch.setattr("quarry_runtime.loop.open_handler", open_here)
    pair = msgspec.structs.replace(task.model, query_checkpoint="/there/queries")
    files = [Files(checkpoint=f"/there/{name}", files=[]) for name in ("model", "queries")]
    peer = Peer(*files, Configure(task=msgspec.structs.replace(task, model=pair)), Drain())
    Loop(peer, "cpu", 1).run()
    assert opened == ["/here/model", "/here/queries"]
    assert peer.sent[0].model.checkpoint == "/there/model"


def test_a_drain_while_files_come_ends_the_worker(task: EncodeTask) -> None:
    file = ModelFile(path="config.json", bytes=2, sha256="0" * 64)
    peer = Peer(Files(checkpoint="/there/model", files=[file]), Configure(task=task), Drain())
    Loop(peer, "cpu", 1).run()
    assert not any(isinstance(message, Ready) for message in peer.sent)


def test_the_piece_that_was_on_its_way_when_the_drain_came_is_no_fault(task: EncodeTask) -> None:
    file = ModelFile(path="config.json", bytes=2, sha256="0" * 64)
    files = Files(checkpoint="/there/model", files=[file])
    late = [Piece(file="config.json", offset=0), files, Configure(task=task)]
    Loop(Peer(files, Drain(), *late), "cpu", 1).run()


def test_what_it_held_is_free_once_it_is_over_without_a_garbage_collection(
    task: EncodeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[weakref.ref[Handler]] = []

    def open_watched(task: Any, _: Any) -> Handler:
        handler = Handler(task)
        opened.append(weakref.ref(handler))
        return handler

    monkeypatch.setattr("quarry_runtime.loop.open_handler", open_watched)
    gc.disable()
    try:
        Loop(Peer(Configure(task=task), unit("a"), Drain()), "cpu", 1).run()
        assert [handler() for handler in opened] == [None]
    finally:
        gc.enable()
