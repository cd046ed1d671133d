"""What a process imports before it forks others, so that they need not."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from quarry_runtime.guard.imports import shorten_imports

#: What every task of a worker needs; what only some need is left to them.
WORKER = (
    "pyarrow",
    "transformers.masking_utils",
    "transformers.modeling_layers",
    "transformers.modeling_utils",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.bert.modeling_bert",
    "transformers.tokenization_utils_tokenizers",
    "quarry_runtime.connection",
    "quarry_runtime.handlers.encode",
    "quarry_runtime.handlers.search",
    "quarry_runtime.loop",
    "quarry_runtime.modeling.encoders.auto",
    "quarry_runtime.modeling.load",
)
#: What every rank needs, and torchrun's agent.
RANK = (
    "torch.distributed.run",
    "transformers.models.bert.modeling_bert",
    "quarry_runtime.modeling.encoders.auto",
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
        _compile_old_names()
    except Exception:
        traceback.print_exc()
    finally:
        gc.freeze()
        gc.enable()


def _compile_old_names() -> None:
    """transformers compiles patterns of the weights' old names, a thousand for all models there are,
    before a process loads its first one: a third of the CPU time in which a fork has its model.
    """
    conversions = sys.modules.get("transformers.conversion_mapping")
    look_up = getattr(conversions, "get_checkpoint_conversion_mapping", None)
    if look_up is not None:
        look_up("")
