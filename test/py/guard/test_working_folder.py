"""Modules that lie in the working folder are not taken for the runtime's or the standard library's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

RUNTIME = Path(__file__).parents[3] / "py_runtime"
#: Each is imported by the runtime, sooner or later.
NAMES = ("random", "dataclasses", "json", "numpy", "torch", "quarry_plugins")


@pytest.mark.parametrize(
    "setting", [{}, {"PYTHONSAFEPATH": "1"}], ids=["by hand", "by the orchestrator"]
)
def test_modules_of_the_working_folder_do_not_run(tmp_path: Path, setting: dict[str, str]) -> None:
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text("open('ran', 'a').write(__name__)")

    environment = {key: os.environ[key] for key in ("PATH",)} | {"PYTHONPATH": str(RUNTIME)}
    ended = subprocess.run(
        [sys.executable, "-m", "quarry_runtime", "compare", "--help"],
        cwd=tmp_path,
        env=environment | setting,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    assert "usage" in ended.stdout + ended.stderr
    assert not (tmp_path / "ran").exists()
