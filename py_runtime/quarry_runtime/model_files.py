"""Brings a checkpoint's files to this machine over the connection, unless they are here already."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from quarry_runtime.counted import counted
from quarry_runtime.errors import IntegrityError, ProtocolError
from quarry_runtime.guard.model_cache import CachedModel, Part, check_names, is_same
from quarry_runtime.handlers.open import WorkerTask
from quarry_runtime.modeling.adapter_files import keep_base
from quarry_runtime.protocol.messages import (
    CrossEncoderSpec,
    DownMessage,
    Drain,
    Fetch,
    Files,
    Log,
    ModelFile,
    ModelSpec,
    Piece,
    Ready,
    UpMessage,
)

#: A message and its binary frames.
Received = tuple[DownMessage, list[memoryview]]
# Between two looks at a lock that another worker of this machine holds.
_LOOK_SECONDS = 0.5


class Peer(Protocol):
    """What a worker or rank needs of a Connection."""

    progress: int

    def send(self, message: UpMessage, frames: Any = ()) -> None: ...
    def receive(self, timeout: float | None = None) -> Received: ...


class Drained(Exception):
    """The orchestrator wants no more work of this worker; the files are not needed."""


Model = TypeVar("Model", bound=ModelSpec | CrossEncoderSpec)


def localized(model: Model, folders: Mapping[str, Path]) -> Model:
    """The spec with the folders of this machine in place of those that it cannot see."""
    names = ["checkpoint", "query_checkpoint"] if isinstance(model, ModelSpec) else ["checkpoint"]
    here = {name: folders.get(getattr(model, name)) for name in names}
    return msgspec.structs.replace(
        model, **{name: str(folder) for name, folder in here.items() if folder is not None}
    )


class ModelFiles:
    """Fetches what is missing; one worker of a machine for all of them.

    Args:
        peer: The connection; its `progress` grows with each piece.
        aside: Gets what arrives in between and is for later.

    Attributes:
        folders: Where checkpoints lie on this machine, by the names that the orchestrator has for them.
    """

    def __init__(self, peer: Peer, aside: deque[Received]) -> None:
        self._peer = peer
        self._aside = aside
        self.folders: dict[str, Path] = {}
        #: Kept, so that nobody prunes what this worker may load again.
        self._cached: list[CachedModel] = []

    def localized(self, task: WorkerTask) -> WorkerTask:
        """The task with the checkpoint's folders on this machine."""
        if task.model is None:
            return task
        return msgspec.structs.replace(task, model=localized(task.model, self.folders))

    def told(self, ready: Ready) -> Ready:
        """A contract that names the checkpoint as the orchestrator does."""
        names = {str(folder): name for name, folder in self.folders.items()}
        model, cross_encoder = ready.model, ready.cross_encoder
        if model is not None and model.checkpoint in names:
            model = msgspec.structs.replace(model, checkpoint=names[model.checkpoint])
        if cross_encoder is not None and cross_encoder.checkpoint in names:
            name = names[cross_encoder.checkpoint]
            cross_encoder = msgspec.structs.replace(cross_encoder, checkpoint=name)
        return msgspec.structs.replace(ready, model=model, cross_encoder=cross_encoder)

    def bring(self, message: Files) -> Path:
        """The folder of this machine that holds exactly the files of the list; tasks find it from now on.

        Raises:
            IntegrityError: a name that is refused, or bytes that are not those announced.
            EnvironmentFault: no room, or no folder that can be written to.
            Drained: a `drain` came first; it is not put aside.
        """
        folder = self._folder_of(message)
        # It may be what an adapter was made for, whose own files name it as the orchestrator does.
        keep_base(message.checkpoint, folder)
        self.folders[message.checkpoint] = folder
        return folder

    def _folder_of(self, message: Files) -> Path:
        check_names(message.files)
        if is_same(Path(message.checkpoint), message.files):
            return Path(message.checkpoint)
        cached = CachedModel.of(message.files, message.checkpoint)
        self._cached.append(cached)
        while cached.missing():
            with cached.lock() as is_ours:
                if is_ours:
                    # Looked at again: another worker may have brought them a moment ago.
                    self._fetch_all(message.checkpoint, cached, cached.missing())
            if not is_ours:
                self._wait()
        return cached.folder

    def _fetch_all(self, checkpoint: str, cached: CachedModel, files: list[ModelFile]) -> None:
        if not files:
            return
        cached.check_room(files)
        size = sum(file.bytes for file in files) / 1e6
        text = f"fetching {counted(len(files), 'files')} of the model, {size:,.1f} MB, into {cached.folder}"
        self._peer.send(Log(level="info", text=text))
        for file in files:
            part = Part(cached, file)
            is_continued = part.offset > 0
            try:
                self._fill(checkpoint, part, file)
                part.commit()
            except IntegrityError:
                # What an earlier process left may be damaged; commit has removed it.
                if not is_continued:
                    raise
            finally:
                part.close()

    def _fill(self, checkpoint: str, part: Part, file: ModelFile) -> None:
        while not part.is_whole:
            self._peer.send(Fetch(checkpoint=checkpoint, file=file.path, offset=part.offset))
            message, frames = self._next()
            while not isinstance(message, Piece):
                self._aside.append((message, frames))
                message, frames = self._next()
            is_asked = message.file == file.path and message.offset == part.offset
            if not is_asked or len(frames) != 1:
                raise ProtocolError(f"A piece of {message.file} came that nobody asked for.")
            part.add(frames[0])
            self._peer.progress += 1

    def _wait(self) -> None:
        """Another worker fetches; should it die, its lock is free again."""
        self._peer.progress += 1
        try:
            self._aside.append(self._next(_LOOK_SECONDS))
        except TimeoutError:
            return

    def _next(self, timeout: float | None = None) -> Received:
        message, frames = self._peer.receive(timeout)
        if isinstance(message, Drain):
            raise Drained
        return message, frames
