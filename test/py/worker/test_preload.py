"""What ranks and workers are forked from must be fit to be forked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

RUNTIME = str(Path(__file__).parents[3] / "py_runtime")
LOOK = """
import gc, json, os, sys, threading
from quarry_runtime import preload
preload.preload(getattr(preload, sys.argv[1]))
import torch
print(json.dumps({
    "threads": threading.active_count(),
    "isOnGpu": torch.cuda.is_initialized(),
    "isFrozen": gc.get_freeze_count() > 100_000 and gc.isenabled(),
    "hasModels": "transformers.modeling_utils" in sys.modules,
    "hasTrainer": "transformers.trainer" in sys.modules,
}))
"""


@pytest.mark.parametrize("modules", ["WORKER", "RANK"])
def test_a_process_to_be_forked_has_all_imports_no_thread_and_no_gpu(modules: str) -> None:
    # A thread would not be in the forks, but its locks would; a driver of a GPU cannot be forked at all.
    environment = {**os.environ, "PYTHONPATH": RUNTIME, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LOOK, modules],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert "Traceback" not in done.stderr
    assert found == {
        "threads": 1,
        "isOnGpu": False,
        "isFrozen": True,
        "hasModels": True,
        "hasTrainer": modules == "RANK",
    }
