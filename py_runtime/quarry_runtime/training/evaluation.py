"""Evaluation by the ranks themselves: training pauses, each rank works for a pool, and goes on."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from quarry_runtime.connection import Connection
from quarry_runtime.errors import ConfigError, QuarryError, to_info
from quarry_runtime.protocol.messages import Bye, Evaluate, Fatal, TrainTask

if TYPE_CHECKING:
    from quarry_runtime.guard.device import Device
    from quarry_runtime.training.feed import Feed


def is_due(task: TrainTask, step: int) -> bool:
    """Whether the checkpoint of a finished step is evaluated; the last one always is."""
    if task.eval_steps is None:
        return False
    return step % task.eval_steps == 0 or step == task.max_steps


def refuse_sharded(task: TrainTask, trainer: Any) -> None:
    """Raises ConfigError where the ranks are to evaluate and each holds a part of the weights."""
    if task.is_evaluating and trainer.is_fsdp_enabled:
        raise ConfigError(
            'train.evaluate.mode "ranks" loads the whole model beside each rank\'s part of it,'
            " which is what FSDP and DeepSpeed are there to avoid.",
            hint='Set train.evaluate.mode to "workers".',
        )


class Pause:
    """What a rank does after a checkpoint that the ranks evaluate.

    It loads the checkpoint as any worker does: the same code and so the same numbers as
    `quarry evaluate`, and nothing of the model in training is touched. Random numbers are seeded
    anew for each micro-step, so the losses are those of a training without evaluation.

    Args:
        connection: To the training's orchestrator.
        feed: Receives what comes over it.
        rank: Names the rank in the pool.
        device: As in the hello; None is the CPU.
        threads: CPU threads.
        on_move: Called after each batch, so that the pause does not look like a hang.
    """

    def __init__(
        self,
        connection: Connection,
        feed: Feed,
        rank: int,
        device: Device | None,
        threads: int | None,
        on_move: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._feed = feed
        self._name = f"rank-{rank}"
        self._device = device
        self._threads = threads
        self._on_move = on_move

    def __call__(self, step: int) -> bool:
        """Returns when the evaluation of this step is over; whether training ends with it."""
        self._connection.send(Evaluate(step=step))
        while True:
            order = self._feed.next_order()
            if order.ticket_path is None:
                return order.is_last
            self._work(order.ticket_path)

    def _work(self, ticket_path: str) -> None:
        import torch

        from quarry_runtime.loop import Loop, Refused

        threads = self._threads or torch.get_num_threads()
        connection: Connection | None = None
        try:
            connection = Connection(ticket_path, self._name, "worker", self._device)
            device = "cpu" if self._device is None else self._device.name
            with _whole_float32():
                Loop(connection, device, threads, on_move=self._on_move).run()
            connection.send(Bye(reason="evaluated"))
        except Refused:
            # It came too late; the next order says how to go on.
            pass
        except Exception as error:
            # The evaluation fails, training does not.
            traceback.print_exception(error)
            if connection is not None:
                connection.send(Fatal(error=to_info(error), query_rows=[], passage_rows=[]))
            if isinstance(error, QuarryError) and error.is_retryable:
                # A GPU that failed: as for any worker, another process may go on; the ranks start
                # again, with the evaluation first.
                raise
        finally:
            if connection is not None:
                connection.close()
        if self._device is not None and torch.cuda.is_available():
            # Training needs what the second model took.
            torch.cuda.empty_cache()


@contextmanager
def _whole_float32() -> Iterator[None]:
    """Products of float32 as a worker has them: training may have asked for TF32, which keeps 10 of 23 bits.

    Not by `allow_tf32`, which torch refuses to read once transformers has set the other name of it.
    """
    from torch.backends.cuda import matmul

    trained = matmul.fp32_precision
    matmul.fp32_precision = "ieee"
    try:
        yield
    finally:
        matmul.fp32_precision = trained
