"""Messages to frames and back; whatever bytes come in, only ProtocolError comes out.

A message is a msgpack header, binary frames, and a crc32 (4 bytes, little endian) over all of them.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from quarry_runtime.errors import ProtocolError
from quarry_runtime.protocol.messages import PROTOCOL_VERSION, DownMessage, UpMessage
from quarry_runtime.protocol.scan import MAX_HEADER_BYTES, refusal, scan_header

MAX_FRAME_BYTES = 1_073_741_824
MAX_FRAMES = 16

# bytes, bytearray, memoryview, zmq.Frame, numpy arrays: whatever offers its bytes.
Buffer = Any
_Message = TypeVar("_Message")
_AnyMessage = UpMessage | DownMessage


class VersionMismatch(ProtocolError):
    """A peer whose messages are sound but of another protocol version."""

    def __init__(self, version: int) -> None:
        super().__init__(
            f"The peer speaks protocol version {version}, this is version {PROTOCOL_VERSION}.",
            hint="Install the same release of Quarry on both sides, or run `npm run setup` again.",
        )
        self.version = version


class _Envelope(msgspec.Struct):
    v: int


_encoder = msgspec.msgpack.Encoder()
_envelope = msgspec.msgpack.Decoder(_Envelope)
_up: msgspec.msgpack.Decoder[UpMessage] = msgspec.msgpack.Decoder(UpMessage)
_down: msgspec.msgpack.Decoder[DownMessage] = msgspec.msgpack.Decoder(DownMessage)


def encode(message: _AnyMessage, frames: Iterable[Buffer] = ()) -> list[Buffer]:
    """Frames of one message: header, the binary frames as they are given, crc32.

    Structs are not checked when they are built, so the header is read back here:
    what leaves is valid.

    Raises:
        ProtocolError: when the message breaks messages.ts or a limit.

    Example:
        socket.send_multipart(encode(Bye(reason="drained")), copy=False)
    """
    try:
        header = _encoder.encode(message)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as exc:
        raise refusal(f"its header cannot be written as msgpack ({exc})") from exc
    binary = list(frames)
    views = _views(binary)
    scan_header(header)
    if isinstance(message, _DOWN_CLASSES):
        _decode_header(_down, header)
    else:
        _decode_header(_up, header)
    return [header, *binary, _checksum([header, *views]).to_bytes(4, "little")]


def decode_up(parts: Sequence[Buffer]) -> tuple[UpMessage, list[memoryview]]:
    """A message from a worker or rank, and its binary frames (flat bytes, not copied).

    Raises:
        VersionMismatch: for a sound message of another version.
        ProtocolError: for anything else that is not a message.
    """
    return _decode(_up, parts)


def decode_down(parts: Sequence[Buffer]) -> tuple[DownMessage, list[memoryview]]:
    """A message from the orchestrator; raises as :func:`decode_up` does."""
    return _decode(_down, parts)


_DOWN_CLASSES: tuple[type, ...] = DownMessage.__args__  # pyright: ignore[reportAttributeAccessIssue]


def _decode(
    decoder: msgspec.msgpack.Decoder[_Message], parts: Sequence[Buffer]
) -> tuple[_Message, list[memoryview]]:
    if len(parts) < 2:
        raise refusal("it has too few frames")
    views = _views(parts[1:-1])
    header_view, trailer = (
        memoryview(parts[0]).cast("B"),
        bytes(memoryview(parts[-1]).cast("B")[:5]),
    )
    if len(trailer) != 4:
        raise refusal("its checksum does not have 4 bytes")
    if header_view.nbytes > MAX_HEADER_BYTES:
        raise refusal(f"its header has {header_view.nbytes} bytes")
    header = bytes(header_view)
    scan_header(header)
    if _checksum([header, *views]) != int.from_bytes(trailer, "little"):
        raise refusal("its checksum does not match")
    return _decode_header(decoder, header), views


def _decode_header(decoder: msgspec.msgpack.Decoder[_Message], header: bytes) -> _Message:
    try:
        # The envelope (crc32, map, `v`) is the same in every version: another one can be named.
        version = _envelope.decode(header).v
        if version != PROTOCOL_VERSION:
            raise VersionMismatch(version)
        return decoder.decode(header)
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError) as exc:
        raise refusal(f"it does not follow the protocol: {str(exc)[:500]}") from exc


def _views(frames: Sequence[Buffer]) -> list[memoryview]:
    if len(frames) > MAX_FRAMES:
        raise refusal(f"it has {len(frames)} binary frames, at most {MAX_FRAMES}")
    views = []
    for frame in frames:
        view = memoryview(frame)
        # An empty view with a zero in its shape cannot be cast.
        views.append(memoryview(b"") if view.nbytes == 0 else view.cast("B"))
        if view.nbytes > MAX_FRAME_BYTES:
            raise refusal(f"a frame has {view.nbytes} bytes")
    return views


def _checksum(frames: Iterable[Buffer]) -> int:
    crc = 0
    for frame in frames:
        crc = zlib.crc32(frame, crc)
    return crc
