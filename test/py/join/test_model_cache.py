"""Models over the wire: names cannot escape, bytes are those announced, one worker fetches for all."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import string
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_runtime.errors import EnvironmentFault, IntegrityError, ProtocolError, Reconnected
from quarry_runtime.guard.model_cache import SUFFIXES, CachedModel, Part, check_names
from quarry_runtime.model_files import Drained, ModelFiles
from quarry_runtime.protocol.messages import (
    Drain,
    Fetch,
    Files,
    Log,
    ModelFile,
    Piece,
    Ping,
)

CONTENT = {
    "config.json": b"{}",
    "model.safetensors": bytes(range(256)) * 40,
    "1_Pooling/config.json": b'{"a": 1}',
}


def listed(content: dict[str, bytes] = CONTENT) -> list[ModelFile]:
    return [
        ModelFile(path=path, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        for path, data in content.items()
    ]


class Sender:
    """The orchestrator's half: answers each fetch with at most `limit` bytes."""

    def __init__(self, content: dict[str, bytes] = CONTENT, limit: int = 1000) -> None:
        self.content, self.limit = content, limit
        self.progress = 0
        self.inbox: deque[Any] = deque()
        self.fetched: list[tuple[str, int]] = []
        self.logs: list[str] = []

    def send(self, message: Any, frames: Any = ()) -> None:
        del frames
        if isinstance(message, Log):
            self.logs.append(message.text)
            return
        assert isinstance(message, Fetch)
        self.fetched.append((message.file, message.offset))
        data = self.content[message.file][message.offset : message.offset + self.limit]
        self.inbox.append((Piece(file=message.file, offset=message.offset), [memoryview(data)]))

    def receive(self, timeout: float | None = None) -> tuple[Any, list[memoryview]]:
        if not self.inbox:
            assert timeout is not None, "waits for a message that nobody sends"
            raise TimeoutError
        item = self.inbox.popleft()
        if isinstance(item, Exception):
            raise item
        return item


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QUARRY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def bring(sender: Sender, files: list[ModelFile], checkpoint: str = "/not/here") -> Path:
    return ModelFiles(sender, deque()).bring(Files(checkpoint=checkpoint, files=files))


def contents(folder: Path) -> dict[str, bytes]:
    files = [
        file for file in folder.rglob("*") if file.is_file() and file.name not in (".lock", ".use")
    ]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_files_come_piece_by_piece_and_only_once(cache: Path) -> None:
    sender = Sender()
    folder = bring(sender, listed())
    assert contents(folder) == CONTENT
    assert folder.parent == cache / "models"
    assert ("model.safetensors", 3000) in sender.fetched
    assert sender.progress == len(sender.fetched)
    again = Sender()
    assert bring(again, listed()) == folder
    assert again.fetched == []


def test_a_model_that_this_machine_has_is_used_where_it_lies(cache: Path, tmp_path: Path) -> None:
    place = tmp_path / "model"
    for name, data in CONTENT.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    assert bring(Sender(), listed(), str(place)) == place
    assert not (cache / "models").exists()
    (place / "config.json").write_bytes(b"[]")
    assert bring(Sender(), listed(), str(place)) != place


@pytest.mark.parametrize(
    "name",
    [
        "../config.json", "/etc/x.json", "a/../../x.json", "a//x.json", "./x.json", ".x.json",
        "a/.ssh/x.json", "x.bin", "x.pt", "x.pkl", "model.py", "x.json/", "", "a\\x.json",
        "a\0.json", "a/b/c/d/e.json", "x.JSON ", "~/x.json", "x.json.part", "-x.json",
    ],
)  # fmt: skip
def test_a_name_that_could_escape_or_run_is_refused(cache: Path, name: str) -> None:
    file = listed({"x.json": b"{}"})[0]
    with pytest.raises(IntegrityError, match="is refused"):
        bring(Sender(), [ModelFile(path=name or "x", bytes=file.bytes, sha256=file.sha256)])
    assert not cache.exists()


@given(st.text(string.printable + "./\\", min_size=1, max_size=40))
def test_whatever_name_passes_stays_inside(name: str) -> None:
    file = ModelFile(path=name, bytes=0, sha256="0" * 64)
    try:
        check_names([file])
    except IntegrityError:
        return
    inside = (Path("/cache/model") / name).resolve()
    assert inside.is_relative_to("/cache/model")
    assert inside.name.endswith(SUFFIXES)


def test_names_that_a_file_system_may_confuse_are_refused() -> None:
    with pytest.raises(IntegrityError, match="twice"):
        check_names(listed({"a.json": b"", "A.json": b""}))


def test_other_bytes_than_announced_never_get_a_name(cache: Path) -> None:
    changed = {**CONTENT, "model.safetensors": b"\xff" + CONTENT["model.safetensors"][1:]}
    with pytest.raises(IntegrityError, match="other bytes"):
        bring(Sender(changed), listed())
    assert [file.name for file in cache.rglob("model.safetensors*")] == []


def test_more_bytes_than_announced_are_refused() -> None:
    longer = {**CONTENT, "config.json": b"{}" * 10}
    with pytest.raises(IntegrityError, match="20 bytes at 0"):
        bring(Sender(longer), listed())


def test_a_piece_that_nobody_asked_for_is_refused() -> None:
    sender = Sender()
    sender.inbox.append((Piece(file="config.json", offset=1), [memoryview(b"{")]))
    with pytest.raises(ProtocolError, match="nobody asked for"):
        bring(sender, listed())


def test_a_lost_connection_leaves_what_came_for_the_next_try() -> None:
    sender = Sender(limit=4096)
    send = sender.send

    def lose(message: Any, frames: Any = ()) -> None:
        if getattr(message, "offset", 0) == 8192:
            sender.inbox.append(Reconnected())
        else:
            send(message, frames)

    sender.send = lose  # type: ignore[method-assign]
    with pytest.raises(Reconnected):
        bring(sender, listed())
    again = Sender(limit=4096)
    assert contents(bring(again, listed())) == CONTENT
    assert [offset for name, offset in again.fetched if name == "model.safetensors"] == [8192]


def test_damage_in_what_was_left_is_found_and_fetched_again() -> None:
    cached = CachedModel.of(listed())
    (cached.folder / "model.safetensors.part").write_bytes(b"\0" * 5000)
    sender = Sender(limit=10_240)
    assert contents(bring(sender, listed())) == CONTENT
    offsets = [offset for name, offset in sender.fetched if name == "model.safetensors"]
    assert offsets == [5000, 0]


def test_a_folder_that_is_pruned_while_it_is_taken_is_made_anew(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock
    pruned: list[Path] = []

    def prune_first(file: Any, operation: int) -> None:
        if not pruned:
            pruned.extend((cache / "models").iterdir())
            shutil.rmtree(pruned[0])
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", prune_first)
    folder = bring(Sender(), listed())
    assert pruned == [folder]
    assert contents(folder) == CONTENT
    assert (folder / ".use").read_text() == "/not/here"


def test_a_link_in_the_place_of_a_part_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"")
    cached = CachedModel.of(listed())
    (cached.folder / "config.json.part").symlink_to(victim)
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        bring(Sender(), listed())
    assert victim.read_bytes() == b""


def test_while_another_worker_fetches_this_one_waits_and_stays_alive() -> None:
    sender = Sender()
    cached = CachedModel.of(listed())
    receive: Callable[..., Any] = sender.receive
    waits = 0
    with cached.lock() as is_ours:
        assert is_ours

        def work_of_another(timeout: float | None = None) -> Any:
            nonlocal waits
            waits += 1
            if waits == 2:
                for file in listed():
                    part = Part(cached, file)
                    part.add(memoryview(CONTENT[file.path]))
                    part.commit()
                    part.close()
            return receive(timeout)

        sender.receive = work_of_another  # type: ignore[method-assign]
        assert contents(bring(sender, listed())) == CONTENT
    assert sender.fetched == []
    assert sender.progress == 2


def test_other_messages_wait_and_a_drain_ends_the_fetching() -> None:
    sender = Sender()
    aside: deque[Any] = deque()
    sender.inbox.append((Ping(), []))
    ModelFiles(sender, aside).bring(Files(checkpoint="/not/here", files=listed()))
    assert [*aside] == [(Ping(), [])]
    sender = Sender()
    sender.inbox.append((Drain(), []))
    other = listed({"config.json": b"other"})
    with pytest.raises(Drained):
        ModelFiles(sender, deque()).bring(Files(checkpoint="/not/here", files=other))


def test_a_full_disk_is_told_before_the_first_byte(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10})())
    sender = Sender()
    with pytest.raises(EnvironmentFault, match="10 free"):
        bring(sender, listed())
    assert sender.fetched == []
