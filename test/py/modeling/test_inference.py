"""Layers that compute by oneDNN give what torch's own give, and notice what changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from quarry_runtime.guard import onednn
from quarry_runtime.modeling.inference import speed_up
from quarry_runtime.modeling.tokens import collate

pytestmark = pytest.mark.skipif(
    not (torch.backends.mkldnn.is_available() and onednn._works()), reason="torch has no oneDNN"
)


@pytest.fixture(autouse=True)
def _on_such_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "is_faster", lambda: True)


def layer(inputs: int = 48, outputs: int = 40, *, bias: bool = True) -> nn.Linear:
    torch.manual_seed(3)
    return nn.Linear(inputs, outputs, bias=bias).requires_grad_(False)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("most_bytes", [0, 2**30])
def test_a_layer_gives_the_same_packed_or_not(
    bias: bool, most_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quarry_runtime.modeling.inference._MOST_PACKED_BYTES", most_bytes)
    model = nn.Sequential(layer(bias=bias))
    inputs = torch.randn(3, 7, 48)
    with torch.no_grad():
        wanted = model(inputs)
        speed_up(model)
        found = model(inputs)
    assert "forward" in vars(model[0])
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


def test_a_weight_that_is_changed_or_replaced_is_used() -> None:
    changed, inputs = layer(), torch.randn(5, 48)
    speed_up(changed)
    with torch.no_grad():
        changed(inputs)
        changed.weight.mul_(2)
        torch.testing.assert_close(
            changed(inputs), nn.functional.linear(inputs, changed.weight, changed.bias)
        )
        changed.weight.data = torch.randn(40, 48)
        torch.testing.assert_close(
            changed(inputs), nn.functional.linear(inputs, changed.weight, changed.bias)
        )


@pytest.mark.parametrize(
    ("vendor", "flags", "expected"),
    [
        ("AuthenticAMD", "fma avx2 avx512f avx512bw", True),
        ("AuthenticAMD", "fma avx2", False),
        ("GenuineIntel", "fma avx2 avx512f avx512bw", False),
        ("", "", False),
    ],
)
def test_the_processor_decides(
    vendor: str, flags: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    facts = {"vendor_id": vendor, "flags": flags}
    monkeypatch.setattr(onednn, "processor", lambda fact: facts[fact])
    assert onednn.is_faster.__wrapped__() is (expected and torch.backends.mkl.is_available())


def test_hooks_run_and_gradients_flow() -> None:
    hooked, seen = layer(), []
    speed_up(hooked)
    hooked.register_forward_hook(lambda *_: seen.append(1))
    inputs = torch.randn(2, 48, requires_grad=True)
    hooked(inputs).sum().backward()
    assert seen == [1]
    assert inputs.grad is not None


def test_other_formats_and_subclasses_stay_torchs_own() -> None:
    class Own(nn.Linear):
        pass

    model = nn.ModuleList([layer().bfloat16(), Own(4, 4)])
    speed_up(model)
    assert all("forward" not in vars(each) for each in model)


def test_an_encoder_gives_the_vectors_that_it_gave(
    tiny_bert: Path, load: Callable[..., Any]
) -> None:
    plain, fast = load(tiny_bert, dtype="float32"), load(tiny_bert, dtype="float32")
    speed_up(fast)
    assert any("forward" in vars(each) for each in fast.modules())
    ids = plain.tokenize(["a cat sat on the mat", "dog", ""], "passage")["input_ids"]
    batch = collate(plain, ids, "passage")
    with torch.inference_mode():
        torch.testing.assert_close(
            fast(batch, "passage"), plain(batch, "passage"), rtol=0, atol=1e-6
        )
