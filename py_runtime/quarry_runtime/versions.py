"""Which releases this process runs on, read from the packages' metadata without importing them."""

from __future__ import annotations

import platform
from importlib import metadata

from quarry_runtime import __version__

_PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "accelerate",
    "peft",
    "numpy",
    "pyarrow",
    "pyzmq",
)


def versions() -> dict[str, str]:
    """Releases of the runtime, of Python and of each package that shapes a result, if present."""
    found = {"quarry": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
