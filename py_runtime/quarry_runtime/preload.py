"""What a process imports before it forks others, so that they need not."""

from __future__ import annotations

import gc
import importlib
import os
import traceback
from collections.abc import Sequence

from quarry_runtime.guard.imports import shorten_imports

#: What every task of a worker needs; what only some need is left to them.
WORKER = (
    "pyarrow",
    "transformers.modeling_utils",
    "quarry_runtime.connection",
    "quarry_runtime.handlers.encode",
    "quarry_runtime.handlers.search",
    "quarry_runtime.loop",
    "quarry_runtime.modeling.load",
)
#: What every rank needs, and torchrun's agent.
RANK = (
    "torch.distributed.run",
    "quarry_runtime.modeling.load",
    "quarry_runtime.training.arguments",
    "quarry_runtime.training.build",
    "quarry_runtime.training.loss_state",
    "quarry_runtime.training.rank",
    "quarry_runtime.training.trainer",
)


def preload(modules: Sequence[str]) -> None:
    """Imports modules and keeps all objects that there are now from this process's collector and
    those of its forks, which would copy their pages; what fails is printed, and met again there.
    """
    # A process that has spoken to a GPU's driver cannot be forked: torch is to count GPUs by NVML,
    # and bitsandbytes, which asks for their kind when it is imported, waits for whoever quantises.
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    shorten_imports()
    gc.disable()
    try:
        for module in modules:
            importlib.import_module(module)
    except Exception:
        traceback.print_exc()
    finally:
        gc.freeze()
        gc.enable()
