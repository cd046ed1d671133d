"""`python -m quarry_runtime <verb>`: imports only what the verb needs; errors become statuses."""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

from quarry_runtime.guard.imports import shorten_imports
from quarry_runtime.lacking import lacking

# Each module offers main(argv) -> exit status.
VERBS = {
    "worker": "quarry_runtime.worker",
    "fork-server": "quarry_runtime.fork_server",
    "join": "quarry_runtime.join",
    "launch": "quarry_runtime.launch",
    "hold": "quarry_runtime.hold",
    "track": "quarry_runtime.track",
    "doctor": "quarry_runtime.doctor.command",
}
# Each module offers answer(argv) -> what is said on stdout, as JSON.
ANSWERS = {
    "measure": "quarry_runtime.measure",
    "compare": "quarry_runtime.compare",
    "cross-encoder": "quarry_runtime.cross_encoder",
    "estimate": "quarry_runtime.estimate",
    "parquet": "quarry_runtime.parquet",
    "demo": "quarry_runtime.demo",
    "fetch": "quarry_runtime.fetch",
    "index": "quarry_runtime.index",
    "export-model": "quarry_runtime.export_model",
    "export-vectors": "quarry_runtime.export_vectors",
}


def main(argv: list[str]) -> int:
    """Runs a verb; an error is one line and a hint, with a trace only if QUARRY_DEBUG is set."""
    if not argv or argv[0] not in VERBS | ANSWERS:
        print(f"usage: python -m quarry_runtime {{{','.join(VERBS | ANSWERS)}}} …", file=sys.stderr)
        return 2
    verb, *rest = argv
    shorten_imports()
    try:
        if verb in VERBS:
            return importlib.import_module(VERBS[verb]).main(rest)
        _say(lambda: importlib.import_module(ANSWERS[verb]).answer(rest))
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        try:
            from quarry_runtime.errors import EXIT_STATUS, to_info
        except ModuleNotFoundError as missing:
            return _leave_lacking(missing)
        info = to_info(error)
        # Indented further than the hint, a message's other lines are known to belong to it.
        message = info.message.replace("\n", "\n    ")
        print(f"{info.code}: {message}", file=sys.stderr)
        if info.hint:
            print(f"  {info.hint}", file=sys.stderr)
        if info.code == "INTERNAL" or os.environ.get("QUARRY_DEBUG"):
            traceback.print_exc()
        return EXIT_STATUS[info.code]


def _say(answer: Callable[[], Any]) -> None:
    """Keeps stdout for the answer: what libraries and plugins print goes to stderr, C's buffers at the end included."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as stdout:
        os.dup2(2, 1)
        # JSON has no word for NaN.
        stdout.write(json.dumps(answer(), ensure_ascii=False, allow_nan=False))


def _leave_lacking(missing: ModuleNotFoundError) -> int:
    """Without its packages not even the table of errors can be read."""
    told = lacking(missing)
    if told is None:
        raise missing
    print(f"ENVIRONMENT: {told[0]}\n  {told[1]}", file=sys.stderr)
    return 4


def _tie(verb: str) -> None:
    """Nobody waits for the answer of a command whose caller was killed: it ends, and writes nothing any more."""
    from quarry_runtime.guard.parent import die_with_parent, tie_to_parent

    if verb not in ANSWERS and verb != "doctor":
        # It says itself when it ends; some are meant to outlive who started them.
        return
    if verb == "fetch":
        # Its stdin is the request, and ends with it.
        die_with_parent()
    else:
        tie_to_parent()


if __name__ == "__main__":
    try:
        _tie("".join(sys.argv[1:2]))
    except ModuleNotFoundError as missing:
        sys.exit(_leave_lacking(missing))
    sys.exit(main(sys.argv[1:]))
