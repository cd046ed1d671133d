"""torch.compile in the Trainer: the curve of eager mode, plain checkpoints, and what is said when it cannot work."""

from __future__ import annotations

import shutil
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._inductor import config as inductor

from quarry_runtime.errors import EnvironmentFault
from quarry_runtime.modeling.load import load_encoder
from quarry_runtime.protocol.messages import AdapterSpec
from quarry_runtime.training.compiling import compile_failure

HEADERS = Path(sysconfig.get_path("include"), "Python.h")
needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None or not HEADERS.is_file(),
    reason="inductor needs g++ and Python's headers",
)


@pytest.fixture(scope="module")
def small(tiny_of: Callable[..., Path]) -> Path:
    """A model of one layer: tracing takes seconds for each."""
    return tiny_of("bert", num_hidden_layers=1)


def test_a_compiled_model_has_the_same_curve_and_saves_what_any_other_loads(
    build: Callable[..., Any],
    model_spec: Callable[..., Any],
    fake_orchestrator: Callable[[], Any],
    small: Path,
) -> None:
    plain, compiled = fake_orchestrator(), fake_orchestrator()
    spec = model_spec(small, pad_to_multiple_of=64)
    shared = {"model": spec, "max_steps": 2, "is_dropout_on": False}
    # All of torch.compile but the last step.
    compiling = {"torch_compile": True, "torch_compile_backend": "aot_eager"}
    build(plain, args={"learning_rate": 1e-2}, **shared).train()
    trainer = build(compiled, args={"learning_rate": 1e-2, **compiling}, **shared)
    trainer.train()
    assert [s.loss for s in compiled.steps] == pytest.approx(
        [s.loss for s in plain.steps], abs=1e-5
    )
    folder = Path(trainer.args.output_dir) / "checkpoint-2"
    encoder = load_encoder(model_spec(folder), "cpu")
    trained = dict(trainer.model.encoder.named_parameters())
    assert all(torch.equal(trained[name], value) for name, value in encoder.named_parameters())
    resumed = fake_orchestrator()
    spec = model_spec(folder, pad_to_multiple_of=64)
    again = build(
        resumed, resume=folder, model=spec, args=compiling, is_dropout_on=False, max_steps=3
    )
    again.train(resume_from_checkpoint=str(folder))
    assert [step.step for step in resumed.steps] == [3]


def test_an_adapter_in_pieces_has_the_same_step_compiled(
    build: Callable[..., Any],
    fake_orchestrator: Callable[[], Any],
    small: Path,
    model_spec: Callable[..., Any],
) -> None:
    adapter = AdapterSpec(
        r=4,
        alpha=8,
        dropout=0,
        target_modules=["query"],
        rslora=False,
        dora=False,
        base_dtype="float32",
    )
    shared = {"model": model_spec(small, adapter=adapter, pad_to_multiple_of=64)}
    shared |= {"mini_batch_size": 1, "max_steps": 1, "accumulation_steps": 1}
    shared |= {"is_dropout_on": False}
    plain, compiled = fake_orchestrator(), fake_orchestrator()
    compiling = {"torch_compile": True, "torch_compile_backend": "aot_eager"}
    for orchestrator, more in ((plain, {}), (compiled, compiling)):
        torch.compiler.reset()
        # The same adapter to begin with.
        torch.manual_seed(0)
        build(orchestrator, args={"learning_rate": 1e-2, **more}, **shared).train()
    for name in ("loss", "grad_norm"):
        found, wanted = ([getattr(step, name) for step in each.steps] for each in (compiled, plain))
        assert found == pytest.approx(wanted, abs=1e-4)


@needs_compiler
@pytest.mark.timeout(600)
def test_kernels_of_inductor_train_as_eager_mode_does(
    build: Callable[..., Any],
    fake_orchestrator: Callable[[], Any],
    small: Path,
    model_spec: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # One layer and one length: each further shape is compiled anew, for minutes on a busy machine.
    spec = model_spec(small, pad_to_multiple_of=64)
    # Kernels of an earlier run would say nothing about the compiler of today.
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "kernels"))
    # To ask g++ which vector instructions it knows takes half of the time; numbers are the same.
    monkeypatch.setattr(inductor.cpp, "vec_isa_ok", False)
    torch.compiler.reset()
    plain, compiled = fake_orchestrator(), fake_orchestrator()
    # As many passages as queries: one shape for both.
    plain.passages_per_query = compiled.passages_per_query = 1
    shared = {"model": spec, "max_steps": 3, "is_dropout_on": False, "passages_per_query": 1}
    build(plain, args={"learning_rate": 1e-2}, **shared).train()
    build(compiled, args={"learning_rate": 1e-2, "torch_compile": True}, **shared).train()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    assert list((tmp_path / "kernels").rglob("*.so"))
    for name in ("loss", "grad_norm"):
        found, wanted = ([getattr(step, name) for step in each.steps] for each in (compiled, plain))
        assert found == pytest.approx(wanted, abs=1e-4)


def test_a_missing_compiler_is_told_before_anything_is_loaded(
    build: Callable[..., Any],
    fake_orchestrator: Callable[[], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CXX", str(tmp_path / "no-compiler"))
    with pytest.raises(EnvironmentFault, match=r"needs a C\+\+ compiler .*no-compiler") as caught:
        build(fake_orchestrator(), args={"torch_compile": True})
    assert "apt install g++" in (caught.value.hint or "")
    # Other backends need none.
    build(fake_orchestrator(), args={"torch_compile": True, "torch_compile_backend": "aot_eager"})
    compiler = tmp_path / "no-compiler"
    compiler.write_text("")
    compiler.chmod(0o755)
    monkeypatch.setattr(sysconfig, "get_path", lambda _name: str(tmp_path))
    with pytest.raises(EnvironmentFault, match=r"there is no .*Python\.h") as caught:
        build(fake_orchestrator(), args={"torch_compile": True})
    assert "python3-dev" in (caught.value.hint or "")


def test_a_backend_that_fails_is_told_in_a_line() -> None:
    def failing(*_: Any) -> Any:
        raise OSError("the disk is made of cheese\nand more")

    with pytest.raises(RuntimeError) as caught:
        torch.compile(torch.nn.Linear(2, 2), backend=failing)(torch.ones(1, 2))
    told = compile_failure(caught.value)
    assert told is not None
    assert "torch.compile failed (OSError: the disk is made of cheese)." in str(told)
    assert compile_failure(RuntimeError("no")) is None
