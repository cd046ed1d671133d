"""Both languages read and write the same bytes: the Python half of test/protocol/golden.test.ts."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from quarry_runtime.errors import ProtocolError
from quarry_runtime.protocol.codec import decode_down, decode_up, encode
from quarry_runtime.protocol.messages import DownMessage, UpMessage

FOLDER = Path(__file__).parents[2] / "protocol" / "golden"
GOLDEN = sorted(FOLDER.glob("*.json"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_message_is_read_and_written_again_byte_by_byte(path: Path) -> None:
    golden = json.loads(path.read_text(encoding="utf-8"))
    parts = [bytes.fromhex(part) for part in golden["parts"]]
    is_up = golden["direction"] == "up"
    message, frames = (decode_up if is_up else decode_down)(parts)
    assert msgspec.to_builtins(message) == golden["message"]
    assert [bytes(part) for part in encode(message, frames)] == parts
    from_json = msgspec.convert(golden["message"], UpMessage if is_up else DownMessage)
    assert [bytes(part) for part in encode(from_json, frames)] == parts


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_message_does_not_pass_in_the_other_direction(path: Path) -> None:
    golden = json.loads(path.read_text(encoding="utf-8"))
    parts = [bytes.fromhex(part) for part in golden["parts"]]
    with pytest.raises(ProtocolError):
        (decode_down if golden["direction"] == "up" else decode_up)(parts)
