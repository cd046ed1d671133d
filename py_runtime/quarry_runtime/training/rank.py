"""One rank of a training run, started by torchrun: `python -m quarry_runtime rank --ticket F`."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from quarry_runtime.connection import Connection
from quarry_runtime.errors import (
    ProtocolError,
    QuarryError,
    UnusableBatch,
    WorkerFault,
    to_info,
)
from quarry_runtime.guard.device import Device, describe_device
from quarry_runtime.protocol.messages import (
    Bye,
    Configure,
    Fatal,
    ModelSpec,
    Ready,
    Refuse,
    Trained,
    TrainTask,
)

if TYPE_CHECKING:
    from quarry_runtime.training.trainer import QuarryTrainer

#: After its fatal message a rank waits to be ended, so that torchrun does not start the ranks again
#: first.
_LINGER_SECONDS = 10.0
#: Rows of each kind that a fatal message can carry.
_NAMED_ROWS = 100
#: What gloo, NCCL and c10d say when another rank is gone.
_LOST_PEER = re.compile(
    r"gloo|nccl|c10d|TCPStore|connection (closed|reset|refused)|broken pipe", re.IGNORECASE
)


def main(argv: list[str]) -> int:
    """Trains until the last step, a stop or a failure; returns the process's exit status."""
    parser = argparse.ArgumentParser(prog="quarry_runtime rank")
    parser.add_argument("--ticket", required=True)
    options = parser.parse_args(argv)
    rank, generation = (
        int(os.environ.get("RANK", "0")),
        os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"),
    )
    # The orchestrator reads the generation from the name: ranks of an earlier one may still be
    # heard of.
    threads = int(os.environ.get("OMP_NUM_THREADS", "0")) or None
    device, fault = _device()
    connection = Connection(options.ticket, f"rank-{rank}.{generation}", "rank", device, threads)
    try:
        if fault is not None:
            raise fault
        _train(connection, rank)
        connection.send(Bye(reason="trained"))
        connection.close()
        return 0
    except Exception as error:
        return _report(connection, error)


def _train(connection: Connection, rank: int) -> None:
    task = _configured(connection)
    trainer = _build(connection, task, rank)
    trainer.train(resume_from_checkpoint=task.resume_from)
    if rank == 0:
        path = trainer.last_checkpoint or Path(task.resume_from or task.output_dir)
        connection.send(Trained(step=trainer.state.global_step, path=str(path)))
    _leave_group()


def _device() -> tuple[Device | None, Exception | None]:
    """This rank's GPU, or None for the CPU; without a GPU's driver, torch is not asked.

    A fault is returned, not raised: it is told once there is a connection to tell it over.
    """
    if not Path("/dev/nvidiactl").exists() or os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return None, None
    try:
        import torch

        if not torch.cuda.is_available():
            return None, None
        return describe_device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}"), None
    except Exception as error:
        return None, error


def _configured(connection: Connection) -> TrainTask:
    message, _ = connection.receive()
    if isinstance(message, Refuse):
        raise ProtocolError(message.error.message, hint=message.error.hint)
    if not isinstance(message, Configure) or not isinstance(message.task, TrainTask):
        raise ProtocolError(
            f"A rank waits for its task and got a {type(message).__name__} message."
        )
    return message.task


def _build(connection: Connection, task: TrainTask, rank: int) -> QuarryTrainer:
    # Here and not above: hello must not wait for the seconds that these imports take.
    import torch

    from quarry_runtime.modeling.load import load_encoder
    from quarry_runtime.modeling.registry import find_loss, load_plugins
    from quarry_runtime.training.arguments import training_arguments
    from quarry_runtime.training.feed import Feed
    from quarry_runtime.training.retriever import Retriever
    from quarry_runtime.training.trainer import QuarryTrainer

    # accelerate's own words to the authors of TrainingArguments; no buffer of an encoder changes in
    # training.
    warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated")
    first_step = _verified_step(task)
    load_plugins(task.model.plugins)
    entry = find_loss(task.loss.name)
    loss: Any = entry.factory(entry.parse(task.loss.options))
    is_on_cpu = not torch.cuda.is_available()
    args, keep = training_arguments(task, is_on_cpu)
    # Loaded on the CPU: TrainingArguments names the device, and Trainer moves the model there.
    # What a new adapter begins with is random: the same on every rank and in every run of a seed.
    torch.manual_seed(task.seed)
    encoder = load_encoder(_source(task), "cpu", for_training=True)
    feed = Feed(connection, encoder, task, rank, first_step, is_pinned=not is_on_cpu)
    feed.start()
    retriever = Retriever(encoder, loss, encoder.contract.similarity, task.is_dropout_on)

    def on_move() -> None:
        connection.progress += 1

    trainer = QuarryTrainer(retriever, args, task, feed, connection.send, keep, on_move)
    ready = Ready(task="train", model=encoder.contract, cross_encoder=None, credits=1)
    connection.send(ready)
    return trainer


def _verified_step(task: TrainTask) -> int:
    if task.resume_from is None:
        return 0
    from quarry_runtime.training.checkpoints import verify

    return verify(Path(task.resume_from), Path(task.output_dir)).step


def _source(task: TrainTask) -> ModelSpec:
    """The model to start from: the checkpoint's own folder on a resume."""
    if task.resume_from is None:
        return task.model
    # It holds the encoders of both sides, where they are apart.
    return msgspec.structs.replace(
        task.model, checkpoint=task.resume_from, query_checkpoint=None, query_revision=None
    )


def _leave_group() -> None:
    import torch.distributed as dist

    if dist.is_initialized():
        # Nobody tears down the connections that a slower rank still needs.
        dist.barrier()
        dist.destroy_process_group()


def _report(connection: Connection, error: Exception) -> int:
    """Tells the orchestrator why, and returns the exit status."""
    traceback.print_exception(error)
    sys.stderr.flush()
    told = error if isinstance(error, QuarryError) else _explained(error)
    info = to_info(told)
    queries: list[int] = []
    passages: list[int] = []
    if isinstance(told, UnusableBatch):
        queries, passages = told.query_rows[:_NAMED_ROWS], told.passage_rows[:_NAMED_ROWS]
    connection.send(Fatal(error=info, query_rows=queries, passage_rows=passages))
    if told.is_retryable:
        connection.close()
    else:
        time.sleep(_LINGER_SECONDS)
    return 1


def _explained(error: Exception) -> QuarryError:
    from quarry_runtime.guard.memory import is_out_of_memory

    line = (str(error).strip().splitlines() or [""])[0]
    text = f"{type(error).__name__}: {line}"
    if is_out_of_memory(error):
        return WorkerFault(
            f"The device ran out of memory in training ({text}).",
            hint="Lower train.queriesPerRank (accumulation makes up for it), or set"
            " train.args.gradientCheckpointing.",
        )
    if isinstance(error, RuntimeError) and _LOST_PEER.search(str(error)):
        return WorkerFault(f"The connection to another rank was lost ({text}).", is_retryable=True)
    where = traceback.extract_tb(error.__traceback__)[-1] if error.__traceback__ else None
    place = f" at {where.filename}:{where.lineno}" if where else ""
    return WorkerFault(
        f"Training failed: {text}{place}.", hint="The rank's log has the whole trace."
    )
