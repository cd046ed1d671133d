"""`python -m quarry_runtime track`: hands numbers of a run, which come as JSON lines, to an experiment tracker.

Trackers are those of accelerate, so what it knows is known here. The first line holds the options of the experiment,
{"config": {…}}; each other one {"step": 12, "values": {"train/loss": 0.5}}.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
from collections.abc import Iterable
from typing import Any

from quarry_runtime.errors import ConfigError, EnvironmentFault

# What a tracker calls the name of a run in its project.
_NAMES = {"wandb": "name", "trackio": "name", "mlflow": "run_name", "swanlab": "experiment_name"}
# Trackers that forget values of a step before the newest one: a checkpoint is measured while training goes on.
_IN_ORDER = {"wandb", "trackio", "swanlab"}
# MLflow refuses any other character in the name of a metric.
_UNFIT_FOR_MLFLOW = re.compile(r"[^\w\-. :/]")


def main(argv: list[str]) -> int:
    """Ends with the lines on stdin."""
    parser = argparse.ArgumentParser(prog="quarry_runtime track")
    parser.add_argument("--tracker", required=True)
    parser.add_argument("--project", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--dir", required=True)
    options = parser.parse_args(argv)
    # Ctrl-C reaches the whole group: whoever writes the lines ends them, and what came is handed over whole.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    track(sys.stdin, options.tracker, options.project, options.name, options.dir)
    return 0


def track(lines: Iterable[str], tracker_name: str, project: str, name: str, folder: str) -> None:
    """Logs each line as it comes.

    Args:
        lines: JSON, as the module says.
        folder: Where trackers write that keep files.

    Raises:
        ConfigError: a tracker that accelerate does not know.
        EnvironmentFault: its package is not installed, or it refuses to start.
    """
    tracker = _start(tracker_name, project, name, folder)
    last = 0
    try:
        for line in lines:
            told = json.loads(line)
            if "config" in told:
                tracker.store_init_configuration(told["config"])
                continue
            step, values = told["step"], told["values"]
            if tracker_name in _IN_ORDER and step < last:
                # Its curve is a little to the right; where it belongs stands beside it.
                values = {**values, "evaluation/step": step}
                step = last
            last = step
            if tracker_name == "mlflow":
                values = {_UNFIT_FOR_MLFLOW.sub("_", key): value for key, value in values.items()}
            tracker.log(values, step=step)
    finally:
        tracker.finish()


def _start(tracker_name: str, project: str, name: str, folder: str) -> Any:
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
    options = {_NAMES[tracker_name]: name} if tracker_name in _NAMES else {}
    if make.requires_logging_directory:
        options["logging_dir"] = folder
    try:
        tracker = make(project, **options)
        tracker.start()
    except ImportError as error:
        raise EnvironmentFault(
            f"{tracker_name} is not installed: {error}.",
            hint=f"{sys.executable} -m pip install {tracker_name.replace('_', '-')}",
        ) from error
    except Exception as error:
        raise EnvironmentFault(
            f"{tracker_name} does not start: {error}",
            hint="Log in to it as its own manual says, or set it to work offline.",
        ) from error
    return tracker
