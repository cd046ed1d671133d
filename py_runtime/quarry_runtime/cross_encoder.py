"""Looks at a cross-encoder's files: what is wrong with them is known before hours of other work.

Takes a spec as it travels to workers, and answers on stdout with `{}`; a model that cannot score pairs, or a
language model that cannot be asked as it should be, is an error with its message.
"""

from __future__ import annotations

import argparse
import contextlib
from typing import Any

import msgspec

from quarry_runtime.errors import EnvironmentFault, ProtocolError
from quarry_runtime.protocol.messages import CrossEncoderSpec


def answer(argv: list[str]) -> dict[str, Any]:
    """Resolves the spec, a classifier's without torch; see cross_contract.resolve_cross for what it raises.

    Raises:
        ProtocolError: the argument is no spec.
        ConfigError: see modeling.cross_encoder.look_at_question.
    """
    parser = argparse.ArgumentParser(prog="quarry_runtime cross-encoder", description=__doc__)
    parser.add_argument("--spec", required=True, help="CrossEncoderSpec as JSON")
    args = parser.parse_args(argv)
    from quarry_runtime.modeling.cross_contract import resolve_cross

    try:
        spec = msgspec.json.decode(args.spec, type=CrossEncoderSpec)
    except msgspec.MsgspecError as error:
        raise ProtocolError(f"not a cross-encoder's spec: {error}") from error
    resolved = resolve_cross(spec)
    # A checkpoint's own code is for workers to run.
    if resolved.kind != "classifier" and resolved.code_revision is None:
        # Takes seconds to import, and saves the hours before an answer that is several tokens is told.
        from quarry_runtime.modeling.cross_encoder import look_at_question

        # What is missing here need not be missing where the workers are.
        with contextlib.suppress(EnvironmentFault):
            look_at_question(resolved)
    return {}
