"""Files and folders that are whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from quarry_runtime.guard.durable import whole_file, whole_folder


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
