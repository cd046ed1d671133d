"""What ranks and workers are forked from must be fit to be forked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

RUNTIME = str(Path(__file__).parents[3] / "py_runtime")
LOOK = """
import gc, json, re, sys, threading
from quarry_runtime import preload
compiled = re.compile
for name in ("WORKER", "RANK"):
    preload.preload(getattr(preload, name))
    import torch
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping
    re.compile = None
    names = get_checkpoint_conversion_mapping("llava")
    re.compile = compiled
    print(json.dumps({
        "hasOldNames": len(names) > 0,
        "threads": threading.active_count(),
        "isOnGpu": torch.cuda.is_initialized(),
        "isFrozen": gc.get_freeze_count() > 100_000 and gc.isenabled(),
        "hasModels": "transformers.modeling_utils" in sys.modules,
        "hasTrainer": "transformers.trainer" in sys.modules,
    }))
"""


def test_a_process_to_be_forked_has_all_imports_no_thread_and_no_gpu() -> None:
    # A thread would not be in the forks, but its locks would; a driver of a GPU cannot be forked at all.
    environment = {**os.environ, "PYTHONPATH": RUNTIME}
    done = subprocess.run(
        [sys.executable, "-c", LOOK], env=environment, capture_output=True, text=True, check=True
    )
    assert "Traceback" not in done.stderr
    worker, rank = (json.loads(line) for line in done.stdout.splitlines()[-2:])
    fit = {"hasOldNames": True, "threads": 1, "isOnGpu": False, "isFrozen": True, "hasModels": True}
    assert worker == fit | {"hasTrainer": False}
    assert rank == fit | {"hasTrainer": True}


#: torch of a machine with a GPU; _lazy_init is where it would speak to the driver.
LOOK_WITH_GPU = """
import importlib.util, json, sys
import torch, torch.cuda
torch.version.cuda = "13.0"
torch.cuda.is_available = lambda: True
torch.cuda.device_count = lambda: 1
spoken = []
def speak():
    spoken.append(True)
    raise RuntimeError("no driver")
torch.cuda._lazy_init = speak
from quarry_runtime.preload import RANK, WORKER, preload
preload(WORKER)
preload(RANK)
print(json.dumps({
    "isSpoken": bool(spoken),
    "isInstalled": importlib.util.find_spec("bitsandbytes") is not None,
    "isImported": "bitsandbytes" in sys.modules,
    "hasAll": set(WORKER + RANK) <= set(sys.modules),
}))
"""


def test_its_imports_do_not_speak_to_a_gpu_where_bitsandbytes_is_installed() -> None:
    environment = {**os.environ, "PYTHONPATH": RUNTIME}
    command = [sys.executable, "-c", LOOK_WITH_GPU]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "isSpoken": False,
        "isInstalled": True,
        "isImported": False,
        "hasAll": True,
    }
