"""What every rank imports, imported once by the fork server of torchrun's agent.

Beside the time this saves memory: the ranks of a machine share the pages of their libraries' objects.
"""

from __future__ import annotations

import gc
import os
import traceback

from quarry_runtime.guard.parent import die_with_parent, name_process

# The ranks hold the pipe by which a fork server learns that nobody needs it any more; they follow its
# death in turn.
die_with_parent()
name_process("quarry-ranks")
# A process that has spoken to a GPU's driver cannot be forked: torch is to count GPUs by NVML.
os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
try:
    gc.disable()
    import quarry_runtime.modeling.load
    import quarry_runtime.training.arguments
    import quarry_runtime.training.build
    import quarry_runtime.training.loss_state
    import quarry_runtime.training.rank
    import quarry_runtime.training.trainer  # noqa: F401
except Exception:
    # A rank meets it again, and can tell the orchestrator of it.
    traceback.print_exc()
finally:
    # What is here stays: no rank's collector is to touch it, and so copy its pages.
    gc.freeze()
    gc.enable()
