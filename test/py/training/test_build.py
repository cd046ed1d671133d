"""Losses and whole retrievers of plugins: made, called as they are promised to be, and refused with a reason."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from quarry_runtime.errors import ConfigError
from quarry_runtime.modeling import registry
from quarry_runtime.modeling.load import load_encoder
from quarry_runtime.modeling.losses.inputs import BatchExtras, LossInputs
from quarry_runtime.protocol.messages import RetrieverSpec
from quarry_runtime.training.build import build_loss, build_retriever

pytestmark = pytest.mark.usefixtures("leave_no_names")

HEAD = (
    "import msgspec\n"
    "import torch\n"
    "from torch import nn\n"
    "from quarry_runtime.modeling.registry import register_loss, register_retriever\n"
    "from quarry_runtime.training.retriever import Retriever\n"
)


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], Path]:
    def run(code: str) -> Path:
        file = tmp_path / "mine.py"
        file.write_text(HEAD + code)
        registry.load_plugins([str(file)])
        return file

    return run


@pytest.fixture
def encoder(tiny_bert: Path, model_spec: Callable) -> Any:
    # Without dropout: the same texts have the same vectors each time.
    return load_encoder(model_spec(tiny_bert), "cpu", for_training=True).eval()


def batch_of(encoder: Any) -> dict[str, Any]:
    def tokens(texts: list[str], side: Any) -> dict[str, torch.Tensor]:
        return encoder.collate(encoder.tokenize(texts, side)["input_ids"])

    return {
        "queries": tokens(["amber", "river"], "query"),
        "passages": tokens(["amber stone", "cloud", "river bank", "copper"], "passage"),
        "positive_columns": torch.tensor([0, 2]),
        "mask": torch.zeros((2, 4), dtype=torch.uint8),
        "labels": torch.tensor([[1.0, 0.0], [1.0, 0.0]]),
        "counts": torch.tensor([2, 2]),
    }


def task(name: str | None, **options: Any) -> Any:
    retriever = None if name is None else RetrieverSpec(name=name, options=options)
    own = {"mini_batch_size": None, "length_groups": None}
    return SimpleNamespace(retriever=retriever, is_dropout_on=False, **own)


WHOLE = """
class Options(msgspec.Struct):
    margin: float = 0.5

@register_retriever("margin", Options)
class Margin(nn.Module):
    def __init__(self, encoder, loss, options):
        super().__init__()
        self.encoder, self.margin = encoder, options.margin
    def forward(self, queries, passages, batch):
        q_QD = self.encoder(queries, "query")
        p_QPD = self.encoder(passages, "passage").view(len(q_QD), -1, q_QD.shape[1])
        scores_QP = torch.einsum("qd,qpd->qp", q_QD, p_QPD)
        self.domains = [] if batch.extras is None else [e["domain"] for e in batch.extras.queries]
        return torch.relu(self.margin - scores_QP[:, 0] + scores_QP[:, 1]).mean()
"""


def test_any_module_is_a_whole_retriever(encoder: Any, load: Callable) -> None:
    load(WHOLE)
    retriever = build_retriever(task("margin", margin=2.0), encoder, loss=None)
    batch = batch_of(encoder)
    given = BatchExtras([{"domain": "law"}, {"domain": "art"}], [{}] * 4)
    loss = retriever(**batch, extras=given)["loss"]
    queries = encoder(batch["queries"], "query")
    passages = encoder(batch["passages"], "passage")
    scores = queries @ passages.T
    wanted = torch.relu(2.0 - scores[[0, 1], [0, 2]] + scores[[0, 1], [1, 3]]).mean()
    torch.testing.assert_close(loss, wanted)
    loss.backward()
    assert encoder.transformer.get_input_embeddings().weight.grad is not None
    assert retriever.encoder is encoder
    module: Any = retriever.module
    assert module.domains == ["law", "art"]
    # A parameter has one name: two would be two of the optimiser's.
    names = [name for name, _ in retriever.named_parameters(remove_duplicate=False)]
    assert len(names) == len(set(names)) == len(list(encoder.parameters()))
    assert all(name.startswith(retriever.encoder_prefix) for name in names)
    assert retriever.broken is not None
    assert [each.tolist() for each in retriever.broken] == [[False] * 2, [False] * 4]


def test_a_subclass_of_the_retriever_overrides_a_method(encoder: Any, load: Callable) -> None:
    code = (
        "class Options(msgspec.Struct):\n"
        "    factor: float = 2.0\n"
        "@register_retriever('scaled', Options)\n"
        "class Scaled(Retriever):\n"
        "    def forward(self, *args, **named):\n"
        "        return {'loss': self.options.factor * super().forward(*args, **named)['loss']}\n"
    )
    load(code)
    loss = build_loss("infonce", {"temperature": 0.1})
    batch = batch_of(encoder)
    plain = build_retriever(task(None), encoder, loss)(**batch)["loss"]
    scaled = build_retriever(task("scaled", factor=3.0), encoder, loss)(**batch)["loss"]
    torch.testing.assert_close(scaled, 3.0 * plain)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("@register_loss('l')\nclass L(nn.Module):\n  def __init__(self, o): super().__init__()\n", "no forward"),
        ("@register_loss('l')\nclass L(nn.Module):\n  pass\n", r"cannot be made: .*2 were given"),
        ("@register_loss('l')\nclass L(nn.Module):\n  def __init__(self, o): self.x = nn.Linear(1, 1)\n",
         r"mine\.py:8: AttributeError"),
        ("@register_loss('l')\ndef l(batch):\n  return batch.queries.sum()\n",
         r"mine\.py:8: AttributeError: .*; it was called as l\(options\), without options: None\."),
    ],
)  # fmt: skip
def test_a_loss_that_cannot_be_called_is_refused_before_the_first_step(
    load: Callable, code: str, words: str
) -> None:
    load(code)
    with pytest.raises(ConfigError, match=words):
        build_loss("l", {})


def test_the_example_of_a_loss_trains(encoder: Any, load: Callable) -> None:
    example = (LossInputs.__doc__ or "").partition("Example:\n")[2]
    imports = "from quarry_runtime.modeling.losses.inputs import LossInputs, Tensor\n"
    load(imports + textwrap.dedent(example))
    retriever = build_retriever(task(None), encoder, build_loss("my_loss", {}))
    assert retriever(**batch_of(encoder))["loss"].requires_grad


def test_a_retriever_needs_a_forward_and_the_encoder(encoder: Any, load: Callable) -> None:
    code = (
        "@register_retriever('empty')\n"
        "class Empty(nn.Module):\n"
        "    def __init__(self, encoder, loss, options):\n"
        "        super().__init__()\n"
        "@register_retriever('lost')\n"
        "class Lost(Empty):\n"
        "    def forward(self, queries, passages, batch):\n"
        "        return queries\n"
    )
    load(code)
    with pytest.raises(ConfigError, match="the retriever empty has no forward"):
        build_retriever(task("empty"), encoder, None)
    with pytest.raises(ConfigError, match="the retriever lost keeps no encoder"):
        build_retriever(task("lost"), encoder, None)


def test_a_loss_gets_the_extras_of_its_own_records(encoder: Any, load: Callable) -> None:
    code = (
        "@register_loss('weighted')\n"
        "def weighted(options):\n"
        "    def loss(batch):\n"
        "        weights = torch.tensor([e['weight'] for e in batch.extras.queries])\n"
        "        return (weights * batch.scores(1.0).logsumexp(1)).mean()\n"
        "    return loss\n"
    )
    load(code)
    retriever = build_retriever(task(None), encoder, build_loss("weighted", {}))
    batch = batch_of(encoder)
    both, none = (
        retriever(**batch, extras=BatchExtras([{"weight": 2.0}, {"weight": w}], [{}] * 4))["loss"]
        for w in (2.0, 0.0)
    )
    assert both > none > 0
