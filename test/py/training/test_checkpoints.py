"""When a checkpoint counts, whatever moment its writer was stopped at."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest

from quarry_runtime.errors import IntegrityError
from quarry_runtime.training import checkpoints

RECORD = {"negatives_scope": 16, "queries_per_step": 8, "seed": 7, "world_size": 1}


class Killed(BaseException):
    """Stands for SIGKILL at a chosen system call."""


def write(output: Path, step: int) -> Path:
    folder = output / f"checkpoint-{step}"
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * step)
    (folder / "1_Pooling" / "config.json").write_text("{}")
    return folder


def kill_at(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, call: int) -> None:
    real, left = getattr(owner, name), call

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        return real(*arguments, **options)

    monkeypatch.setattr(owner, name, counted)


def complete(output: Path) -> list[str]:
    return sorted(
        folder.name for folder in output.iterdir() if (folder / checkpoints.MANIFEST).exists()
    )


def test_a_sealed_checkpoint_names_every_file_with_size_and_hash(
    tmp_path: Path,
) -> None:
    folder = write(tmp_path, 3)
    checkpoints.seal(folder, step=3, **RECORD)
    manifest = checkpoints.verify(folder, tmp_path)
    assert [(file.path, file.bytes) for file in manifest.files] == [
        ("1_Pooling/config.json", 2),
        ("model.safetensors", 768),
    ]
    assert (manifest.step, manifest.negatives_scope) == (3, 16)


@pytest.mark.parametrize("call", range(12))
def test_a_kill_at_any_sync_leaves_no_manifest_or_a_whole_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    folder = write(tmp_path, 3)
    with monkeypatch.context() as patch:
        kill_at(patch, os, "fsync", call)
        with contextlib.suppress(Killed):
            checkpoints.seal(folder, step=3, **RECORD)
    if (folder / checkpoints.MANIFEST).exists():
        assert checkpoints.verify(folder, tmp_path).step == 3
    else:
        with pytest.raises(IntegrityError):
            checkpoints.verify(folder, tmp_path)


def test_all_of_a_checkpoint_is_on_the_disk_before_the_manifest_has_its_name(
    tmp_path: Path, written_down: list[str]
) -> None:
    folder = write(tmp_path, 3)
    unnamed = folder / f".{checkpoints.MANIFEST}.{os.getpid()}.quarry-tmp"
    everything = [folder, *folder.rglob("*"), unnamed]
    checkpoints.seal(folder, step=3, **RECORD)
    at = written_down.index(f"rename {folder / checkpoints.MANIFEST}")
    assert {f"sync {path}" for path in everything} == set(written_down[:at])
    assert written_down[at + 1 :] == [f"sync {folder}", f"sync {tmp_path}"]


@pytest.mark.parametrize("where", ["flip", "cut", "missing"])
def test_a_damaged_file_is_named_before_anything_is_loaded(tmp_path: Path, where: str) -> None:
    folder = write(tmp_path, 3)
    checkpoints.seal(folder, step=3, **RECORD)
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    if where == "missing":
        weights.unlink()
    else:
        content[100] ^= 1
        weights.write_bytes(content if where == "flip" else content[:-1])
    with pytest.raises(IntegrityError, match=r"model\.safetensors") as caught:
        checkpoints.verify(folder, tmp_path)
    assert "Delete" in (caught.value.hint or "")


def test_optimiser_state_of_another_run_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "theirs", 3)
    checkpoints.seal(folder, step=3, **RECORD)
    (tmp_path / "ours").mkdir()
    with pytest.raises(IntegrityError, match="not a checkpoint of this run"):
        checkpoints.verify(folder, tmp_path / "ours")


def test_rotation_keeps_the_newest_complete_ones_and_never_counts_a_half_written_one(
    tmp_path: Path,
) -> None:
    for step in (2, 9, 10):
        checkpoints.seal(write(tmp_path, step), step=step, **RECORD)
    write(tmp_path, 11)
    checkpoints.rotate(tmp_path, 2)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == [
        "checkpoint-10",
        "checkpoint-11",
        "checkpoint-9",
    ]
    checkpoints.rotate(tmp_path, 0)
    assert complete(tmp_path) == ["checkpoint-10"]
    checkpoints.rotate(tmp_path, None)
    assert complete(tmp_path) == ["checkpoint-10"]


@pytest.mark.parametrize(("name", "calls"), [("unlink", range(6)), ("rmdir", range(3))])
def test_a_kill_at_any_moment_of_a_rotation_leaves_the_newest_and_no_false_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, calls: range
) -> None:
    for call in calls:
        output = tmp_path / str(call)
        for step in (2, 4):
            checkpoints.seal(write(output, step), step=step, **RECORD)
        with monkeypatch.context() as patch:
            kill_at(patch, os, name, call)
            with contextlib.suppress(Killed):
                checkpoints.rotate(output, 1)
        assert "checkpoint-4" in complete(output)
        for found in complete(output):
            checkpoints.verify(output / found, output)
