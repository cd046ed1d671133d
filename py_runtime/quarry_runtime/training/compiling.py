"""What torch.compile needs beside torch, and what is said when it fails."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quarry_runtime.errors import EnvironmentFault, in_a_line

if TYPE_CHECKING:
    from transformers import TrainingArguments

_WAY_OUT = "Leave train.args.torchCompile out"


def check_compiler(args: TrainingArguments) -> None:
    """Looks for what inductor makes kernels with on a CPU, before a model is loaded.

    torch would say it in the first step, below a stack trace of a hundred lines.

    Raises:
        EnvironmentFault: no C++ compiler, or no headers of Python.
    """
    if not (args.torch_compile and args.use_cpu and args.torch_compile_backend == "inductor"):
        return
    # Where torch looks for it.
    compiler = os.environ.get("CXX", "g++")
    headers = Path(sysconfig.get_path("include"), "Python.h")
    if shutil.which(compiler) is None:
        raise EnvironmentFault(
            f"torchCompile needs a C++ compiler on a CPU, and there is no {compiler}.",
            hint=f"Install one (Debian and Ubuntu: apt install g++), or name it in CXX. {_WAY_OUT}"
            " to train without.",
        )
    if not headers.is_file():
        raise EnvironmentFault(
            f"torchCompile needs the C headers of Python on a CPU, and there is no {headers}.",
            hint=f"Install them (Debian and Ubuntu: apt install python3-dev). {_WAY_OUT} to train"
            " without.",
        )


def compile_failure(error: BaseException) -> EnvironmentFault | None:
    """What torch.compile raised, as one of the user's; None for any other error."""
    known: Any = sys.modules.get("torch._dynamo.exc")
    if known is None or not isinstance(error, known.TorchDynamoException):
        return None
    inner = getattr(error, "inner_exception", error)
    return EnvironmentFault(
        f"torch.compile failed ({in_a_line(inner)}).",
        hint=f"{_WAY_OUT}, or try another torchCompileBackend. inductor needs a C++ compiler and"
        " Python's headers on CPUs, Triton on GPUs; the rank's log has the whole trace.",
    )
