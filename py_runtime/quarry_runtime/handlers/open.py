"""From a task to its handler; imports only what the task needs."""

from __future__ import annotations

from quarry_runtime.handlers.handler import Handler
from quarry_runtime.handlers.models import Models
from quarry_runtime.protocol.messages import (
    EncodeTask,
    ProbeScoreTask,
    ProbeTask,
    ScoreTask,
    SearchTask,
)

WorkerTask = EncodeTask | SearchTask | ScoreTask | ProbeTask | ProbeScoreTask


def look_ahead(task: WorkerTask) -> None:
    """Finds what is wrong with a task's model before the seconds that torch takes to import."""
    if isinstance(task, ScoreTask | ProbeScoreTask):
        from quarry_runtime.modeling.cross_contract import resolve_cross

        resolve_cross(task.model)
    elif task.model is not None:
        from quarry_runtime.modeling.contract import resolve

        resolve(task.model)


def open_handler(task: WorkerTask, models: Models) -> Handler:
    """Makes the handler of a task.

    Raises:
        QuarryError: a model that cannot be loaded.
    """
    import torch

    device = torch.device(models.device)
    if isinstance(task, EncodeTask):
        from quarry_runtime.handlers.encode import EncodeHandler

        return EncodeHandler(task, models.encoder(task.model), device)
    if isinstance(task, SearchTask):
        from quarry_runtime.handlers.search import SearchHandler

        encoder = None if task.model is None else models.encoder(task.model)
        return SearchHandler(task, encoder, device)
    if isinstance(task, ScoreTask):
        from quarry_runtime.handlers.score import ScoreHandler

        return ScoreHandler(task, models.cross_encoder(task.model), device)
    if isinstance(task, ProbeTask):
        from quarry_runtime.handlers.probe import EncoderProbe

        return EncoderProbe(task, models.encoder(task.model), device)
    from quarry_runtime.handlers.probe import CrossEncoderProbe

    return CrossEncoderProbe(task, models.cross_encoder(task.model), device)
