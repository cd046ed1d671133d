"""Looks over a msgpack header before it is decoded; the rules of src/protocol/scan.ts."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

from quarry_runtime.errors import ProtocolError

MAX_HEADER_BYTES = 1_048_576
# Values (keys included) in one header: what 1,500 units of a snapshot need, and some.
MAX_HEADER_VALUES = 10_000
# Entries of one map or array.
MAX_HEADER_ENTRIES = 2_048
MAX_HEADER_DEPTH = 16
MAX_INTEGER = 2**53 - 1

_FLOAT64 = struct.Struct(">d")
# tag → (bytes, signed, least magnitude that needs this form)
_INTEGERS = {
    0xCC: (1, False, 0x80),
    0xCD: (2, False, 0x100),
    0xCE: (4, False, 0x1_0000),
    0xCF: (8, False, 0x1_0000_0000),
    0xD0: (1, True, 33),
    0xD1: (2, True, 0x81),
    0xD2: (4, True, 0x8001),
    0xD3: (8, True, 0x8000_0001),
}
# tag → (bytes of the length, least length that needs this form)
_STRINGS = {0xD9: (1, 32), 0xDA: (2, 0x100), 0xDB: (4, 0x1_0000)}
_ARRAYS = {0xDC: (2, 16), 0xDD: (4, 0x1_0000)}
_MAPS = {0xDE: (2, 16), 0xDF: (4, 0x1_0000)}


def refusal(detail: str) -> ProtocolError:
    """The error of everything in this folder; ``detail`` says what was seen."""
    return ProtocolError(f"Message refused: {detail}.")


def scan_header(header: bytes) -> None:
    """Checks that ``header`` is one well-formed map within the limits.

    Allowed are nil, booleans, integers within ±(2^53 - 1), finite float64, UTF-8 strings, arrays,
    and maps with distinct string keys, each in its shortest form.

    Raises:
        ProtocolError: otherwise.
    """
    if len(header) > MAX_HEADER_BYTES:
        raise refusal(f"its header has {len(header)} bytes")
    if not header or not (header[0] & 0xF0 == 0x80 or header[0] in _MAPS):
        raise refusal("its header is not a map")
    if _scanner(header)(0, 0) != len(header):
        raise refusal("bytes follow its header")


def _scanner(data: bytes) -> Callable[[int, int], int]:
    """A function from (offset, depth) of a value to the offset after it."""
    size = len(data)
    values = 0

    def length(at: int, width: int, least: int) -> int:
        if at + width > size:
            raise refusal("its header is cut short")
        number = int.from_bytes(data[at : at + width], "big")
        if number < least:
            raise refusal("its header holds a length that is not in its shortest form")
        return number

    def string(at: int, count: int) -> int:
        if at + count > size:
            raise refusal("its header is cut short")
        try:
            data[at : at + count].decode("utf-8")
        except UnicodeDecodeError:
            raise refusal("its header holds text that is not UTF-8") from None
        return at + count

    def array(at: int, count: int, depth: int) -> int:
        enter(count, depth)
        for _ in range(count):
            at = value(at, depth + 1)
        return at

    def mapping(at: int, count: int, depth: int) -> int:
        enter(count, depth)
        keys = set()
        for _ in range(count):
            if at >= size:
                raise refusal("its header is cut short")
            if not (data[at] & 0xE0 == 0xA0 or data[at] in _STRINGS):
                raise refusal("its header holds a key that is not text")
            end = value(at, depth + 1)
            keys.add(data[at:end])
            at = value(end, depth + 1)
        if len(keys) != count:
            raise refusal("its header holds a key twice")
        return at

    def enter(count: int, depth: int) -> None:
        if depth + 1 > MAX_HEADER_DEPTH:
            raise refusal(f"its header is nested deeper than {MAX_HEADER_DEPTH}")
        if count > MAX_HEADER_ENTRIES:
            raise refusal(f"its header holds {count} entries in one place")

    def value(at: int, depth: int) -> int:
        nonlocal values
        values += 1
        if values > MAX_HEADER_VALUES:
            raise refusal(f"its header has more than {MAX_HEADER_VALUES} values")
        if at >= size:
            raise refusal("its header is cut short")
        tag = data[at]
        if tag < 0x80 or tag >= 0xE0 or tag == 0xC0 or tag == 0xC2 or tag == 0xC3:
            return at + 1
        if tag < 0x90:
            return mapping(at + 1, tag & 0x0F, depth)
        if tag < 0xA0:
            return array(at + 1, tag & 0x0F, depth)
        if tag < 0xC0:
            return string(at + 1, tag & 0x1F)
        if tag == 0xCB:
            if at + 9 > size:
                raise refusal("its header is cut short")
            if not math.isfinite(_FLOAT64.unpack_from(data, at + 1)[0]):
                raise refusal("its header holds a number that is not finite")
            return at + 9
        if tag in _INTEGERS:
            width, is_signed, least = _INTEGERS[tag]
            if at + 1 + width > size:
                raise refusal("its header is cut short")
            number = int.from_bytes(data[at + 1 : at + 1 + width], "big", signed=is_signed)
            magnitude = -number if is_signed else number
            if magnitude < least:
                raise refusal("its header holds an integer that is not in its shortest form")
            if magnitude > MAX_INTEGER:
                raise refusal("its header holds an integer beyond 2^53 - 1")
            return at + 1 + width
        for table, walk in ((_STRINGS, None), (_ARRAYS, array), (_MAPS, mapping)):
            if tag in table:
                width, least = table[tag]
                count = length(at + 1, width, least)
                after = at + 1 + width
                return string(after, count) if walk is None else walk(after, count, depth)
        raise refusal(f"its header holds a value of kind 0x{tag:x}")

    return value
