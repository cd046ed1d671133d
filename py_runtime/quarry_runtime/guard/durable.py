"""Files that are whole or not there: written beside their place, synced, renamed."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """The name of a file to write, which then takes the place of `path`; none is left of a failure.

    Example:
        with whole_file(path) as temporary:
            temporary.write_text(text, "utf-8")
    """
    # The ending by which the next run on the folder sweeps away what a kill left.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.quarry-tmp")
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Makes the bytes of a file, or the names in a folder, survive a power cut."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError as error:
        # Some network file systems refuse to sync a folder; there is nothing better to do on them.
        if not path.is_dir() or error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(number)
