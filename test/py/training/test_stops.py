"""Stops and pauses of the Trainer: what is saved before, and that what comes after is as if there had been none."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from quarry_runtime.protocol.messages import Checkpoint, Next, Sealing, TrainStep


def test_a_checkpoint_counts_only_once_its_steps_are_written_down(
    build: Callable[..., Any], fake_orchestrator: Callable[[], Any]
) -> None:
    orchestrator = fake_orchestrator()
    orchestrator.is_sealing = False
    trainer = build(orchestrator)
    ends = threading.Thread(target=trainer.train)
    ends.start()
    manifest = Path(trainer.args.output_dir) / "checkpoint-2" / "quarry-checkpoint.json"
    try:
        while not any(isinstance(message, Sealing) for message in orchestrator.told):
            assert ends.is_alive()
            time.sleep(0.01)
        # All of it is there but what makes it count, and step 3 waits.
        assert (manifest.parent / "optimizer.pt").exists()
        assert not manifest.exists()
        assert [step.step for step in orchestrator.steps] == [1, 2]
    finally:
        orchestrator.is_sealing = True
        orchestrator.seal(2)
        ends.join()
    assert manifest.exists()
    assert [step.step for step in orchestrator.steps] == [1, 2, 3, 4]


@pytest.mark.parametrize("save", [True, False])
def test_a_stop_ends_after_the_step_in_hand_with_a_checkpoint_if_asked(
    build: Callable[..., Any], save: bool, fake_orchestrator: Callable[[], Any]
) -> None:
    orchestrator = fake_orchestrator()
    trainer = build(orchestrator, args={"save_steps": 100})
    orchestrator.stop(save)
    while trainer.feed.stop_wish() == 0:
        pass
    trainer.train()
    assert trainer.state.global_step == 1
    assert (
        Path(trainer.args.output_dir) / "checkpoint-1" / "quarry-checkpoint.json"
    ).exists() == save


@pytest.mark.parametrize("save_steps", [100, 3])
def test_a_stop_between_two_steps_saves_what_is_done_once_and_a_resume_repeats_the_curve(
    build: Callable[..., Any], fake_orchestrator: Callable[[], Any], save_steps: int
) -> None:
    whole, stopped, resumed = fake_orchestrator(), fake_orchestrator(), fake_orchestrator()
    build(whole).train()
    send = stopped.send

    def until_step_3(message: Any, frames: Sequence[Any] = ()) -> None:
        if not isinstance(message, Next) or message.step < 3:
            send(message, frames)
        # Told after the ranks have looked at the wish to stop.
        if isinstance(message, TrainStep) and message.step == 3:
            stopped.stop(save=True, ends_batches=True)

    stopped.send = until_step_3
    trainer = build(stopped, args={"save_steps": save_steps, "learning_rate": 1e-2})
    trainer.train()
    saved = [message.path for message in stopped.told if isinstance(message, Checkpoint)]
    assert saved == [str(Path(trainer.args.output_dir) / "checkpoint-3")]
    again = build(resumed, resume=Path(saved[0]))
    again.train(resume_from_checkpoint=saved[0])
    assert resumed.asked[0] == (3, 0)
    losses = [step.loss for step in [*stopped.steps, *resumed.steps]]
    assert losses == pytest.approx([step.loss for step in whole.steps], abs=1e-6)


def test_a_pause_comes_after_the_checkpoints_that_are_due_and_leaves_no_trace_in_the_losses(
    build: Callable[..., Any], fake_orchestrator: Callable[[], Any]
) -> None:
    undisturbed, paused = fake_orchestrator(), fake_orchestrator()
    build(undisturbed).train()
    trainer = build(paused, args={"save_steps": 100, "learning_rate": 1e-2}, eval_steps=3)
    steps: list[int] = []

    def pause(step: int) -> bool:
        folder = Path(trainer.args.output_dir) / f"checkpoint-{step}"
        assert (folder / "quarry-checkpoint.json").exists()
        torch.manual_seed(0)
        steps.append(step)
        return False

    trainer.pause = pause
    trainer.train()
    assert steps == [3, 4]
    losses = [[step.loss for step in each.steps] for each in (undisturbed, paused)]
    assert losses[0] == losses[1]


def test_a_pause_is_no_part_of_the_next_steps_seconds(
    build: Callable[..., Any],
    fake_orchestrator: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    orchestrator = fake_orchestrator()
    trainer = build(orchestrator, eval_steps=1, max_steps=2)
    # The clock goes on by itself, and by days in a pause.
    real, paused = time.monotonic, 0.0
    monkeypatch.setattr(time, "monotonic", lambda: real() + paused)

    def pause(_step: int) -> bool:
        nonlocal paused
        paused += 1e6
        return False

    trainer.pause = pause
    trainer.train()
    assert max(step.seconds for step in orchestrator.steps) < 1e6


def test_a_pause_may_end_the_training_with_its_step(
    build: Callable[..., Any], fake_orchestrator: Callable[[], Any]
) -> None:
    trainer = build(fake_orchestrator(), eval_steps=2)
    trainer.pause = lambda step: step == 2
    trainer.train()
    assert trainer.state.global_step == 2
