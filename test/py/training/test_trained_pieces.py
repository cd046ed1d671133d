"""GradCache in the Trainer: a micro-batch in pieces trains as the whole one does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def test_training_in_pieces_gives_the_curve_of_the_whole_batch(
    build: Callable[..., Any], fake_orchestrator: Callable[[], Any], loss_spec: Callable[..., Any]
) -> None:
    whole, pieces = fake_orchestrator(), fake_orchestrator()
    options: dict[str, Any] = {
        "losses": [loss_spec("infonce", learnableTemperature=True)],
        "is_dropout_on": False,
    }
    expected = build(whole, **options)
    expected.train()
    found = build(pieces, mini_batch_size=1, **options)
    found.train()
    assert [s.loss for s in pieces.steps] == pytest.approx([s.loss for s in whole.steps], abs=1e-5)
    assert [s.grad_norm for s in pieces.steps] == pytest.approx(
        [s.grad_norm for s in whole.steps], abs=1e-5
    )


def test_training_in_pieces_repeats_its_curve_after_a_resume_with_dropout_on(
    build: Callable[..., Any], fake_orchestrator: Callable[[], Any]
) -> None:
    whole, resumed = fake_orchestrator(), fake_orchestrator()
    trainer = build(whole, mini_batch_size=1)
    trainer.train()
    folder = Path(trainer.args.output_dir) / "checkpoint-2"
    again = build(resumed, resume=folder, mini_batch_size=1)
    again.train(resume_from_checkpoint=str(folder))
    assert [s.loss for s in resumed.steps] == [s.loss for s in whole.steps][2:]
