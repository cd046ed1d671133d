"""One rank of a training run, started by torchrun (see quarry_runtime.launch)."""

from __future__ import annotations

import os
import re
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from quarry_runtime.connection import Connection
from quarry_runtime.errors import (
    QuarryError,
    UnusableBatch,
    WorkerFault,
    in_a_line,
    is_out_of_memory,
    raised_at,
    to_info,
)
from quarry_runtime.guard.device import Device, describe_device
from quarry_runtime.guard.parent import name_process
from quarry_runtime.places import count_gpus
from quarry_runtime.protocol.messages import (
    Bye,
    Fatal,
    ModelSpec,
    Ready,
    Trained,
    TrainTask,
)
from quarry_runtime.training.briefing import await_task
from quarry_runtime.training.evaluation import Pause, is_due, refuse_sharded

if TYPE_CHECKING:
    from io import TextIOWrapper

    from quarry_runtime.modeling.encoder import Encoder
    from quarry_runtime.training.trainer import QuarryTrainer

#: After its fatal message a rank waits to be ended, so that torchrun does not start the ranks again
#: first.
_LINGER_SECONDS = 10.0
#: torchrun looks every 0.1 s which ranks ended, and names one: whoever only lost the other comes later.
_WITNESS_SECONDS = 0.5
#: A GPU's driver on Linux, and inside Windows.
_DRIVERS = ("/dev/nvidiactl", "/dev/dxg")
#: Rows of each kind that a fatal message can carry.
_NAMED_ROWS = 100
#: What gloo, NCCL and c10d say when another rank is gone.
_LOST_PEER = re.compile(
    r"gloo|nccl|c10d|TCPStore|connection (closed|reset|refused)|broken pipe", re.IGNORECASE
)


def start(ticket: str) -> None:
    """What torchrun's agent runs in the process of each rank.

    Raises:
        SystemExit: with the status 1, after a failure.
    """
    rank = int(os.environ["RANK"])
    # Ctrl-C in a terminal is for the orchestrator, which asks the ranks to save first.
    os.setsid()
    name_process(f"quarry-rank-{rank}")
    # Lines are told as they come; to a pipe Python would write them by the page.
    cast("TextIOWrapper", sys.stdout).reconfigure(line_buffering=True)
    # Its log holds each start, also of a rank that has nothing else to say.
    print(f"rank {rank} of {os.environ['WORLD_SIZE']} starts as process {os.getpid()}")
    if status := _run(ticket, rank):
        sys.exit(status)


def _run(ticket: str, rank: int) -> int:
    # The orchestrator tells the starts apart by the name: ranks of an earlier one may still be heard
    # of. Each start meets on a port of its own; agents' counts of restarts differ between machines.
    generation = os.environ.get("MASTER_PORT", "0")
    threads = int(os.environ.get("OMP_NUM_THREADS", "0")) or None
    device, fault = _device()
    connection = Connection(ticket, f"rank-{rank}.{generation}", "rank", device)
    if device is None and os.environ.get("WORLD_SIZE") == "1":
        _forget_the_group()
    try:
        if fault is not None:
            raise fault
        _train(connection, rank, device, threads)
        connection.send(Bye(reason="trained"))
        connection.close()
        return 0
    except Exception as error:
        return _report(connection, error)


def _train(connection: Connection, rank: int, device: Device | None, threads: int | None) -> None:
    task = await_task(connection)
    trainer = _build(connection, task)
    first_step = trainer.feed.first_step
    is_over = False
    if task.is_evaluating:
        trainer.pause = Pause(connection, trainer.feed, rank, device, threads, trainer.on_move)
        # A death in an evaluation: it comes first, as it would have.
        is_over = is_due(task, first_step) and first_step > 0 and trainer.pause(first_step)
    if not is_over:
        trainer.train(resume_from_checkpoint=task.resume_from)
    if rank == 0:
        path = trainer.last_checkpoint or Path(task.resume_from or task.output_dir)
        step = first_step if is_over else trainer.state.global_step
        connection.send(Trained(step=step, path=str(path)))
    _leave_group()


def _forget_the_group() -> None:
    """Alone, a rank needs no process group, and no DDP that copies each gradient for nobody.

    On a CPU only: where there are several GPUs, Trainer would take all of them.
    """
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "ROLE_RANK"):
        os.environ.pop(name, None)


def _device() -> tuple[Device | None, Exception | None]:
    """This rank's GPU, or None for the CPU; without a GPU's driver and name, torch is not asked.

    A fault is returned, not raised: it is told once there is a connection to tell it over. That torch sees
    none of the GPUs which were counted is one: it would train on the CPU, as many ranks as there are GPUs.
    """
    has_driver = any(Path(device).exists() for device in _DRIVERS)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible == "" or (visible is None and not has_driver):
        return None, None
    try:
        import torch

        if not torch.cuda.is_available() and count_gpus(os.environ) == 0:
            return None, None
        return describe_device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}"), None
    except Exception as error:
        return None, error


def _build(connection: Connection, task: TrainTask) -> QuarryTrainer:
    # Here and not above: hello must not wait for the seconds that these imports take.
    import torch

    from quarry_runtime.modeling.load import load_encoder
    from quarry_runtime.modeling.registry import load_plugins
    from quarry_runtime.training.arguments import training_arguments
    from quarry_runtime.training.build import build_objective, build_retriever
    from quarry_runtime.training.feed import Feed
    from quarry_runtime.training.length_groups import choose_grouping
    from quarry_runtime.training.loss_state import load_loss
    from quarry_runtime.training.trainer import QuarryTrainer

    # accelerate's own words to the authors of TrainingArguments; no buffer of an encoder changes in
    # training.
    warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated")
    first_step = _verified_step(task)
    # Layers that no checkpoint has (adapters, a plugin's own) start equal on all ranks, run for run.
    torch.manual_seed(task.seed)
    load_plugins(task.model.plugins)
    is_on_cpu = not torch.cuda.is_available()
    args, keep = training_arguments(task, is_on_cpu)
    # Loaded on the CPU: TrainingArguments names the device, and Trainer moves the model there.
    encoder = load_encoder(_source(task), "cpu", for_training=True)
    retriever = build_retriever(task, encoder, build_objective(task, encoder.contract))
    if task.resume_from is not None:
        load_loss(Path(task.resume_from), retriever)
    grouping = choose_grouping(task, retriever, args, is_on_cpu)
    feed = Feed(connection, encoder, task, first_step, not is_on_cpu, grouping)
    feed.start()

    def on_move() -> None:
        connection.progress += 1

    trainer = QuarryTrainer(retriever, args, task, feed, connection.send, keep, on_move)
    refuse_sharded(task, trainer)
    _try(encoder, task, trainer)
    ready = Ready(model=encoder.contract, cross_encoder=None, credits=1)
    connection.send(ready)
    return trainer


def _try(encoder: Encoder, task: TrainTask, trainer: QuarryTrainer) -> None:
    """Encodes a text as a step will, so that a model which can encode none is named before any step.

    What a plugin's encoder or pooling gives was tried as it was loaded, and a plugin's retriever may call an
    encoder as it likes. A sharded model is put on its devices by the first step: until then all of it lies on
    the CPU, where a large one takes long and kernels of GPUs fail.
    """
    from quarry_runtime.modeling.build import needs_trial, try_model
    from quarry_runtime.modeling.registry import find

    is_tried = needs_trial(find("encoder", task.model.encoder), encoder)
    if trainer.is_fsdp_enabled or is_tried or task.retriever is not None:
        return
    # Some models fail, or do not, in one mode only.
    encoder.train(task.is_dropout_on)
    with trainer.accelerator.autocast():
        try_model(encoder, str(trainer.args.device))


def _verified_step(task: TrainTask) -> int:
    if task.resume_from is None:
        return 0
    from quarry_runtime.training.checkpoints import read_manifest, verify

    folder, output_dir = Path(task.resume_from), Path(task.output_dir)
    if folder.parent != output_dir:
        # Files that came over the wire: they were checked when they came, the others stayed there.
        return read_manifest(folder).step
    return verify(folder, output_dir).step


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
        time.sleep(_WITNESS_SECONDS)
    else:
        time.sleep(_LINGER_SECONDS)
    return 1


def _explained(error: Exception) -> QuarryError:
    from quarry_runtime.modeling.plugins import explained
    from quarry_runtime.training.compiling import compile_failure

    text = in_a_line(error)
    if is_out_of_memory(error):
        return WorkerFault(
            f"The device ran out of memory in training ({text}).",
            hint="Set train.miniBatchSize, which keeps every negative, or train.args.gradientCheckpointing,"
            " or lower train.queriesPerRank (accumulation makes up for it).",
        )
    if isinstance(error, RuntimeError) and _LOST_PEER.search(str(error)):
        return WorkerFault(f"The connection to another rank was lost ({text}).", is_retryable=True)
    told = explained(error) or compile_failure(error)
    if told is not None:
        return told
    return WorkerFault(
        f"Training failed: {text}{raised_at(error)}.", hint="The rank's log has the whole trace."
    )
