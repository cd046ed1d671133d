"""Some seconds of the real training: how long a step takes, how much memory it needs, and whether it learns at all."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from quarry_runtime.counted import counted
from quarry_runtime.doctor.findings import Finding
from quarry_runtime.doctor.recorded import Recorded
from quarry_runtime.errors import UnusableBatch, is_out_of_memory
from quarry_runtime.guard.memory import peak_bytes
from quarry_runtime.modeling.encoder import Encoder
from quarry_runtime.protocol.messages import TrainStep, TrainTask
from quarry_runtime.training.arguments import training_arguments
from quarry_runtime.training.feed import Feed
from quarry_runtime.training.length_groups import choose_grouping
from quarry_runtime.training.retriever import Retriever, batches_of
from quarry_runtime.training.trainer import QuarryTrainer

#: The first step allocates and compiles; two more make a mean.
_LEAST_STEPS = 3
#: A probe that would take this many times longer than asked for ends with what it has.
_PATIENCE = 3.0


class _CountingFeed(Feed):
    """A feed that counts the tokens of what it hands out."""

    tokens = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in super().__iter__():
            for part in (*batches_of(batch["queries"]), *batches_of(batch["passages"])):
                self.tokens += int(part["attention_mask"].sum())
            yield batch


class _ProbedTrainer(QuarryTrainer):
    """Leaves no checkpoint, also where the probe sees the training's last step: nobody would seal it."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Nothing."""


class _Clock:
    """Ends the training once the time is up, and keeps what each step reported."""

    def __init__(self, seconds: float, stop: Any) -> None:
        self.steps: list[TrainStep] = []
        self._seconds = seconds
        self._stop = stop
        self._began = time.monotonic()

    def hear(self, message: Any) -> None:
        if not isinstance(message, TrainStep):
            return
        self.steps.append(message)
        spent = time.monotonic() - self._began
        is_enough = len(self.steps) >= _LEAST_STEPS and spent >= self._seconds
        if is_enough or spent > _PATIENCE * self._seconds:
            self._stop()


def run_probe(
    retriever: Retriever, encoder: Encoder, task: TrainTask, files: Sequence[Path], seconds: float
) -> Finding:
    """Trains with the real Trainer on micro-batches of the plan, one rank, nothing saved.

    Args:
        retriever: As a rank builds it; its weights are changed.
        encoder: The one inside.
        task: As ranks get it; its output_dir is only a name here.
        files: Packed micro-batches of rank 0; the biggest goes first, so that the memory it takes shows.
        seconds: How long to go on, three steps at least.
    """
    check = "probe"
    biggest = max(files, key=lambda file: file.stat().st_size)
    peer = Recorded([biggest, *(file for file in files if file != biggest)])
    is_on_cpu = not torch.cuda.is_available()
    args, keep = training_arguments(task, is_on_cpu)
    grouping = choose_grouping(task, retriever, args, is_on_cpu)
    feed = _CountingFeed(peer, encoder, task, 0, not is_on_cpu, grouping)
    clock = _Clock(seconds, peer.stop)
    try:
        feed.start()
        trainer = _ProbedTrainer(retriever, args, task, feed, clock.hear, keep)
        if not any(parameter.requires_grad for parameter in retriever.parameters()):
            return _refusal("no parameter is trained", "Unfreeze the encoder or add an adapter.")
        began = time.monotonic()
        trainer.train()
        total = time.monotonic() - began
    except UnusableBatch as error:
        return _refusal(error.message, error.hint)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return Finding(
            check=check,
            status="refuse",
            seen=f"memory ended with {counted(task.queries_per_rank, 'queries')} in a forward pass",
            facts={"isOutOfMemory": True, "peakBytes": peak_bytes(), **_shape(task)},
        )
    steps = clock.steps
    if steps and all((step.grad_norm or 0.0) == 0.0 for step in steps):
        return _refusal(
            f"the gradient of {counted(len(steps), 'steps')} is 0: nothing is learned",
            "Look at the labels and negatives: each query needs something to be told from.",
        )
    timed = steps[1:] or steps
    step_seconds = sum(step.seconds for step in timed) / len(timed)
    facts = {
        "steps": len(steps),
        "stepSeconds": step_seconds,
        "waitShare": sum(step.wait_seconds for step in timed)
        / max(1e-9, step_seconds * len(timed)),
        "tokensPerSecond": feed.tokens / total,
        "peakBytes": peak_bytes(),
        "device": str(args.device),
        "trained": sum(p.numel() for p in retriever.parameters() if p.requires_grad),
        **_shape(task),
    }
    return Finding(check=check, status="ok", seen=counted(len(steps), "steps"), facts=facts)


def _shape(task: TrainTask) -> dict[str, int]:
    return {
        "queriesPerRank": task.queries_per_rank,
        "microSteps": task.accumulation_steps,
    }


def _refusal(seen: str, todo: str | None) -> Finding:
    return Finding(check="learning", status="refuse", seen=seen, todo=todo)
