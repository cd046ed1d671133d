"""What all Python tests share: one tiny model of each kind for the whole session."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Before anything imports a hub client: tests never reach for a network.
os.environ["HF_HUB_OFFLINE"] = "1"

FIXTURES = Path(__file__).parents[1] / "fixtures"


def _write_model(folder: Path, arch: str, **options: Any) -> Path:
    spec = importlib.util.spec_from_file_location("tiny_model", FIXTURES / "tiny_model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.write_model(folder, arch, **options)


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a BERT of two layers: mean pooling, right padding, 32 dimensions."""
    return _write_model(tmp_path_factory.mktemp("tiny-bert"), "bert")


@pytest.fixture(scope="session")
def tiny_gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a decoder of two layers: last-token pooling, left padding, 32 dimensions."""
    return _write_model(tmp_path_factory.mktemp("tiny-gpt2"), "gpt2-like")


@pytest.fixture(scope="session")
def tiny_cross(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a folder with a tiny cross-encoder of some labels."""

    def make(labels: int = 1, arch: str = "cross") -> Path:
        return _write_model(tmp_path_factory.mktemp(f"tiny-{arch}"), arch, labels=labels)

    return make


@pytest.fixture(scope="session")
def cross_spec() -> Callable[..., Any]:
    """Makes a CrossEncoderSpec that leaves everything to the checkpoint but what is given."""
    from quarry_runtime.protocol.messages import CrossEncoderSpec

    def make(checkpoint: str | Path, **given: Any) -> CrossEncoderSpec:
        nothing: dict[str, Any] = dict.fromkeys(("revision", "max_length", "activation", "label"))
        rest = {"trust_remote_code": False, "dtype": "auto", "checkpoint": str(checkpoint)}
        return CrossEncoderSpec(**{**nothing, **rest, **given})

    return make


@pytest.fixture(scope="session")
def model_spec() -> Callable[..., Any]:
    """Makes a ModelSpec that leaves everything to the checkpoint but what is given."""
    from quarry_runtime.protocol.messages import ModelSpec

    def make(checkpoint: str | Path, **given: Any) -> ModelSpec:
        nothing: dict[str, Any] = dict.fromkeys(
            ("revision", "pooling", "normalize", "similarity", "query_prompt", "passage_prompt")
        )
        nothing |= {"query_max_length": None, "passage_max_length": None}
        rest = {"trust_remote_code": False, "encoder": "auto", "encoder_options": {}, "plugins": []}
        return ModelSpec(
            **{**nothing, **rest, "checkpoint": str(checkpoint), "dtype": "auto", **given}
        )

    return make


@pytest.fixture(scope="session")
def search_task() -> Callable[..., Any]:
    """Makes a SearchTask over texts, scored as the given model's contract usually says: cosine."""
    from quarry_runtime.protocol.messages import ModelSpec, Scoring, SearchTask

    def make(model: ModelSpec | None, **given: Any) -> SearchTask:
        scoring = Scoring(similarity="cosine", is_normalizing=True, plugins=[])
        rest: dict[str, Any] = {"input": "texts", "vector_dtype": "float32", "tracked_count": 0}
        return SearchTask(**{**rest, "model": model, "scoring": scoring, **given})

    return make


@pytest.fixture
def leave_no_names() -> Iterator[None]:
    """Takes what a test registers out of the registry again."""
    from quarry_runtime.modeling import registry

    # All of Quarry's own first: their modules register them once in a process.
    before = [(kind, registry.registered(kind)) for kind in registry.KINDS]
    yield
    for kind, entries in before:
        registry._REGISTRY[kind] = entries


@pytest.fixture(scope="session")
def load(model_spec: Callable[..., Any]) -> Callable[..., Any]:
    """Loads an encoder on the CPU."""
    from quarry_runtime.modeling.load import load_encoder

    return lambda checkpoint, **given: load_encoder(model_spec(checkpoint, **given), "cpu")
