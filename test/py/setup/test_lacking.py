"""An interpreter without Quarry's packages says which it is, where, and what helps; no trace."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from quarry_runtime.errors import to_info

RUNTIME = Path(__file__).parents[3] / "py_runtime"


@pytest.mark.parametrize("verb", ["join", "launch", "worker", "hold", "measure"])
def test_a_verb_of_an_interpreter_without_packages(verb: str) -> None:
    done = subprocess.run(
        # Without the environment's packages, as another machine's system Python.
        [sys.executable, "-S", "-m", "quarry_runtime", verb, "--ticket", "-"],
        env={**os.environ, "PYTHONPATH": str(RUNTIME)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    first, hint = done.stderr.splitlines()
    assert first.startswith(f"ENVIRONMENT: {sys.executable} on {platform.node()} lacks the Python")
    assert "quarry setup" in hint
    assert done.returncode == 4


def test_a_package_that_is_found_missing_later() -> None:
    with pytest.raises(ModuleNotFoundError) as caught:
        __import__("no_such_package.part")
    info = to_info(caught.value)
    assert (info.code, info.is_retryable) == ("ENVIRONMENT", False)
    assert info.message.endswith("lacks the Python package no_such_package.")
    assert to_info(ModuleNotFoundError("x", name="quarry_runtime.x")).code == "INTERNAL"
