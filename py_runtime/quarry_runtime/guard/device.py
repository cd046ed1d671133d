"""What a worker computes on, and in which number format."""

from __future__ import annotations

import dataclasses
import platform

from quarry_runtime.counted import counted
from quarry_runtime.errors import ConfigError, EnvironmentFault
from quarry_runtime.guard.cores import processor

# Compute capability, its first number (NVIDIA's CUDA C++ Programming Guide, "Compute Capabilities"): from Ampere on.
_FIRST_WITH_BFLOAT16 = 8


@dataclasses.dataclass(frozen=True)
class Device:
    """A device as `hello` describes it; `name` is what torch calls it, e.g. "cuda:0"."""

    name: str
    description: str


def describe_device(name: str) -> Device:
    """Facts about a device; torch is imported only for one that is not the CPU.

    Raises:
        EnvironmentFault: a device that this machine does not have.
        ConfigError: a name that is not of a device.
    """
    if name == "cpu":
        named = processor("model name") or platform.processor() or platform.machine() or "cpu"
        return Device("cpu", named[:256])
    kind, _, index = name.partition(":")
    if kind != "cuda" or not (index == "" or index.isdigit()):
        raise ConfigError(f"No device is called {name!r}.", hint="Use cpu, cuda or cuda:N.")
    import torch

    number = int(index or 0)
    if not torch.cuda.is_available() or number >= torch.cuda.device_count():
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        raise EnvironmentFault(
            f"There is no {name} here: torch {torch.__version__} sees {counted(count, 'GPUs')}.",
            hint="Use workers.device cpu, or install a torch build for your GPU.",
        )
    return Device(f"cuda:{number}", torch.cuda.get_device_name(number))


def pick_dtype(wanted: str, device: str) -> str:
    """Resolves "auto": bfloat16 on a GPU that has it, else float32."""
    if wanted != "auto":
        return wanted
    if device == "cpu":
        return "float32"
    name = describe_device(device).name  # One that is not there is told with a way out.
    import torch

    # torch's own question counts GPUs that only emulate it, slowly, and asks the current one.
    has_bfloat16 = torch.cuda.get_device_properties(name).major >= _FIRST_WITH_BFLOAT16
    return "bfloat16" if has_bfloat16 else "float32"
