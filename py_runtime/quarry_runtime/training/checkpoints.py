"""Makes a checkpoint count: a manifest written last, checked before use; removes old ones."""

from __future__ import annotations

import errno
import re
import shutil
from pathlib import Path
from typing import Any

import msgspec
import xxhash

from quarry_runtime.errors import EnvironmentFault, IntegrityError
from quarry_runtime.guard.durable import finish, sync, whole_file

MANIFEST = "quarry-checkpoint.json"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_LEAST_FREE_BYTES = 65_536


class FileEntry(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """One file of a checkpoint; `path` is relative to its folder, with "/"."""

    path: str
    bytes: int
    xxh3: str


class Manifest(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """What makes a checkpoint complete, and what a resume must not change."""

    version: int = 1
    step: int
    #: Passages that each query is compared with in one micro-step, over all ranks; 0 when the loss
    #: looks at a query's own ones only.
    negatives_scope: int
    queries_per_step: int
    seed: int
    world_size: int
    files: list[FileEntry]


def seal(folder: Path, **record: Any) -> Manifest:
    """Makes every file durable and writes the manifest; until then the folder is half-written.

    Args:
        folder: The checkpoint's folder, everything else already in it.
        record: Fields of Manifest other than `version` and `files`.
    """
    files: list[FileEntry] = []
    for path in sorted([folder, *folder.rglob("*")]):
        finish(path)
        if path.is_file() and path.name != MANIFEST:
            name = path.relative_to(folder).as_posix()
            files.append(FileEntry(name, path.stat().st_size, _digest(path)))
    manifest = Manifest(files=files, **record)
    with whole_file(folder / MANIFEST) as temporary:
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    sync(folder.parent)
    return manifest


def verify(folder: Path, output_dir: Path) -> Manifest:
    """The manifest of a checkpoint whose every byte is as it was written.

    Raises:
        IntegrityError: a folder outside `output_dir` (optimiser state is only ever read from our
            own runs), no manifest, or a file that is missing or different.
    """
    if folder.resolve().parent != output_dir.resolve():
        raise IntegrityError(
            f"{folder} is not a checkpoint of this run.", hint="Resume in its own runDir."
        )
    hint = _way_out(folder)
    manifest = read_manifest(folder)
    for entry in manifest.files:
        path = folder / entry.path
        try:
            found = _digest(path)
        except OSError as error:
            raise IntegrityError(f"{path}: {error.strerror}", hint=hint) from error
        if found != entry.xxh3:
            raise IntegrityError(f"{path} is not what was written.", hint=hint)
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest alone.

    Raises:
        IntegrityError: there is none, or it is damaged.
    """
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise IntegrityError(f"{folder / MANIFEST}: {error}", hint=_way_out(folder)) from error


def _way_out(folder: Path) -> str:
    return f"Delete {folder}; the run then goes on from the checkpoint before it."


def explained(error: Exception, folder: Path) -> Exception:
    """Why a checkpoint could not be written; the error itself unless the disk is full.

    What was written of it is removed, which leaves room for whoever looks at what happened.
    """
    # Each library words it in its own way, torch without saying why.
    is_told = "No space left" in str(error) or getattr(error, "errno", None) in _FULL
    try:
        is_full = is_told or shutil.disk_usage(folder.parent).free < _LEAST_FREE_BYTES
    except OSError:
        is_full = is_told
    if not is_full:
        return error
    shutil.rmtree(folder, ignore_errors=True)
    return EnvironmentFault(
        f"The disk of {folder.parent} is full: {folder.name} could not be written.",
        hint="Free some space, or lower train.args.saveTotalLimit; the same command goes on from the"
        " checkpoint before.",
    )


def rotate(output_dir: Path, keep: int | None) -> None:
    """Removes the oldest complete checkpoints beyond `keep`; the newest always stays."""
    if keep is None:
        return
    complete: list[tuple[int, Path]] = []
    for folder in output_dir.iterdir():
        match = re.fullmatch(r"checkpoint-(\d+)", folder.name)
        if match and (folder / MANIFEST).is_file():
            complete.append((int(match[1]), folder))
    for _, folder in sorted(complete)[: -max(1, keep)]:
        # First the manifest: a kill in the middle then leaves a folder that nobody takes for
        # complete.
        (folder / MANIFEST).unlink()
        sync(folder)
        shutil.rmtree(folder)


def _digest(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
