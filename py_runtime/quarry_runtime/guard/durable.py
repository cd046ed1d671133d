"""Files and folders that are whole or not there: written beside their place, synced, renamed."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """The name of a file to write, which then takes the place of `path`; none is left of a failure.

    Example:
        with whole_file(path) as temporary:
            temporary.write_text(text, "utf-8")
    """
    temporary = _beside(path, "quarry-tmp")
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to fill, which then takes the place of `folder`; none is left of a failure.

    An earlier folder goes. Between it and the new one there is none for a moment; a half one there never is.

    Example:
        with whole_folder(folder) as temporary:
            (temporary / "ids.json").write_text(text, "utf-8")
    """
    temporary, earlier = _beside(folder, "quarry-tmp"), _beside(folder, "quarry-old")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for path in (*temporary.rglob("*"), temporary):
            finish(path)
        if folder.exists():
            folder.rename(earlier)
        temporary.rename(folder)
        sync(folder.parent)
        shutil.rmtree(earlier, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _beside(path: Path, ending: str) -> Path:
    # By its ending the next run on the folder knows what a kill left, and sweeps it away.
    return path.with_name(f".{path.name}.{os.getpid()}.{ending}")


def sweep_beside(folder: Path) -> None:
    """Removes what processes that are gone left of a folder in the making.

    Of another machine's process nobody can know here; but two that make one folder at once cannot
    both succeed anyway.
    """
    for remains in folder.parent.glob(f".{glob.escape(folder.name)}.*.quarry-tmp"):
        pid = remains.name.split(".")[-2]
        if pid.isdigit() and not _is_there(int(pid)):
            shutil.rmtree(remains, ignore_errors=True)


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # It belongs to another user.
        return True
    return True


def finish(path: Path) -> None:
    """Syncs what stands in a new folder, and opens weights to whoever may read that folder: safetensors
    0.8 leaves its files to their owner alone, whatever the umask says.
    """
    if path.suffix == ".safetensors":
        # Some file systems keep no permissions.
        with contextlib.suppress(PermissionError):
            path.chmod(path.parent.stat().st_mode & 0o666)
    sync(path)


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
