"""`python -m quarry_runtime <verb>`: imports only what the verb needs; errors become statuses."""

from __future__ import annotations

import importlib
import os
import sys
import traceback

from quarry_runtime.guard.imports import shorten_imports

# Each module offers main(argv) -> exit status.
VERBS = {
    "worker": "quarry_runtime.worker",
    "fork-server": "quarry_runtime.fork_server",
    "join": "quarry_runtime.join",
    "launch": "quarry_runtime.launch",
    "measure": "quarry_runtime.measure",
    "compare": "quarry_runtime.compare",
    "parquet": "quarry_runtime.parquet",
    "estimate": "quarry_runtime.estimate",
    "demo": "quarry_runtime.demo",
    "fetch": "quarry_runtime.fetch",
    "index": "quarry_runtime.index",
    "export": "quarry_runtime.export",
    "publish": "quarry_runtime.publish",
    "doctor": "quarry_runtime.doctor.command",
}


def main(argv: list[str]) -> int:
    """Runs a verb; an error is one line and a hint, with a trace only if QUARRY_DEBUG is set."""
    if not argv or argv[0] not in VERBS:
        print(f"usage: python -m quarry_runtime {{{','.join(VERBS)}}} …", file=sys.stderr)
        return 2
    shorten_imports()
    try:
        return importlib.import_module(VERBS[argv[0]]).main(argv[1:])
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        from quarry_runtime.errors import EXIT_STATUS, to_info

        info = to_info(error)
        print(f"{info.code}: {info.message}", file=sys.stderr)
        if info.hint:
            print(f"  {info.hint}", file=sys.stderr)
        if info.code == "INTERNAL" or os.environ.get("QUARRY_DEBUG"):
            traceback.print_exc()
        return EXIT_STATUS[info.code]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
