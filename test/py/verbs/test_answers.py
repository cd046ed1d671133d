"""Verbs that answer: one JSON value on stdout, whatever else is printed meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from quarry_runtime.__main__ import ANSWERS, VERBS
from quarry_runtime.errors import EXIT_STATUS

RUNTIME = Path(__file__).parents[3] / "py_runtime"
# The runtime with one more verb.
PROGRAM = """
import ctypes, os, sys, types
import quarry_runtime.__main__ as runtime

def answer(argv):
    print("python")
    os.system("echo shell")
    ctypes.CDLL(None).puts(b"libc")
    return eval(argv[0])

verb = sys.modules["verb"] = types.ModuleType("verb")
verb.answer, runtime.ANSWERS["verb"] = answer, "verb"
sys.exit(runtime.main(sys.argv[1:]))
"""


def say(value: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, "verb", value],
        env={**os.environ, "PYTHONPATH": str(RUNTIME)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_what_libraries_print_is_no_part_of_the_answer() -> None:
    done = say("{'naïve': [1, None]}")
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"naïve": [1, None]}
    assert sorted(done.stderr.split()) == ["libc", "python", "shell"]


@pytest.mark.parametrize("value", ["float('nan')", "1 / 0"])
def test_without_an_answer_nothing_stands_on_stdout(value: str) -> None:
    done = say(value)
    assert (done.returncode, done.stdout) == (EXIT_STATUS["INTERNAL"], "")
    assert "\nINTERNAL: " in f"\n{done.stderr}"


def test_every_verb_is_there_under_its_name() -> None:
    files = {name.replace(".", "/") for name in (VERBS | ANSWERS).values()}
    missing = [
        file
        for file in files
        if not any((RUNTIME / f"{file}{end}").is_file() for end in (".py", "/__init__.py"))
    ]
    assert missing == []
