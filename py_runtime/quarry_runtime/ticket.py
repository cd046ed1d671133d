"""The ticket that lets a process join a run: where to connect, a token, and the keys of CURVE."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import os
import re
import stat
import sys
from pathlib import Path
from typing import Any

from quarry_runtime.errors import ConfigError, EnvironmentFault

#: What a ticket begins with where it is pasted; the digit is its version.
PREFIX = "quarry1."
#: Stands for stdin in place of a file.
STDIN = "-"
_MAX_BYTES = 16_384
# A path may hold any character, as TMPDIR may.
_ENDPOINT = re.compile(
    r"(?s:ipc://.+)"
    # What libzmq takes for a host, and a port from 1 to 65535.
    r"|tcp://[0-9A-Za-z\[:][0-9A-Za-z.:%_\[\]-]*"
    r":(?!0+$)(?:[0-5]?\d{1,4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])"
)
# Z85 writes the 32 bytes of a key as 40 characters of these.
_KEY = re.compile(r"^[0-9A-Za-z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}$")
_KEY_FIELDS = ("serverKey", "clientPublicKey", "clientSecretKey")


@dataclasses.dataclass(frozen=True)
class Keys:
    """Keys of CURVE as Z85; the secret one shows in no `repr`."""

    server: str
    public: str
    secret: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class Ticket:
    """What is needed to join; `keys` is None for a socket file on this machine."""

    endpoint: str
    token: str = dataclasses.field(repr=False)
    keys: Keys | None = None

    @property
    def is_remote(self) -> bool:
        """Whether there is a network in between."""
        return not self.endpoint.startswith("ipc://")

    def line(self) -> str:
        """The one-line form, for a pipe or for pasting."""
        content: dict[str, str] = {"endpoint": self.endpoint, "token": self.token}
        if self.keys is not None:
            values = (self.keys.server, self.keys.public, self.keys.secret)
            content |= dict(zip(_KEY_FIELDS, values, strict=True))
        return PREFIX + base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

    def at(self, address: str) -> Ticket:
        """The same ticket for another way to the orchestrator: `host:port` or `tcp://host:port`.

        Raises:
            ConfigError: the address is none.
        """
        endpoint = address if "://" in address else f"tcp://{address}"
        if not _ENDPOINT.fullmatch(endpoint):
            raise ConfigError(
                f"{address!r} is no address.", hint="Write host:port, e.g. 10.0.0.5:5555."
            )
        return dataclasses.replace(self, endpoint=endpoint)


def read_ticket(source: str | Path) -> Ticket:
    """Reads a ticket from a file that only its owner may read, or from the first line of stdin.

    Args:
        source: The file's path, or "-".

    Raises:
        EnvironmentFault: it cannot be read, others may read it too, or it is no ticket.

    Example:
        read_ticket("runs/scifact/join.ticket").endpoint
    """
    if str(source) == STDIN:
        return parse_ticket(_first_line_of_stdin(), "stdin")
    path = Path(source)
    try:
        mode = path.stat().st_mode
        content = path.read_bytes()[: _MAX_BYTES + 1]
    except OSError as error:
        raise EnvironmentFault(
            f"The ticket {path} cannot be read: {error.strerror}.",
            hint="A ticket lives as long as its run: is the run still going on?",
        ) from error
    if stat.S_ISREG(mode) and mode & 0o077:
        raise EnvironmentFault(
            f"The ticket {path} is open to other users (mode {stat.S_IMODE(mode):o}).",
            hint=f"chmod 600 {path}, or hand it over on stdin: --ticket - < {path}",
        )
    return parse_ticket(content, str(path))


def parse_ticket(content: bytes, where: str) -> Ticket:
    """Reads either form of a ticket; `where` names its source in the error, never its content.

    Raises:
        EnvironmentFault: this is no ticket.
    """
    try:
        fields = _fields(content)
        endpoint, token = fields["endpoint"], fields["token"]
        if not isinstance(endpoint, str) or not _ENDPOINT.fullmatch(endpoint):
            raise ValueError("its endpoint is none")
        if not isinstance(token, str) or not 1 <= len(token) <= 256:
            raise ValueError("its token is none")
        ticket = Ticket(endpoint, token, _keys(fields))
        if ticket.is_remote and ticket.keys is None:
            raise ValueError("it leads over a network and has no keys")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        # json's own messages quote the text, which is secret.
        told = "" if isinstance(error, json.JSONDecodeError) else f": {error}"
        raise EnvironmentFault(
            f"What {where} holds is no ticket{told}.",
            hint="Take join.ticket of the run's folder, or the line that the run prints.",
        ) from None
    return ticket


def _fields(content: bytes) -> dict[str, Any]:
    if len(content) > _MAX_BYTES:
        raise ValueError("it is too long")
    try:
        text = content.decode().strip()
    except UnicodeDecodeError:
        raise ValueError("it is no text") from None
    if text.startswith(PREFIX):
        coded = text[len(PREFIX) :]
        try:
            padded = coded + "=" * (-len(coded) % 4)
            text = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise ValueError("it was cut or changed on the way") from None
    fields = json.loads(text)
    # A list or a number has no fields; the caller misses the first one it looks for.
    return fields if isinstance(fields, dict) else {}


def _keys(fields: dict[str, Any]) -> Keys | None:
    values = [fields.get(name) for name in _KEY_FIELDS]
    if all(value is None for value in values):
        return None
    keys = [value for value in values if isinstance(value, str) and _KEY.match(value)]
    if len(keys) != len(values):
        raise ValueError("its keys are not three")
    return Keys(*keys)


def _first_line_of_stdin() -> bytes:
    """Byte by byte, past Python's buffer: what follows in the pipe belongs to whoever reads next."""
    if os.isatty(0):
        print("Paste the ticket and press Enter.", file=sys.stderr, flush=True)
    line = bytearray()
    while len(line) <= _MAX_BYTES:
        byte = os.read(0, 1)
        if byte in (b"", b"\n"):
            break
        line += byte
    return bytes(line)
