"""What is said of an interpreter without Quarry's packages, which is the commonest fault of a new machine.

Imports nothing but the standard library.
"""

from __future__ import annotations

import platform
import sys


def lacking(error: BaseException | None) -> tuple[str, str] | None:
    """Message and hint for a package that an import did not find; None for another error."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    package = error.name.partition(".")[0]
    if package == "quarry_runtime":
        return None
    message = f"{sys.executable} on {platform.node()} lacks the Python package {package}."
    hint = (
        "Run `npx quarry setup` there, or name an interpreter that has Quarry's packages:"
        " `python` of the node, QUARRY_PYTHON on the run's own machine."
    )
    return message, hint
