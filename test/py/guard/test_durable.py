"""Folders that are whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from quarry_runtime.guard.durable import whole_folder


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
