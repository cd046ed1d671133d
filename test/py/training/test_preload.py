"""What ranks are forked from must be fit to be forked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

RUNTIME = str(Path(__file__).parents[3] / "py_runtime")
LOOK = """
import gc, json, sys, threading
import quarry_runtime.training.preload
import torch
print(json.dumps({
    "threads": threading.active_count(),
    "isOnGpu": torch.cuda.is_initialized(),
    "isFrozen": gc.get_freeze_count() > 100_000 and gc.isenabled(),
    "hasTrainer": "transformers.trainer" in sys.modules,
}))
"""


def test_the_process_that_ranks_are_forked_from_has_all_imports_no_thread_and_no_gpu() -> None:
    # A thread would not be in the forks, but its locks would; a driver of a GPU cannot be forked at all.
    environment = {**os.environ, "PYTHONPATH": RUNTIME, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LOOK], env=environment, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {"threads": 1, "isOnGpu": False, "isFrozen": True, "hasTrainer": True}
