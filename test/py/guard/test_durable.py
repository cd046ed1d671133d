"""Files and folders that are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from quarry_runtime.guard.durable import whole_file, whole_folder
from quarry_runtime.training.checkpoints import seal


def test_a_folder_appears_once_it_is_whole_and_takes_the_place_of_an_earlier_one(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "new" / "model"
    for text in ("first", "second"):
        with whole_folder(folder) as temporary:
            (temporary / "inside").mkdir()
            (temporary / "inside" / text).write_text(text)
            assert not (folder / "inside" / text).exists()
        assert [path.name for path in (folder / "inside").iterdir()] == [text]
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "mine").write_text("dear")

    def fail() -> None:
        with whole_folder(folder) as temporary:
            (temporary / "half").write_text("half")
            raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (folder / "mine").read_text() == "dear"


def test_all_of_a_folder_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, written_down: list[str]
) -> None:
    with whole_folder(tmp_path / "model") as temporary:
        (temporary / "inside").mkdir()
        (temporary / "inside" / "file").write_text("dear")
    parts = [temporary, temporary / "inside", temporary / "inside" / "file"]
    *before, renamed, after = written_down
    assert sorted(before) == sorted(f"sync {path}" for path in parts)
    assert (renamed, after) == (f"rename {tmp_path / 'model'}", f"sync {tmp_path}")


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_weights_are_as_open_as_the_folder_that_holds_them(
    tmp_path: Path, umask: int, mode: int
) -> None:
    before = os.umask(umask)
    try:
        with whole_folder(tmp_path / "model") as temporary:
            save_file({"a": np.zeros(2)}, temporary / "model.safetensors")
        checkpoint = tmp_path / "checkpoint-3"
        checkpoint.mkdir()
        save_file({"a": np.zeros(2)}, checkpoint / "model.safetensors")
        seal(checkpoint, step=3, negatives_scope=1, queries_per_step=1, seed=0, world_size=1)
    finally:
        os.umask(before)
    for folder in (tmp_path / "model", checkpoint):
        assert (folder / "model.safetensors").stat().st_mode & 0o777 == mode


def test_a_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, written_down: list[str]
) -> None:
    with whole_file(tmp_path / "file") as temporary:
        temporary.write_text("dear")
    assert written_down == [
        f"sync {temporary}",
        f"rename {tmp_path / 'file'}",
        f"sync {tmp_path}",
    ]
