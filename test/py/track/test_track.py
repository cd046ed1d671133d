"""Numbers that come as lines reach the tracker as it wants them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from accelerate import tracking

from quarry_runtime.errors import ConfigError, EnvironmentFault
from quarry_runtime.track import track


class Recorder:
    """Stands for a package of somebody else."""

    requires_logging_directory = True
    calls: list[Any]

    def __init__(self, project: str, **options: Any) -> None:
        type(self).calls = [("made", project, options)]

    def start(self) -> None:
        self.calls.append("started")

    def store_init_configuration(self, config: dict[str, Any]) -> None:
        self.calls.append(config)

    def log(self, values: dict[str, float], step: int) -> None:
        self.calls.append((step, values))

    def finish(self) -> None:
        self.calls.append("finished")


LINES = [
    {"config": {"train.args.learningRate": 1e-5}},
    {"step": 5, "values": {"train/loss": 0.5}},
    {"step": 3, "values": {"evaluation/nDCG@10": 0.25}},
]


def told(
    monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, lines: list[Any] = LINES
) -> list[Any]:
    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, name, Recorder)
    track(map(json.dumps, lines), name, "project", "run", str(folder))
    return Recorder.calls


def test_a_tracker_gets_the_options_and_then_each_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert told(monkeypatch, tmp_path, "tensorboard") == [
        ("made", "project", {"logging_dir": str(tmp_path)}),
        "started",
        {"train.args.learningRate": 1e-5},
        (5, {"train/loss": 0.5}),
        (3, {"evaluation/nDCG@10": 0.25}),
        "finished",
    ]


def test_one_that_forgets_earlier_steps_gets_the_value_at_the_newest_and_the_step_beside_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made, *_, late, _ = told(monkeypatch, tmp_path, "wandb")
    assert made == ("made", "project", {"name": "run", "logging_dir": str(tmp_path)})
    assert late == (5, {"evaluation/nDCG@10": 0.25, "evaluation/step": 3})


def test_names_of_metrics_fit_mlflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    *_, late, _ = told(monkeypatch, tmp_path, "mlflow")
    assert late == (3, {"evaluation/nDCG_10": 0.25})


def test_a_tracker_is_finished_when_a_line_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(KeyError):
        told(monkeypatch, tmp_path, "wandb", [{"step": 1}])
    assert Recorder.calls[-1] == "finished"


def test_an_unknown_tracker_is_answered_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no tracker abacus") as raised:
        track([], "abacus", "project", "run", str(tmp_path))
    assert "tensorboard" in (raised.value.hint or "")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ImportError("No module named 'wandb'"), "wandb is not installed"),
        (RuntimeError("no key"), "wandb does not start: no key"),
    ],
)
def test_a_tracker_that_cannot_start_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, said: str
) -> None:
    class Broken(Recorder):
        def start(self) -> None:
            raise error

    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "wandb", Broken)
    with pytest.raises(EnvironmentFault, match=said) as raised:
        track([], "wandb", "project", "run", str(tmp_path))
    assert raised.value.hint
