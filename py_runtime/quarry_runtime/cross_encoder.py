"""Looks at a cross-encoder's files: what is wrong with them is known before hours of other work.

Takes a spec as it travels to workers, and answers on stdout with `{}`; a model that cannot score pairs is an
error with its message.
"""

from __future__ import annotations

import argparse
from typing import Any

import msgspec

from quarry_runtime.errors import ProtocolError
from quarry_runtime.protocol.messages import CrossEncoderSpec


def answer(argv: list[str]) -> dict[str, Any]:
    """Resolves the spec without torch; see cross_contract.resolve_cross for what it raises.

    Raises:
        ProtocolError: the argument is no spec.
    """
    parser = argparse.ArgumentParser(prog="quarry_runtime cross-encoder", description=__doc__)
    parser.add_argument("--spec", required=True, help="CrossEncoderSpec as JSON")
    args = parser.parse_args(argv)
    from quarry_runtime.modeling.cross_contract import resolve_cross

    try:
        spec = msgspec.json.decode(args.spec, type=CrossEncoderSpec)
    except msgspec.MsgspecError as error:
        raise ProtocolError(f"not a cross-encoder's spec: {error}") from error
    resolve_cross(spec)
    return {}
