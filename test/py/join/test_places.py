"""Workers of a machine: one a GPU, else one; alone where torchrun or srun starts each."""

from __future__ import annotations

import pytest

from quarry_runtime.errors import ConfigError, EnvironmentFault
from quarry_runtime.places import Place, count_gpus, plan_places


def plan(
    environment: dict[str, str] | None = None,
    workers: int | None = None,
    device: str = "auto",
    gpus: int = 0,
) -> list[Place]:
    return plan_places(workers, device, None, environment or {}, gpus, cores=8)


def test_one_worker_a_gpu_else_one() -> None:
    assert plan() == [Place(0, "cpu", 8)]
    assert plan(gpus=2) == [Place(0, "cuda:0", 4), Place(1, "cuda:1", 4)]
    assert plan(gpus=2, device="cpu") == [Place(0, "cpu", 8)]
    assert [place.device for place in plan(workers=3, gpus=2)] == ["cuda:0", "cuda:1", "cuda:0"]


def test_cuda_without_a_gpu_is_refused() -> None:
    with pytest.raises(EnvironmentFault, match="No GPU"):
        plan(device="cuda")


@pytest.mark.parametrize(
    ("name", "environment"),
    [
        ("LOCAL_RANK", {"LOCAL_RANK": "x"}),
        ("LOCAL_WORLD_SIZE", {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": ""}),
        ("SLURM_LOCALID", {"SLURM_LOCALID": "-1"}),
    ],
)
def test_a_launchers_variable_that_is_no_number_is_named(
    name: str, environment: dict[str, str]
) -> None:
    with pytest.raises(ConfigError, match=f"{name} is no number"):
        plan(environment)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}, Place(1, "cuda:1", 4)),
        ({"LOCAL_RANK": "3", "LOCAL_WORLD_SIZE": "4"}, Place(3, "cuda:1", 2)),
        ({"SLURM_LOCALID": "1", "SLURM_STEP_TASKS_PER_NODE": "2(x3)"}, Place(1, "cuda:1", 8)),
        ({"SLURM_LOCALID": "0", "SLURM_STEP_TASKS_PER_NODE": "1,4"}, Place(0, "cuda:0", 8)),
    ],
)
def test_a_rank_is_one_worker_on_its_own_device(
    environment: dict[str, str], expected: Place
) -> None:
    assert plan(environment, gpus=2) == [expected]


@pytest.mark.parametrize(
    "environment",
    [
        {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"},
        {"SLURM_LOCALID": "0", "SLURM_STEP_TASKS_PER_NODE": "1(x2)"},
        {"SLURM_LOCALID": "0"},
    ],
)
def test_one_task_a_node_still_uses_all_gpus(environment: dict[str, str]) -> None:
    assert [place.device for place in plan(environment, gpus=2)] == ["cuda:0", "cuda:1"]


def test_a_task_that_sees_one_gpu_takes_that_one() -> None:
    environment = {"SLURM_LOCALID": "3", "SLURM_STEP_TASKS_PER_NODE": "4"}
    assert plan(environment, gpus=1) == [Place(3, "cuda:0", 8)]


@pytest.mark.parametrize(
    ("visible", "count"), [("0,1", 2), ("", 0), ("-1", 0), ("3", 1), ("0,-1,2", 1)]
)
def test_visible_devices_are_counted_as_cuda_reads_them(visible: str, count: int) -> None:
    assert count_gpus({"CUDA_VISIBLE_DEVICES": visible}) == count
