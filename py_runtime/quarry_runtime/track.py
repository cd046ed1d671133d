"""`python -m quarry_runtime track`: hands numbers of a run, which come as JSON lines, to an experiment tracker.

Trackers are those of accelerate, so what it knows is known here. The first line holds the options of the experiment,
{"config": {…}}; each other one {"step": 12, "values": {"train/loss": 0.5}}.

Where a tracker can go on with a run, a further call for the same run folder does, with what is new: a record in that
folder holds the tracker's name of the run and how far each metric was told.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from quarry_runtime.errors import ConfigError, EnvironmentFault, IntegrityError
from quarry_runtime.guard.durable import whole_file

# What a tracker calls the name of a run in its project.
_NAMES = {"wandb": "name", "trackio": "name", "mlflow": "run_name", "swanlab": "experiment_name"}
# Trackers that forget values of a step before the newest one: a checkpoint is measured while training goes on.
_IN_ORDER = {"wandb", "trackio", "swanlab"}
# Trackers that can go on with a run: what it is called there, and what they are made with to do so.
_GOING_ON: dict[str, tuple[Callable[[Any], str], Callable[[str], dict[str, Any]]]] = {
    # Its files lie in one folder, whoever writes them.
    "tensorboard": (lambda _: "", lambda _: {}),
    "wandb": (lambda made: made.tracker.id, lambda run: {"id": run, "resume": "allow"}),
    "mlflow": (lambda made: made.tracker.info.run_id, lambda run: {"run_id": run}),
}
# MLflow refuses any other character in the name of a metric.
_UNFIT_FOR_MLFLOW = re.compile(r"[^\w\-. :/]")


class _Record(msgspec.Struct):
    """What is kept of a run in a tracker."""

    project: str
    #: Where the tracker keeps its files, as seen from the record: the run folder may be moved.
    folder: str
    run: str
    #: The last step of each metric that was handed over.
    told: dict[str, int]


def main(argv: list[str]) -> int:
    """Ends with the lines on stdin."""
    parser = argparse.ArgumentParser(prog="quarry_runtime track")
    parser.add_argument("--tracker", required=True)
    parser.add_argument("--project", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--dir", required=True)
    parser.add_argument("--record", required=True, type=Path)
    options = parser.parse_args(argv)
    # Ctrl-C reaches the whole group: whoever writes the lines ends them, and what came is handed over whole.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    names = (options.tracker, options.project, options.name)
    track(sys.stdin, *names, options.dir, options.record)
    return 0


def track(
    lines: Iterable[str], tracker_name: str, project: str, name: str, folder: str, file: Path
) -> None:
    """Logs each line as it comes, but for what an earlier call has told.

    Args:
        lines: JSON, as the module says.
        folder: Where trackers write that keep files.
        file: Where the record of this run in this tracker is kept.

    Raises:
        ConfigError: a tracker that accelerate does not know.
        EnvironmentFault: its package is not installed, or it refuses to start.
        IntegrityError: a record that somebody else wrote.
    """
    place = os.path.relpath(folder, file.parent)
    earlier = _read(file) if tracker_name in _GOING_ON else None
    if earlier is not None and (earlier.project, earlier.folder) != (project, place):
        earlier = None
    tracker = _start(tracker_name, project, name, folder, earlier and earlier.run, file)
    record = _Record(project, place, "", {})
    if tracker_name in _GOING_ON:
        record.run = _GOING_ON[tracker_name][0](tracker)
        if earlier is not None and earlier.run == record.run:
            record.told = earlier.told
        _write(file, record)
    told = record.told
    # A run that is gone on with takes nothing more at the steps that it has.
    last = max(told.values(), default=-1) + 1
    try:
        for line in lines:
            content = json.loads(line)
            if "config" in content:
                # It is that of the run folder: TensorBoard would list it once more, MLflow refuse another one.
                if not told:
                    tracker.store_init_configuration(content["config"])
                continue
            step, values = content["step"], content["values"]
            new = {key: value for key, value in values.items() if told.get(key, -1) < step}
            if not new:
                continue
            _log(tracker, tracker_name, step, new, last)
            last = max(last, step)
            if tracker_name in _GOING_ON:
                told.update(dict.fromkeys(new, step))
    finally:
        tracker.finish()
        # Not before: what is told of as handed over may be on its way until then.
        if tracker_name in _GOING_ON:
            _write(file, record)


def _log(tracker: Any, name: str, step: int, values: dict[str, Any], last: int) -> None:
    if name in _IN_ORDER and step < last:
        # Its curve is a little to the right; where it belongs stands beside it.
        values = {**values, "evaluation/step": step}
        step = last
    if name == "mlflow":
        values = {_UNFIT_FOR_MLFLOW.sub("_", key): value for key, value in values.items()}
    tracker.log(values, step=step)


def _read(file: Path) -> _Record | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Record)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise IntegrityError(
            f"{file}: {error}", hint="Remove it to begin a new run in the tracker."
        ) from error


def _write(file: Path, record: _Record) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(file) as temporary:
        temporary.write_bytes(msgspec.json.encode(record))


def _start(
    tracker_name: str, project: str, name: str, folder: str, run: str | None, file: Path
) -> Any:
    from accelerate import PartialState
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    # Its loggers ask who they are; no GPU is woken for that.
    PartialState(cpu=True)

    known = sorted(str(key) for key in LOGGER_TYPE_TO_CLASS)
    if tracker_name not in known:
        raise ConfigError(
            f"There is no tracker {tracker_name}.", hint=f"There are {', '.join(known)}."
        )
    make = LOGGER_TYPE_TO_CLASS[tracker_name]
    options: dict[str, Any] = {_NAMES[tracker_name]: name} if tracker_name in _NAMES else {}
    if make.requires_logging_directory:
        options["logging_dir"] = folder
    # Another run that is asked for in W&B's own way has the word, as MLflow's has.
    if run is not None and not (tracker_name == "wandb" and os.environ.get("WANDB_RUN_ID")):
        options |= _GOING_ON[tracker_name][1](run)
    try:
        tracker = make(project, **options)
        tracker.start()
    except ImportError as error:
        raise EnvironmentFault(
            f"{tracker_name} is not installed: {error}.",
            hint=f"{sys.executable} -m pip install {tracker_name.replace('_', '-')}",
        ) from error
    except Exception as error:
        way_out = "Log in to it as its own manual says, or set it to work offline."
        if run is not None:
            way_out += f" If the run {run} is no longer there, remove {file} to begin a new one."
        raise EnvironmentFault(f"{tracker_name} does not start: {error}", hint=way_out) from error
    return tracker
