"""Which workers a machine gets: one a GPU, else one; or one alone where a launcher starts each."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
from collections.abc import Mapping

from quarry_runtime.errors import ConfigError, EnvironmentFault
from quarry_runtime.guard.cores import usable_cores


@dataclasses.dataclass(frozen=True)
class Place:
    """One worker: its number on this machine, what it computes on, and its CPU threads."""

    index: int
    device: str
    threads: int


def plan_places(
    workers: int | None,
    device: str,
    threads: int | None,
    environment: Mapping[str, str] = os.environ,
    gpus: int | None = None,
    cores: int | None = None,
) -> list[Place]:
    """Places for workers.

    Args:
        workers: How many; None is one for each GPU, else one. Where torchrun or srun starts one
            process a rank, each is one worker, whatever is asked for here.
        device: auto, cpu or cuda.
        threads: Of each worker; None shares the cores.
        environment: Where LOCAL_RANK and Slurm's variables are looked for.
        gpus, cores: What this machine has; None looks.

    Raises:
        ConfigError: a variable of the launcher is no number.
        EnvironmentFault: cuda is wanted and there is no GPU.
    """
    rank, rank_count = local_rank(environment)
    gpus = 0 if device == "cpu" else count_gpus(environment) if gpus is None else gpus
    cores = usable_cores() if cores is None else cores
    if device == "cuda" and gpus == 0:
        raise EnvironmentFault(
            "No GPU is visible here (CUDA_VISIBLE_DEVICES, nvidia-smi).",
            hint="Use --device cpu, or start on a machine with a GPU.",
        )
    if rank is not None:
        indexes, count = [rank], rank_count
    else:
        count = workers or max(1, gpus)
        indexes = list(range(count))
    share = threads or max(1, cores // count)
    return [Place(index, f"cuda:{index % gpus}" if gpus else "cpu", share) for index in indexes]


def local_rank(environment: Mapping[str, str]) -> tuple[int | None, int]:
    """This process's number among several on this machine, and how many they are.

    None and 1 where it is the only one, so that one task a node still uses all of its GPUs.

    Raises:
        ConfigError: one of the variables is no number.
    """
    if "LOCAL_RANK" in environment:
        size = _number(environment, "LOCAL_WORLD_SIZE") if "LOCAL_WORLD_SIZE" in environment else 0
        return (None, 1) if size == 1 else (_number(environment, "LOCAL_RANK"), max(1, size))
    if "SLURM_LOCALID" in environment:
        size = _tasks_per_node(environment)
        rank = _number(environment, "SLURM_LOCALID")
        # Slurm binds each task to its own cores, so there is nothing left to share.
        return (None, 1) if size == 1 and rank == 0 else (rank, 1)
    return None, 1


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment[name]
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ConfigError(
            f"The environment variable {name} is no number: {text!r}.",
            hint=f"Unset {name}; torchrun and srun set it for their processes.",
        )
    return int(text)


def _tasks_per_node(environment: Mapping[str, str]) -> int:
    """The largest number in Slurm's "2(x3),1"; 1 where it says nothing."""
    text = environment.get("SLURM_STEP_TASKS_PER_NODE", "1")
    counts = [int(number) for number in re.findall(r"(?:^|,)(\d+)", text)]
    return max(counts, default=1)


def count_gpus(environment: Mapping[str, str]) -> int:
    """GPUs that may be used: what CUDA_VISIBLE_DEVICES names, else what nvidia-smi lists."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        # CUDA reads the list up to the first entry that is no device; -1 stands for none.
        count = 0
        for entry in visible.split(","):
            if entry.strip() == "" or entry.strip().startswith("-"):
                break
            count += 1
        return count
    try:
        listed = subprocess.run(
            ["nvidia-smi", "-L"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    if listed.returncode != 0:
        return 0
    return sum(1 for line in listed.stdout.splitlines() if re.match(r"GPU \d+:", line))
