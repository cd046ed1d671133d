"""Changed bytes never get past the codec, and nothing but ProtocolError comes out of it."""

from __future__ import annotations

import json
import os
import random
import resource
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quarry_runtime.errors import ProtocolError
from quarry_runtime.protocol.codec import VersionMismatch, decode_down, decode_up, encode
from quarry_runtime.protocol.messages import PROTOCOL_VERSION, Bye, Heartbeat, TrainStep
from quarry_runtime.protocol.scan import MAX_HEADER_BYTES

#: `npm run drills` asks for a million.
MESSAGES = int(os.environ.get("QUARRY_MUTATED_MESSAGES", "20000"))
GOLDEN = sorted((Path(__file__).parents[2] / "protocol" / "golden").glob("*.json"))


def with_checksum(parts: Sequence[bytes]) -> list[bytes]:
    crc = 0
    for part in parts:
        crc = zlib.crc32(part, crc)
    return [*parts, crc.to_bytes(4, "little")]


def is_refused(decode: Callable[[Sequence[bytes]], Any], parts: Sequence[bytes]) -> bool:
    try:
        decode(parts)
    except ProtocolError:
        return True
    return False


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_one_changed_byte_is_refused_wherever_it_is(path: Path) -> None:
    golden = json.loads(path.read_text(encoding="utf-8"))
    decode = decode_up if golden["direction"] == "up" else decode_down
    parts = [bytes.fromhex(part) for part in golden["parts"]]
    for index, part in enumerate(parts):
        for at in range(len(part)):
            for flip in (0x01, 0x80):
                changed = bytearray(part)
                changed[at] ^= flip
                mutated = [*parts[:index], bytes(changed), *parts[index + 1 :]]
                assert is_refused(decode, mutated), (index, at, flip)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_changed_header_with_a_fitting_checksum_raises_nothing_else(path: Path) -> None:
    golden = json.loads(path.read_text(encoding="utf-8"))
    decode = decode_up if golden["direction"] == "up" else decode_down
    header, *frames = [bytes.fromhex(part) for part in golden["parts"][:-1]]
    for at in range(len(header)):
        for flip in (0x01, 0x02, 0x10, 0x40, 0x80, 0xFF):
            changed = bytearray(header)
            changed[at] ^= flip
            is_refused(decode, with_checksum([bytes(changed), *frames]))


def mangled(part: bytes, other: bytes, chance: random.Random) -> bytes:
    """Bytes changed, cut out, put in or taken from elsewhere in the message."""
    at, until = chance.randint(0, len(part)), chance.randint(0, len(part))
    kind = chance.randrange(5)
    if kind == 0:
        return part[:at] + chance.randbytes(1) + part[at + 1 :]
    if kind == 1:
        return part[:at] + part[at + chance.randrange(16) :]
    if kind == 2:
        return part[:at] + chance.randbytes(chance.randrange(24)) + part[at:]
    if kind == 3:
        return part[:at] + part[until:]
    return part[:at] + other[chance.randint(0, len(other)) :] + part[until:]


def test_a_message_mangled_at_random_is_a_message_or_refused_and_none_of_it_stays() -> None:
    chance = random.Random(1)
    sound = []
    for path in GOLDEN:
        golden = json.loads(path.read_text(encoding="utf-8"))
        decode = decode_up if golden["direction"] == "up" else decode_down
        sound.append((decode, [bytes.fromhex(part) for part in golden["parts"][:-1]]))
    refused, before = 0, 0
    for count in range(MESSAGES):
        if count == MESSAGES // 10:  # what the first ones import and cache is no leak
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        decode, parts = chance.choice(sound)
        changed = list(parts)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(changed))
            changed[place] = mangled(changed[place], chance.choice(changed), chance)
        if chance.randrange(8) == 0:
            del changed[chance.randrange(len(changed))]
        refused += is_refused(
            decode, changed if chance.randrange(8) == 0 else with_checksum(changed)
        )
    assert MESSAGES / 20 < refused < MESSAGES * 19 / 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024


@settings(max_examples=500)
@given(st.lists(st.binary(max_size=200), max_size=5))
def test_bytes_that_were_never_a_message_are_refused(parts: list[bytes]) -> None:
    assert is_refused(decode_up, parts)
    assert is_refused(decode_down, with_checksum(parts))


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5)
    ),
)


@settings(max_examples=150)
@given(VALUES)
def test_sound_msgpack_of_any_other_shape_is_refused(value: Any) -> None:
    assert is_refused(decode_up, with_checksum([msgspec.msgpack.encode(value)]))


V = b"\xa1v"
HOSTILE = {
    "deep arrays": b"\x81" + V + b"\x91" * (MAX_HEADER_BYTES - 3),
    "deep maps": b"\x81" + V + b"\x81" * (MAX_HEADER_BYTES - 3),
    "a million empty maps": b"\x81" + V + b"\xdd\x00\x0f\xff\x00" + b"\x80" * 0x0FFF00,
    "an array of four billion": b"\x81" + V + b"\xdd\xff\xff\xff\xff",
    "a map of four billion": b"\xdf\xff\xff\xff\xff" + V + b"\x01",
    "a text of four billion": b"\x81" + V + b"\xdb\xff\xff\xff\xffA",
    "more than a mebibyte": b"\x81" + V + b"\xc0" * MAX_HEADER_BYTES,
    "not UTF-8": b"\x81" + V + b"\xa2\xc3\x28",
    "beyond 2^53": b"\x81" + V + b"\xcf\x00\x20\x00\x00\x00\x00\x00\x00",
    "longer than needed": b"\x81" + V + b"\xcc\x01",
    "NaN": b"\x81" + V + b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
    "a key twice": b"\x82" + V + b"\x01" + V + b"\x02",
    "a number as key": b"\x81\x01\x01",
    "binary": b"\x81" + V + b"\xc4\x01\x00",
    "an extension type": b"\x81" + V + b"\xd6\xff\x00\x00\x00\x00",
    "bytes after the map": b"\x80\x80",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_header_is_refused(name: str) -> None:
    assert is_refused(decode_down, with_checksum([HOSTILE[name]]))


def test_a_peer_of_an_earlier_version_is_named_by_its_first_message_as_it_sent_it() -> None:
    sent = json.loads((GOLDEN[0].parents[1] / "version-4.json").read_text(encoding="utf-8"))
    for decode, name in ((decode_up, "hello"), (decode_down, "refuse")):
        with pytest.raises(VersionMismatch, match="speaks protocol version 4, this is"):
            decode([bytes.fromhex(part) for part in sent[name]])


def test_a_peer_of_another_version_is_told_apart_from_garbage() -> None:
    header = msgspec.msgpack.encode(
        {"type": "refuse", "v": PROTOCOL_VERSION + 1, "capabilities": ["new"]}
    )
    told = f"speaks protocol version {PROTOCOL_VERSION + 1}, this is version {PROTOCOL_VERSION}"
    for decode in (decode_up, decode_down):
        with pytest.raises(VersionMismatch, match=told):
            decode(with_checksum([header]))


def test_what_is_sent_is_checked_by_the_same_rules() -> None:
    nan = float("nan")
    wrong: list[Any] = [
        Bye(reason="\ud800"),
        Heartbeat(progress=-1),
        TrainStep(step=1, loss=nan, learning_rate=0.1, grad_norm=None, seconds=1, wait_seconds=0),
    ]
    for message in wrong:
        with pytest.raises(ProtocolError):
            encode(message)
