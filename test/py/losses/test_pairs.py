"""MarginMSE, triplet and CoSENT, each against its definition and against sentence-transformers."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quarry_runtime.modeling.losses.inputs import LossInputs

ANY_SHAPE: dict[str, Any] = {
    "seed": st.integers(0, 10_000),
    "queries": st.integers(1, 4),
    "per_query": st.integers(1, 4),
    "before": st.integers(0, 2),
    "after": st.integers(0, 2),
}
NOBODY: Any = torch.nn.Identity()


def own(batch: LossInputs, query: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A query's vector and those of its real passages."""
    first = int(batch.positive_columns[query])
    passages = batch.passages.detach()[first : first + int(batch.counts[query])]
    return batch.queries[query].detach().double(), passages.double()


@settings(max_examples=25)
@given(scale=st.floats(0.5, 20), **ANY_SHAPE)
def test_margin_mse_equals_its_definition(
    make_batch: Any, run: Any, scale: float, **shape: int
) -> None:
    batch = make_batch(**shape)
    expected = 0.0
    for query in range(len(batch.queries)):
        vector, passages = own(batch, query)
        labels = batch.labels[query].tolist()
        errors = [
            (float((passages[0] - passages[k]) @ vector) * scale - (labels[0] - labels[k])) ** 2
            for k in range(1, len(passages))
        ]
        expected += sum(errors) / max(1, len(errors))
    loss = run("margin_mse", batch, scale=scale)
    assert loss.item() == pytest.approx(expected / len(batch.queries), abs=1e-4, rel=1e-4)


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "manhattan"])
@settings(max_examples=25)
@given(margin=st.floats(0.05, 2), **ANY_SHAPE)
def test_triplet_equals_its_definition(
    make_batch: Any, run: Any, distance: str, margin: float, **shape: int
) -> None:
    def between(a: list[float], b: list[float]) -> float:
        pairs = list(zip(a, b, strict=True))
        if distance == "cosine":
            lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b))
            return 1 - sum(x * y for x, y in pairs) / lengths
        if distance == "euclidean":
            return math.sqrt(sum((x - y) ** 2 for x, y in pairs))
        return sum(abs(x - y) for x, y in pairs)

    batch = make_batch(**shape)
    expected = 0.0
    for query in range(len(batch.queries)):
        vector, passages = own(batch, query)
        found = [between(vector.tolist(), passage.tolist()) for passage in passages]
        hinges = [max(0.0, margin + found[0] - other) for other in found[1:]]
        expected += sum(hinges) / max(1, len(hinges))
    loss = run("triplet", batch, margin=margin, distance=distance)
    assert loss.item() == pytest.approx(expected / len(batch.queries), abs=1e-4, rel=1e-4)


@settings(max_examples=50)
@given(temperature=st.floats(0.05, 2), **ANY_SHAPE)
def test_cosent_equals_its_definition_over_the_pairs_of_all_ranks(
    make_batch: Any, run: Any, temperature: float, **shape: int
) -> None:
    batch = make_batch(**shape)
    everyone, size = batch.everyone, batch.labels.shape[1]
    pairs = [
        (
            float(everyone.labels[g, p]),
            float(
                everyone.queries[g].detach().double()
                @ batch.passages.detach()[g * size + p].double()
            ),
        )
        for g in range(len(everyone.queries))
        for p in range(int(everyone.counts[g]))
    ]
    total = 1.0
    for low, score in pairs:
        for high, better in pairs:
            if low < high:
                total += math.exp((score - better) / temperature)
    loss = run("cosent", batch, temperature=temperature)
    assert loss.item() == pytest.approx(math.log(total), abs=1e-4, rel=1e-4)
    loss.backward()
    assert torch.isfinite(batch.passages.grad).all()


def test_cosent_without_two_different_labels_is_zero(make_batch: Any, run: Any) -> None:
    batch = make_batch(1, queries=1, per_query=1)
    loss = run("cosent", batch)
    loss.backward()
    assert loss.item() == 0
    assert batch.passages.grad.abs().sum() == 0


def test_vectors_that_are_equal_have_a_finite_gradient_of_their_distance(
    make_batch: Any, run: Any
) -> None:
    batch = make_batch(1, queries=1, per_query=2, is_full=True)
    with torch.no_grad():
        batch.passages[0] = batch.queries[0]
    run("triplet", batch, distance="euclidean", margin=5.0).backward()
    assert torch.isfinite(batch.passages.grad).all()


def test_margin_mse_equals_sentence_transformers_margin_mse_loss(make_batch: Any, run: Any) -> None:
    from sentence_transformers.sentence_transformer.losses import MarginMSELoss

    batch = make_batch(3, queries=5, per_query=3, is_full=True)
    columns = [batch.passages[offset::3] for offset in range(3)]
    theirs = MarginMSELoss(NOBODY).compute_loss_from_embeddings(
        [batch.queries, *columns], batch.labels
    )
    agree(run("margin_mse", batch), theirs, batch)


@pytest.mark.parametrize("distance", ["COSINE", "EUCLIDEAN", "MANHATTAN"])
def test_triplet_equals_sentence_transformers_triplet_loss(
    make_batch: Any, run: Any, distance: str
) -> None:
    from sentence_transformers.sentence_transformer.losses import (
        TripletDistanceMetric,
        TripletLoss,
    )

    batch = make_batch(3, queries=5, per_query=2, is_full=True)
    metric = getattr(TripletDistanceMetric, distance)
    theirs = TripletLoss(NOBODY, distance_metric=metric, triplet_margin=0.7)
    columns = [batch.queries, batch.passages[::2], batch.passages[1::2]]
    ours = run("triplet", batch, distance=distance.lower(), margin=0.7)
    agree(ours, theirs.compute_loss_from_embeddings(columns, torch.empty(0)), batch)


def test_cosent_equals_sentence_transformers_cosent_loss(make_batch: Any, run: Any) -> None:
    from sentence_transformers.sentence_transformer.losses import CoSENTLoss

    batch = make_batch(3, queries=8, per_query=1, is_full=True)
    theirs = CoSENTLoss(NOBODY, scale=20.0).compute_loss_from_embeddings(
        [batch.queries, batch.passages], batch.labels[:, 0]
    )
    # Theirs takes the length out of the vectors once more, which leaves the value as it is.
    assert run("cosent", batch, temperature=0.05).item() == pytest.approx(theirs.item(), rel=1e-5)


def test_kl_times_the_squared_temperature_is_sentence_transformers_distill_kl_div_loss(
    make_batch: Any, run: Any
) -> None:
    from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss

    batch = make_batch(3, queries=5, per_query=3, is_full=True)
    columns = [batch.passages[offset::3] for offset in range(3)]
    theirs = DistillKLDivLoss(NOBODY, student_temperature=2.0, teacher_temperature=3.0)
    expected = theirs.compute_loss_from_embeddings([batch.queries, *columns], batch.labels)
    agree(4 * run("kl", batch, temperature=2.0, labelTemperature=3.0), expected, batch)


def agree(ours: torch.Tensor, theirs: torch.Tensor, batch: LossInputs) -> None:
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    kinds = [
        torch.autograd.grad(loss, batch.passages, retain_graph=True)[0] for loss in (ours, theirs)
    ]
    assert torch.allclose(kinds[0], kinds[1], atol=1e-5)
