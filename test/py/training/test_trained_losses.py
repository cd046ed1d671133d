"""Losses in the Trainer: what they learn is trained, saved and gone on with; what they are given."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from quarry_runtime.errors import ConfigError, IntegrityError
from quarry_runtime.modeling.losses.inputs import LossInputs
from quarry_runtime.modeling.losses.temperature import Temperature, TemperatureOptions
from quarry_runtime.modeling.registry import register_loss
from quarry_runtime.training.checkpoints import verify
from quarry_runtime.training.loss_state import NAME
from quarry_runtime.training.optimizer_state import OPTIMIZER


def test_a_learned_temperature_is_trained_and_survives_a_resume_to_the_bit(
    build: Callable[..., Any], fake_orchestrator: Callable[[], Any], loss_spec: Callable[..., Any]
) -> None:
    options: dict[str, Any] = {
        "losses": [loss_spec("infonce", learnableTemperature=True)],
        "args": {"save_steps": 2, "learning_rate": 1e-2, "weight_decay": 0.5},
    }
    whole, resumed = fake_orchestrator(), fake_orchestrator()
    trainer = build(whole, **options)
    start = trainer.model.state_dict()["objective.0.temperature.log_scale"].clone()
    trainer.train()
    folder = Path(trainer.args.output_dir) / "checkpoint-2"
    assert NAME in {entry.path for entry in verify(folder, folder.parent).files}
    again = build(resumed, resume=folder, **options)
    loaded = again.model.state_dict()["objective.0.temperature.log_scale"].clone()
    assert not torch.equal(loaded, start)
    again.train(resume_from_checkpoint=str(folder))
    for left, right in zip(trainer.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(left, right)
    assert [s.loss for s in resumed.steps] == [s.loss for s in whole.steps][2:]
    decayed = trainer.get_decay_parameter_names(trainer.model)
    assert decayed
    assert not [name for name in decayed if "log_scale" in name]


@pytest.mark.usefixtures("leave_no_names")
def test_a_learned_temperature_stops_at_its_bound_and_comes_back(
    build: Callable[..., Any], fake_orchestrator: Callable[[], Any], loss_spec: Callable[..., Any]
) -> None:
    @register_loss("there_and_back", TemperatureOptions)
    class ThereAndBack(torch.nn.Module):
        def __init__(self, options: TemperatureOptions) -> None:
            super().__init__()
            self.temperature, self.calls = Temperature(options), 0

        def forward(self, batch: LossInputs) -> torch.Tensor:
            self.calls += 1
            # Two steps of two micro-steps want it colder, the others warmer.
            wish = 1.0 if self.calls <= 4 else -1.0
            return 0 * batch.own_scores().sum() + wish * self.temperature().sum()

    trainer = build(
        fake_orchestrator(),
        losses=[loss_spec("there_and_back", learnableTemperature=True, temperature=0.011)],
        args={"save_steps": 2, "learning_rate": 0.3, "adam_beta1": 0.0},
    )
    trainer.train()
    saved = load_file(Path(trainer.args.output_dir) / "checkpoint-2" / NAME)
    assert [value.item() for value in saved.values()] == pytest.approx([math.log(100)])
    assert trainer.model.loss.temperature().item() > 0.0101


def test_a_learned_temperature_that_begins_below_the_bound_may_stay_there() -> None:
    temperature = Temperature(TemperatureOptions(temperature=0.001, learnable_temperature=True))
    temperature.keep_in_bounds()
    assert temperature().item() == pytest.approx(0.001)


def test_a_checkpoint_of_losses_that_learned_something_else_is_not_gone_on_with(
    build: Callable[..., Any], fake_orchestrator: Callable[[], Any], loss_spec: Callable[..., Any]
) -> None:
    trainer = build(fake_orchestrator(), max_steps=2)
    trainer.train()
    folder = Path(trainer.args.output_dir) / "checkpoint-2"
    assert not (folder / NAME).exists()
    with pytest.raises(
        ConfigError, match=r"losses that learn nothing, not objective\.0\.temperature"
    ):
        build(
            fake_orchestrator(), resume=folder, losses=[loss_spec("kl", learnableTemperature=True)]
        )


def test_an_optimiser_state_of_weights_that_the_model_does_not_learn_is_refused(
    build: Callable[..., Any], fake_orchestrator: Callable[[], Any], tmp_path: Path
) -> None:
    trainer = build(fake_orchestrator())
    trainer.create_optimizer_and_scheduler(4)
    trainer._save_optimizer_and_scheduler(str(tmp_path))
    trainer._load_optimizer_and_scheduler(str(tmp_path))
    state = torch.load(tmp_path / OPTIMIZER)
    state["state"]["encoder.gone"] = {}
    torch.save(state, tmp_path / OPTIMIZER)
    with pytest.raises(IntegrityError, match=r"has the state of encoder\.gone"):
        trainer._load_optimizer_and_scheduler(str(tmp_path))


def test_further_fields_of_records_reach_the_loss(
    build: Callable[..., Any], fake_orchestrator: Callable[[], Any]
) -> None:
    orchestrator = fake_orchestrator()
    orchestrator.extras_of = ("queries", "passages")
    trainer = build(orchestrator, max_steps=1, accumulation_steps=1)
    seen: list[Any] = []
    own = trainer.model.loss.forward

    def forward(batch: Any) -> Any:
        seen.append(
            ([e["row"] for e in batch.extras.queries], [e["row"] for e in batch.extras.passages])
        )
        return own(batch)

    trainer.model.loss.forward = forward
    trainer.train()
    assert seen == [([0, 1], [1000, 1001, 1002, 1003])]


@pytest.mark.parametrize("side", ["queries", "passages"])
def test_where_one_side_has_further_fields_each_record_of_the_other_has_none(
    build: Callable[..., Any], fake_orchestrator: Callable[[], Any], side: str
) -> None:
    orchestrator = fake_orchestrator()
    orchestrator.extras_of = (side,)
    extras = next(iter(build(orchestrator).feed))["extras"]
    rows = {"queries": [0, 1], "passages": [1000, 1001, 1002, 1003]}
    for each, numbers in rows.items():
        wanted = [{"row": row} for row in numbers] if each == side else [{}] * len(numbers)
        assert getattr(extras, each) == wanted
