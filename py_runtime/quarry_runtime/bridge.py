"""What pythonia calls: a function by name, JSON in, JSON out; no exception crosses the bridge."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import io
import json
import os
import signal
import sys
from typing import Any

from quarry_runtime.guard.imports import shorten_imports

_PR_SET_PDEATHSIG = 1


def tie_to_node() -> int:
    """Has the kernel end this process when Node dies during a call; gives the process id.

    guard/parent.py also leaves at the end of stdin, but pythonia lets Python inherit Node's stdin:
    under `echo | quarry inspect` that would end Python at once.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    return os.getpid()


def call(module: str, name: str, arguments: str) -> str:
    """Calls `module.name(*arguments)`.

    Args:
        module: Full name of a module, e.g. "quarry_runtime.inspect".
        name: A function in it.
        arguments: A JSON list.

    Returns:
        JSON, either {"value": …} or {"error": {code, message, hint, isRetryable, rows}}. A function
        may give JSON text itself. What it prints goes nowhere: stdout belongs to Node.
    """
    noise = io.StringIO()
    shorten_imports()
    try:
        with contextlib.redirect_stdout(noise), contextlib.redirect_stderr(noise):
            value = getattr(importlib.import_module(module), name)(*json.loads(arguments))
            plain = json.loads(value) if isinstance(value, str) else _plain(value)
            # Infinity and NaN, as Python writes them, are no JSON.
            return json.dumps({"value": plain}, allow_nan=False)
    except BaseException as error:  # sys.exit in a plugin must not end the bridge either
        return json.dumps({"error": _info(error)})


def _plain(value: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(value)


def _info(error: BaseException) -> dict[str, Any]:
    try:
        from quarry_runtime.errors import to_info

        return _plain(to_info(error))
    except ImportError as missing:
        # The interpreter lacks the runtime's own packages.
        return {
            "code": "ENVIRONMENT",
            "message": f"{sys.executable} lacks what Quarry needs: {missing}",
            "hint": "quarry setup",
            "isRetryable": False,
            "rows": [],
        }
