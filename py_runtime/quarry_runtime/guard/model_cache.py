"""Models that came over the wire: a folder for each list of files, named by what the files hold."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import re
import shutil
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

from quarry_runtime.errors import EnvironmentFault, IntegrityError
from quarry_runtime.guard.hashes import sha256_of
from quarry_runtime.protocol.messages import ModelFile

#: What a checkpoint is made of; nothing that could run when it is loaded, and no pickle.
#: The orchestrator's list of the same is in src/pool/model-files.ts.
SUFFIXES = (
    ".json", ".jsonl", ".txt", ".model", ".safetensors", ".spm", ".tiktoken", ".vocab", ".jinja",
)  # fmt: skip
# One part of a name: no dot in front, so neither "..", nor a hidden file, nor an empty part.
_PART = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.+\-]{0,127}$")
_SHA256 = re.compile(r"^[0-9a-f]{64}$")
_MAX_DEPTH = 4


def check_names(files: Sequence[ModelFile]) -> None:
    """Refuses a list with a name that leads out of the folder or is not of a checkpoint's file.

    Raises:
        IntegrityError: names the first such file.
    """
    seen: set[str] = set()
    for file in files:
        parts = file.path.split("/")
        is_plain = len(parts) <= _MAX_DEPTH and all(_PART.match(part) for part in parts)
        if not is_plain or not file.path.endswith(SUFFIXES):
            raise _refused(f"the name {file.path[:200]!r}")
        # A file system may not tell names apart that differ in their letters' case only.
        if file.path.lower() in seen:
            raise _refused(f"the name {file.path!r} twice")
        if not _SHA256.match(file.sha256):
            raise _refused(f"no SHA-256 of {file.path!r}")
        seen.add(file.path.lower())


def is_same(folder: Path, files: Sequence[ModelFile]) -> bool:
    """Whether a folder of this machine holds exactly these files; sizes first, they cost nothing."""
    try:
        return all((folder / file.path).stat().st_size == file.bytes for file in files) and all(
            sha256_of(folder / file.path) == file.sha256 for file in files
        )
    except OSError:
        return False


@dataclasses.dataclass(frozen=True)
class CachedModel:
    """The place of one list of files; equal lists share it, whatever their model is called.

    While it lives `quarry cache prune` leaves the folder alone.

    Example:
        cached = CachedModel.of(files, "runs/x/train/checkpoint-500")
        with cached.lock() as is_ours:
            ...
    """

    folder: Path
    files: Sequence[ModelFile]

    @staticmethod
    def of(files: Sequence[ModelFile], called: str = "") -> CachedModel:
        """Makes the folder; `called` is what a list of the cache says it is.

        Raises IntegrityError for names that are refused, EnvironmentFault without a folder.
        """
        check_names(files)
        facts = sorted((file.path, file.bytes, file.sha256) for file in files)
        name = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
        folder = _root() / name
        try:
            claim = _claim(folder, called)
        except OSError as error:
            raise EnvironmentFault(
                f"There is no room for models: {folder} cannot be made ({error.strerror}).",
                hint="Set QUARRY_CACHE to a folder that this machine can write to.",
            ) from error
        cached = CachedModel(folder, files)
        weakref.finalize(cached, os.close, claim).atexit = False
        return cached

    def missing(self) -> list[ModelFile]:
        """Files that are not there, or are there with other bytes than they should have."""
        return [file for file in self.files if not is_same(self.folder, [file])]

    @contextlib.contextmanager
    def lock(self) -> Iterator[bool]:
        """Whether this process may fetch now: one of a machine's workers does it for all.

        The kernel frees it when its holder dies.
        """
        with (self.folder / ".lock").open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def check_room(self, files: Sequence[ModelFile]) -> None:
        """Raises EnvironmentFault when the files do not fit on the disk."""
        needed = sum(file.bytes for file in files)
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise EnvironmentFault(
                f"The model needs {needed:,} bytes; {self.folder.parent} has {free:,} free.",
                hint="Set QUARRY_CACHE to a bigger disk, or remove models that are done with:"
                " quarry cache prune --all --kind models.",
            )


class Part:
    """A file on its way: bytes are added in order, and it gets its name once its hash is right.

    An earlier process's bytes are kept and gone on from.

    Attributes:
        offset: Bytes that are here already; the next piece begins there.
    """

    def __init__(self, cached: CachedModel, file: ModelFile) -> None:
        self._file = file
        self._target = cached.folder / file.path
        self._temporary = self._target.with_name(f"{self._target.name}.part")
        self._digest = hashlib.sha256()
        with _named(self._target):
            self._target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._stream = os.fdopen(os.open(self._temporary, flags, 0o600), "r+b")
            if os.fstat(self._stream.fileno()).st_size > file.bytes:
                self._stream.truncate(0)
            while block := self._stream.read(1 << 20):
                self._digest.update(block)
        self.offset = self._stream.tell()

    @property
    def is_whole(self) -> bool:
        """Whether as many bytes are here as the file has."""
        return self.offset == self._file.bytes

    def add(self, piece: memoryview) -> None:
        """Raises IntegrityError for bytes beyond the file's end, EnvironmentFault on a full disk."""
        if not 0 < piece.nbytes <= self._file.bytes - self.offset:
            raise _refused(f"{piece.nbytes} bytes at {self.offset} of {self._file.path}")
        with _named(self._target):
            self._stream.write(piece)
        self._digest.update(piece)
        self.offset += piece.nbytes

    def commit(self) -> None:
        """Gives the file its name.

        Raises:
            IntegrityError: its bytes are not those that were announced; they are removed.
        """
        with _named(self._target):
            self._stream.flush()
            os.fsync(self._stream.fileno())
            if self._digest.hexdigest() != self._file.sha256:
                self._temporary.unlink()
                raise _refused(f"{self._file.path} with other bytes than it announced")
            self._temporary.replace(self._target)

    def close(self) -> None:
        """Keeps what is here for the next try."""
        with contextlib.suppress(OSError):
            self._stream.close()


def _claim(folder: Path, called: str) -> int:
    """A descriptor whose shared lock says that the folder is in use (src/pipeline/received-models.ts);
    the kernel takes it back when the process ends.
    """
    path = folder / ".use"
    while True:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            claim = os.open(path, flags, 0o600)
            fcntl.flock(claim, fcntl.LOCK_SH)
            # A prune that was quicker has taken the folder away, and this file with it.
            if path.exists() and os.path.samestat(path.stat(), os.fstat(claim)):
                # For people only: a full disk is told where it matters.
                with contextlib.suppress(OSError):
                    os.ftruncate(claim, 0)
                    os.pwrite(claim, called.encode(), 0)
                os.utime(claim)
                return claim
            os.close(claim)


@contextlib.contextmanager
def _named(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EnvironmentFault(
            f"{target} cannot be written: {error.strerror or error}.",
            hint="Set QUARRY_CACHE to a folder with room that this machine can write to.",
        ) from error


def _root() -> Path:
    cache = os.environ.get("QUARRY_CACHE")
    if cache:
        return Path(cache) / "models"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "quarry" / "models"


def _refused(what: str) -> IntegrityError:
    return IntegrityError(
        f"The orchestrator sent {what}, which is refused.",
        hint="Look at the files of the checkpoint, and start the run again.",
    )
