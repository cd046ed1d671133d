"""How a rank learns its task: on another machine it gets the checkpoint's files first."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import msgspec

from quarry_runtime.errors import ProtocolError, Reconnected, WorkerFault
from quarry_runtime.model_files import ModelFiles, Peer, Received, localized
from quarry_runtime.protocol.messages import (
    Configure,
    Files,
    Ping,
    Refuse,
    TrainTask,
)


def await_task(peer: Peer) -> TrainTask:
    """The task, with the folders of this machine in place of those that it cannot see.

    Raises:
        ProtocolError: the orchestrator refused this rank, or sent something else.
        WorkerFault: the connection was lost; another start may help.
        IntegrityError, EnvironmentFault: the files could not be brought.
    """
    aside: deque[Received] = deque()
    files = ModelFiles(peer, aside)
    while True:
        message = (aside.popleft() if aside else receive(peer))[0]
        if isinstance(message, Refuse):
            raise ProtocolError(message.error.message, hint=message.error.hint)
        if isinstance(message, Configure) and isinstance(message.task, TrainTask):
            return _localized(message.task, files.folders)
        if isinstance(message, Files):
            files.bring(message)
        elif not isinstance(message, Ping):
            raise ProtocolError(
                f"A rank waits for its task and got a {type(message).__name__} message."
            )


def receive(peer: Any) -> Received:
    """The next message.

    Raises:
        WorkerFault: the connection to the orchestrator broke. It may be whole again by now, but
            what was asked for is lost: the ranks start again from the last checkpoint.
    """
    try:
        return peer.receive()
    except Reconnected:
        raise WorkerFault(
            "The connection to the orchestrator was lost.", is_retryable=True
        ) from None


def _localized(task: TrainTask, folders: dict[str, Path]) -> TrainTask:
    if task.resume_from in folders:
        return msgspec.structs.replace(task, resume_from=str(folders[task.resume_from]))
    return msgspec.structs.replace(task, model=localized(task.model, folders))
