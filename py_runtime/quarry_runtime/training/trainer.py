"""transformers' Trainer, fed by the orchestrator: micro-batches in, checkpoints out."""

from __future__ import annotations

import math
import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback, TrainingArguments

from quarry_runtime.counted import first_of
from quarry_runtime.errors import UnusableBatch
from quarry_runtime.guard.save import part_of
from quarry_runtime.modeling.losses.temperature import Temperature
from quarry_runtime.protocol.messages import Checkpoint, TrainStep, TrainTask
from quarry_runtime.training import checkpoints
from quarry_runtime.training.arguments import making
from quarry_runtime.training.evaluation import is_due
from quarry_runtime.training.feed import Feed, Rows
from quarry_runtime.training.gather import gather_numbers, world_size
from quarry_runtime.training.gradcache import cached_step
from quarry_runtime.training.loss_state import save_loss
from quarry_runtime.training.optimizer_state import load_state, save_state
from quarry_runtime.training.retriever import Retriever
from quarry_runtime.training.sharding import keep_outputs, shard_on_cpu, whole_weights


@dataclass
class _MicroStep:
    """What is kept of a micro-step until the optimiser step that it belongs to."""

    rows: Rows
    #: Scalar, already divided by the accumulation steps.
    loss: Tensor
    broken: tuple[Tensor, Tensor]


class _Loader:
    """The feed as Trainer wants it: iterable, without a length, and unknown to accelerate."""

    def __init__(self, trainer: QuarryTrainer) -> None:
        self._trainer = trainer

    def __iter__(self) -> Iterator[dict[str, Any]]:
        yield from self._trainer.feed
        self._trainer.end_between_steps()


class QuarryTrainer(Trainer):
    """One rank's training loop.

    Differences from Trainer: the rank reads its own micro-batches only; random numbers are a
    function of (seed, step, micro-step, rank), so a resume needs no saved generator state; each
    step is reported with the mean loss of all ranks; a loss or gradient that is not finite stops
    before the optimiser sees it; a checkpoint counts once its manifest is written.
    """

    def __init__(
        self,
        retriever: Retriever,
        args: TrainingArguments,
        task: TrainTask,
        feed: Feed,
        send: Callable[[TrainStep | Checkpoint], None],
        keep: int | None,
        on_move: Callable[[], None] = lambda: None,
    ) -> None:
        #: Without what Trainer wraps around it.
        self.retriever = retriever
        self.task = task
        self.feed = feed
        self.send = send
        self.keep = keep
        # Called whenever something got done: without it for long, training hangs.
        self.on_move = on_move
        #: What the ranks do after a checkpoint that they evaluate; says whether training ends.
        self.pause: Callable[[int], bool] | None = None
        self.last_checkpoint: Path | None = None
        self.temperatures = [each for each in retriever.modules() if isinstance(each, Temperature)]
        self._micro_steps: list[_MicroStep] = []
        self._grad_norm: float | None = None
        self._learning_rate = 0.0
        self._step_began = 0.0
        super().__init__(model=retriever, args=args, callbacks=[_StepEnd(self)])

    def create_accelerator_and_postprocess(self) -> None:
        super().create_accelerator_and_postprocess()
        if self.args.fsdp_plugin_args is not None and not self.is_fsdp_enabled:
            shard_on_cpu(self.accelerator, self.args.fsdp_plugin_args)
            self.is_fsdp_enabled = True
        keep_outputs(self.accelerator)

    def create_optimizer(self, model: nn.Module | None = None) -> Any:
        with making("the optimiser", "optim, optimArgs, optimTargetModules and the betas"):
            return super().create_optimizer(model)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        with making("the schedule", "lrSchedulerType, lrSchedulerKwargs and warmupSteps"):
            return super().create_scheduler(num_training_steps, optimizer)

    def get_train_dataloader(self) -> Any:
        # Not prepared by accelerate, which would let rank 0 read everything and broadcast it.
        self.begin_step()
        return _Loader(self)

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> Tensor:
        rows: Rows = inputs.pop("rows")
        self._seed_piece(0)
        if self.task.mini_batch_size is None:
            loss = super().training_step(model, inputs, num_items_in_batch)
        else:
            loss = self._cached_step(model, inputs)
        broken = self.retriever.broken
        assert broken is not None
        self._micro_steps.append(_MicroStep(rows, loss, broken))
        self.on_move()
        return loss

    def _cached_step(self, model: nn.Module, inputs: dict[str, Any]) -> Tensor:
        model.train()
        steps = self.current_gradient_accumulation_steps
        loss = cached_step(
            model,
            self._prepare_inputs(inputs),
            seed=self._seed_piece,
            backward=lambda total: self.accelerator.backward(total / steps),
            no_sync=lambda: self.accelerator.no_sync(model),
        )
        return loss / steps

    def _seed_piece(self, piece: int) -> None:
        # Each rank and micro-step its own stream: dropout must differ between ranks, and a resume must
        # repeat it. Pieces of a cached micro-step count on from 0.
        place = [self.task.seed, self.state.global_step, len(self._micro_steps)]
        entropy = [*place, self.args.process_index, *([piece] if piece else [])]
        _seed(entropy, self.args.device)

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """All that transformers would decay, but nothing of the losses: a temperature is no weight."""
        names = super().get_decay_parameter_names(model)
        return [name for name in names if not name.startswith("objective.")]

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        # The last hook before the optimiser changes the weights, and before the schedule moves on.
        norm: Any = super()._get_grad_norm(model, grad_norm)
        # Of sharded gradients each rank knows a part; asking for the whole is a collective.
        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        self._grad_norm = float(norm)
        self._learning_rate = self._get_learning_rate()
        losses = torch.stack([micro.loss for micro in self._micro_steps])
        is_broken = not bool(torch.isfinite(losses).all())
        # In float16 the scaler meets infinite gradients as a matter of course and skips the step.
        is_broken = is_broken or (not self.args.fp16 and not math.isfinite(self._grad_norm))
        if is_broken:
            raise not_finite(self.state.global_step + 1, self._micro_steps)
        return norm

    def begin_step(self) -> None:
        """Whatever was done since the last step is no part of the next one's time."""
        self._step_began = time.monotonic()

    def finish_step(self) -> int:
        """Reports the step that just ended; returns 0 to go on, 1 to stop, 2 to save and stop.

        All ranks return the same.
        """
        losses = torch.stack([micro.loss for micro in self._micro_steps])
        self._micro_steps.clear()
        wish = self.feed.stop_wish()
        numbers = [float(losses.sum()), self.feed.take_wait_seconds(), float(wish)]
        gathered = gather_numbers(numbers, self.args.device)
        now = time.monotonic()
        seconds, self._step_began = now - self._step_began, now
        if self.args.process_index == 0:
            norm = self._grad_norm
            self.send(
                TrainStep(
                    step=self.state.global_step,
                    loss=float(gathered[:, 0].mean()),
                    learning_rate=float(self._learning_rate),
                    grad_norm=norm if norm is not None and math.isfinite(norm) else None,
                    seconds=seconds,
                    wait_seconds=float(gathered[:, 1].max()),
                )
            )
        return int(gathered[:, 2].max())

    def end_between_steps(self) -> None:
        """Leaves without the step that was waited for; Trainer saves on its way out."""
        self.control.should_training_stop = True
        self.control.should_save = self.last_checkpoint != self._folder()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Nothing: steps are reported as messages; trainer_state.json need not grow."""

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        folder = self._folder()
        if (
            self.args.should_save
            and folder.exists()
            and not (folder / checkpoints.MANIFEST).exists()
        ):
            shutil.rmtree(folder)
        try:
            super()._save_checkpoint(model, trial)
            if self.args.should_save:
                # A checkpoint that outlived the reports of its steps would leave a gap in the curve.
                self.feed.await_seal(self.state.global_step)
                self._seal(folder)
        except Exception as error:
            told = checkpoints.explained(error, folder) if self.args.should_save else error
            if told is error:
                raise
            raise told from error
        self.on_move()
        self.last_checkpoint = folder
        if not self.args.should_save:
            return
        self.send(Checkpoint(step=self.state.global_step, path=str(folder)))
        checkpoints.rotate(Path(self.task.output_dir), self.keep)

    def _folder(self) -> Path:
        return Path(self.task.output_dir) / f"checkpoint-{self.state.global_step}"

    def _seal(self, folder: Path) -> None:
        task = self.task
        checkpoints.seal(
            folder,
            step=self.state.global_step,
            negatives_scope=self._negatives_scope(),
            queries_per_step=world_size() * task.queries_per_rank * task.accumulation_steps,
            seed=task.seed,
            world_size=world_size(),
        )

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        if self.is_fsdp_enabled:
            self._save(output_dir, whole_weights(self.retriever))
        else:
            super().save_model(output_dir, _internal_call)

    def _negatives_scope(self) -> int:
        # A loss that looks at a query's own passages only is the same however a batch is cut.
        objective: Any = getattr(self.retriever, "objective", None)
        if objective is not None and not objective.compares_queries:
            return 0
        task = self.task
        return world_size() * task.queries_per_rank * task.passages_per_query

    def _save(
        self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None
    ) -> None:
        # Weights, tokenizer and the sentence-transformers layout; no pickled training_args.bin.
        if self.args.should_save:
            folder = Path(output_dir or self.task.output_dir)
            folder.mkdir(parents=True, exist_ok=True)
            encoder: Any = self.retriever.encoder
            # Given where parameters are sharded; it is then the Retriever's whole state.
            encoder.save(folder, part_of(state_dict, self.retriever.encoder_prefix))
            save_loss(folder, self.retriever, state_dict)

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: nn.Module | None = None
    ) -> None:
        """Nothing: encoder and losses were built from the checkpoint's folder."""

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        save_state(
            *(Path(output_dir), self.retriever, self.optimizer, self.lr_scheduler),
            self.args.should_save,
        )

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            args = self.args
            load_state(
                *(Path(checkpoint), self.retriever, self.optimizer, self.lr_scheduler),
                *(args.process_index, args.device),
            )

    def _load_scaler(self, checkpoint: str | None) -> None:
        """Rank 0's on all ranks: one that does not see its file would scale its gradients otherwise."""
        super()._load_scaler(checkpoint)
        scaler = getattr(self.accelerator, "scaler", None)
        if checkpoint is None or scaler is None:
            return
        state = scaler.state_dict()
        own = [state["scale"], float(state["_growth_tracker"])]
        scale, steps = gather_numbers(own, self.args.device)[0].tolist()
        scaler.load_state_dict({**state, "scale": scale, "_growth_tracker": int(steps)})

    def _save_rng_state(self, output_dir: str) -> None:
        """Nothing: every micro-step seeds its own generators."""

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Nothing; see _save_rng_state."""


class _StepEnd(TrainerCallback):
    """Ends each step with a report, and training when somebody asked for it."""

    def __init__(self, trainer: QuarryTrainer) -> None:
        self._trainer = trainer

    def on_train_begin(self, args: Any, state: Any, _control: Any, **_: Any) -> None:
        # On a resume transformers takes the steps between checkpoints from the checkpoint.
        state.compute_steps(args, state.max_steps)

    def on_optimizer_step(self, _args: Any, _state: Any, _control: Any, **_: Any) -> None:
        for temperature in self._trainer.temperatures:
            temperature.keep_in_bounds()

    def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> Any:
        wish = self._trainer.finish_step()
        every = self._trainer.task.checkpoint_every
        if every is not None and state.global_step % every == 0:
            control.should_save = True
        if wish:
            control.should_training_stop = True
            control.should_save = control.should_save or wish == 2
        if is_due(self._trainer.task, self._trainer.state.global_step):
            control.should_save = True
        return control

    def on_save(self, _args: Any, state: Any, control: Any, **_: Any) -> Any:
        trainer = self._trainer
        if trainer.pause is not None and is_due(trainer.task, state.global_step):
            control.should_training_stop |= trainer.pause(state.global_step)
            trainer.begin_step()
        return control


def not_finite(step: int, micro_steps: list[_MicroStep]) -> UnusableBatch:
    """The error that names the rows behind a loss or gradient that is NaN or infinite."""
    queries: list[int] = []
    passages: list[int] = []
    for micro in micro_steps:
        queries += micro.rows.queries[micro.broken[0].cpu().numpy()].tolist()
        passages += micro.rows.passages[micro.broken[1].cpu().numpy()].tolist()
    broken = queries + passages
    if broken:
        what = (
            f"query rows [{first_of(queries, 8)}] and passage rows [{first_of(passages, 8)}] have"
            " broken vectors"
        )
    else:
        queries = [row for micro in micro_steps for row in micro.rows.queries.tolist()]
        what = f"every vector is finite, so look at the batch: query rows [{first_of(queries, 8)}]"
    return UnusableBatch(
        f"Step {step}: the loss or its gradient is not finite; {what}.",
        hint="Lower train.args.learningRate, or leave fp16 out; the last checkpoint is good.",
        query_rows=queries,
        passage_rows=passages,
        rows=broken,
    )


def _seed(entropy: list[int], device: torch.device) -> None:
    state = np.random.SeedSequence(entropy).generate_state(2, np.uint32)
    value = int(state[0])
    random.seed(value)
    np.random.seed(value)
    wide = value << 32 | int(state[1])
    if device.type == "cpu":
        # manual_seed would note it for each kind of device that was never used, with a stack trace:
        # 2 ms a step.
        torch.default_generator.manual_seed(wide)
    else:
        torch.manual_seed(wide)
