"""Numbers that come as lines reach the tracker as it wants them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from accelerate import tracking

from quarry_runtime.errors import ConfigError, EnvironmentFault, IntegrityError
from quarry_runtime.track import track


class Recorder:
    """Stands for a package of somebody else."""

    requires_logging_directory = True
    calls: list[Any]

    def __init__(self, project: str, **options: Any) -> None:
        type(self).calls = [("made", project, options)]
        run = options.get("id") or options.get("run_id") or "first"
        self.tracker = SimpleNamespace(id=run, info=SimpleNamespace(run_id=run))

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
    hand(name, folder, lines)
    return Recorder.calls


def hand(name: str, folder: Path, lines: list[Any], project: str = "project") -> None:
    record = folder / "records" / f"{name}.json"
    track(map(json.dumps, lines), name, project, "run", str(folder), record)


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
        hand("abacus", tmp_path, [])
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
        hand("wandb", tmp_path, [])
    assert raised.value.hint
    assert "remove" not in raised.value.hint


MORE = [
    *LINES,
    {"step": 5, "values": {"evaluate/R@10": 0.5}},
    {"step": 6, "values": {"train/loss": 0.25}},
]


@pytest.mark.parametrize(
    ("name", "goes_on", "late"),
    [
        ("tensorboard", {}, (5, {"evaluate/R@10": 0.5})),
        # It takes nothing at a step that it has.
        (
            "wandb",
            {"id": "first", "resume": "allow"},
            (6, {"evaluate/R@10": 0.5, "evaluation/step": 5}),
        ),
        ("mlflow", {"run_id": "first"}, (5, {"evaluate/R_10": 0.5})),
    ],
)
def test_a_later_call_goes_on_with_the_run_and_tells_what_is_new(
    name: str,
    goes_on: dict[str, str],
    late: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (_, _, options), *_ = told(monkeypatch, tmp_path, name)
    (_, _, again), *calls = told(monkeypatch, tmp_path, name, MORE)
    assert again == {**options, **goes_on}
    assert calls == ["started", late, (6, {"train/loss": 0.25}), "finished"]
    _, *calls = told(monkeypatch, tmp_path, name, MORE)
    assert calls == ["started", "finished"]


def test_a_tracker_that_cannot_go_on_is_told_all_of_it_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    once = told(monkeypatch, tmp_path, "trackio")
    assert told(monkeypatch, tmp_path, "trackio") == once
    assert not list(tmp_path.iterdir())


def test_another_project_is_another_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    once = told(monkeypatch, tmp_path, "mlflow")
    hand("mlflow", tmp_path, LINES, "other")
    assert [
        ("made", "project", {"run_name": "run", "logging_dir": str(tmp_path)}),
        *Recorder.calls[1:],
    ] == once


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_run_that_the_environment_names_is_told_all_of_it(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    once = told(monkeypatch, tmp_path, name)

    class Other(Recorder):
        def start(self) -> None:
            super().start()
            self.tracker = SimpleNamespace(id="other", info=SimpleNamespace(run_id="other"))

    monkeypatch.setenv("WANDB_RUN_ID", "other")
    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, name, Other)
    hand(name, tmp_path, LINES)
    assert Other.calls[1:] == once[1:]
    assert "id" not in Other.calls[0][2]


def test_what_was_told_before_a_line_failed_is_not_told_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(KeyError):
        told(monkeypatch, tmp_path, "mlflow", [*LINES, {"step": 7}])
    _, *calls = told(
        monkeypatch, tmp_path, "mlflow", [*LINES, {"step": 7, "values": {"train/loss": 0.1}}]
    )
    assert calls == ["started", (7, {"train/loss": 0.1}), "finished"]


def test_what_a_tracker_did_not_finish_is_told_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Killed(Recorder):
        def finish(self) -> None:
            raise OSError("gone")

    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "wandb", Killed)
    with pytest.raises(OSError, match="gone"):
        hand("wandb", tmp_path, LINES)
    (_, _, options), *calls = told(monkeypatch, tmp_path, "wandb")
    assert options["id"] == "first"
    assert (5, {"train/loss": 0.5}) in calls


def test_a_run_that_is_gone_from_its_tracker_is_answered_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told(monkeypatch, tmp_path, "mlflow")

    class Gone(Recorder):
        def start(self) -> None:
            raise RuntimeError("Run 'first' not found")

    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "mlflow", Gone)
    with pytest.raises(EnvironmentFault, match="not found") as raised:
        hand("mlflow", tmp_path, LINES)
    record = tmp_path / "records" / "mlflow.json"
    assert f"remove {record}" in (raised.value.hint or "")
    record.write_text("{}")
    with pytest.raises(IntegrityError, match=r"mlflow\.json"):
        hand("mlflow", tmp_path, LINES)
