"""What sentence-transformers computes through a model of its own: GISTEmbed's mask, and Matryoshka."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from quarry_runtime.modeling.registry import find
from quarry_runtime.training.objective import Objective, Term

QUERIES = ["amber river", "stone", "violet cloud forest"]
POSITIVES = ["amber", "copper stone river", "violet"]
NEGATIVES = ["forest cloud", "amber river", "copper copper"]


@pytest.fixture(scope="module")
def model(tiny_bert: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(tiny_bert), device="cpu").eval()


def features(model: Any) -> list[Any]:
    return [model.preprocess(texts) for texts in (QUERIES, POSITIVES, NEGATIVES)]


def ours(model: Any, term: Term) -> float:
    vectors = [
        torch.nn.functional.normalize(torch.tensor(model.encode(texts)), dim=-1)
        for texts in (QUERIES, POSITIVES, NEGATIVES)
    ]
    passages = torch.stack(vectors[1:], dim=1).flatten(0, 1).requires_grad_()
    loss = Objective([term], is_unit=True)(
        vectors[0],
        passages,
        torch.arange(3) * 2,
        torch.zeros(3, 6, dtype=torch.bool),
        torch.zeros(3, 2),
        torch.full((3,), 2),
    )
    return loss.item()


def infonce(**options: Any) -> Any:
    entry = find("loss", "infonce")
    return entry.factory(entry.parse(options))


@pytest.mark.parametrize(
    ("strategy", "margin", "options"),
    [
        ("absolute", 0.05, {"falseNegativeMargin": -0.05}),
        ("absolute", 0.0, {"falseNegativeMargin": 0.0}),
        ("relative", 0.1, {"falseNegativeRatio": 0.9}),
    ],
)
def test_false_negatives_by_margin_are_those_of_gistembed_with_the_model_as_its_own_guide(
    model: Any, strategy: Any, margin: float, options: dict[str, float]
) -> None:
    from sentence_transformers.sentence_transformer.losses import GISTEmbedLoss

    theirs = GISTEmbedLoss(
        *(model, model),
        temperature=0.1,
        margin_strategy=strategy,
        margin=margin,
        contrast_anchors=False,
        contrast_positives=False,
    )
    expected = theirs(features(model), torch.empty(0)).item()
    found = ours(model, Term(infonce(temperature=0.1, **options)))
    assert found == pytest.approx(expected, abs=1e-4)
    assert found != pytest.approx(ours(model, Term(infonce(temperature=0.1))), abs=1e-4)


def test_matryoshka_around_infonce_is_sentence_transformers_matryoshka_loss(model: Any) -> None:
    from sentence_transformers.sentence_transformer.losses import (
        MatryoshkaLoss,
        MultipleNegativesRankingLoss,
    )

    inner = MultipleNegativesRankingLoss(model, scale=10.0)
    theirs = MatryoshkaLoss(model, inner, [32, 8], [1.0, 0.5])
    expected = theirs(features(model), torch.empty(0)).item()
    term = Term(infonce(temperature=0.1), dimensions=[(32, 1.0), (8, 0.5)])
    assert ours(model, term) == pytest.approx(expected, abs=1e-4)
