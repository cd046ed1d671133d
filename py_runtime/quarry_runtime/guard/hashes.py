"""SHA-256 of files, remembered by path, size and time: hashing 90 MB costs 0.3 s at each start."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

_BLOB = re.compile(r"^[0-9a-f]{64}$")


def sha256_of(file: Path) -> str:
    """The file's SHA-256 in hexadecimal; a file that is unchanged since the last call is not read
    again.

    The hub's cache names big files by their SHA-256, which is taken as it is.
    """
    real = file.resolve()
    if _BLOB.match(real.name):
        return real.name
    facts = real.stat()
    key = f"{real}\n{facts.st_size}\n{facts.st_mtime_ns}\n{facts.st_ino}\n{facts.st_ctime_ns}"
    entry = _folder() / hashlib.sha256(key.encode()).hexdigest()
    try:
        known = entry.read_text(encoding="ascii")
        if _BLOB.match(known):
            return known
    except OSError:
        pass
    digest = sha256_now(real)
    _remember(entry, digest)
    return digest


def sha256_now(file: Path) -> str:
    """The SHA-256 of what the file holds at this moment, in hexadecimal."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _folder() -> Path:
    cache = os.environ.get("QUARRY_CACHE")
    if cache:
        return Path(cache) / "hashes"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "quarry" / "hashes"


def _remember(entry: Path, digest: str) -> None:
    # A cache that cannot be written (read-only home, full disk) costs time, never the job.
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        temporary = entry.with_name(f"{entry.name}.{os.getpid()}")
        temporary.write_text(digest, encoding="ascii")
        temporary.replace(entry)
    except OSError:
        pass
