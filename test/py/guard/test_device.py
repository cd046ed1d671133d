"""What is told of a GPU, by a stand-in for the functions of torch that ask its driver."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from quarry_runtime.guard.device import describe_device, pick_dtype


@pytest.mark.parametrize(("number", "dtype"), [(0, "bfloat16"), (1, "float32")], ids=["A100", "T4"])
def test_a_gpu_that_only_emulates_bfloat16_computes_in_float32(
    number: int, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus = [
        SimpleNamespace(name="NVIDIA A100", major=8, minor=0, total_memory=80 << 30),
        SimpleNamespace(name="Tesla T4", major=7, minor=5, total_memory=16 << 30),
    ]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(gpus))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda at: gpus[int(str(at)[-1])])
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda at: gpus[at].name)
    # As torch answers on a machine whose current GPU is the first.
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)

    assert describe_device(f"cuda:{number}").description == gpus[number].name
    assert pick_dtype("auto", f"cuda:{number}") == dtype
