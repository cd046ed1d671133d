"""The listwise losses over graded labels, each against its definition in plain Python."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quarry_runtime.modeling.losses.inputs import LossInputs

ANY_SHAPE: dict[str, Any] = {
    "seed": st.integers(0, 10_000),
    "queries": st.integers(1, 4),
    "per_query": st.integers(1, 5),
    "before": st.integers(0, 2),
    "after": st.integers(0, 2),
}


def softmax(values: list[float]) -> list[float]:
    powers = [math.exp(value - max(values)) for value in values]
    return [power / sum(powers) for power in powers]


def proportional(labels: list[float]) -> list[float]:
    return [label / sum(labels) if sum(labels) > 0 else 0.0 for label in labels]


def own(batch: LossInputs, query: int) -> tuple[list[float], list[float]]:
    """Similarities and labels of a query's real passages."""
    first, count = int(batch.positive_columns[query]), int(batch.counts[query])
    vectors = batch.passages.detach()[first : first + count].double()
    scores = (vectors @ batch.queries[query].detach().double()).tolist()
    return scores, batch.labels[query, :count].tolist()


@pytest.mark.parametrize("targets", ["proportional", "softmax"])
@settings(max_examples=25)
@given(temperature=st.floats(0.05, 3), **ANY_SHAPE)
def test_listwise_equals_its_definition(
    make_batch: Any, run: Any, targets: str, temperature: float, **shape: int
) -> None:
    batch = make_batch(**shape)
    expected = 0.0
    for query in range(len(batch.queries)):
        scores, labels = own(batch, query)
        shares = softmax([score / temperature for score in scores])
        wanted = proportional(labels) if targets == "proportional" else softmax(labels)
        expected -= sum(t * math.log(s) for t, s in zip(wanted, shares, strict=True))
    loss = run("listwise", batch, temperature=temperature, targets=targets)
    assert loss.item() == pytest.approx(expected / len(batch.queries), abs=1e-4, rel=1e-4)


@pytest.mark.parametrize("targets", ["proportional", "softmax"])
@settings(max_examples=25)
@given(temperature=st.floats(0.05, 3), **ANY_SHAPE)
def test_ws_contrastive_equals_its_definition_over_all_columns(
    make_batch: Any, run: Any, targets: str, temperature: float, **shape: int
) -> None:
    batch = make_batch(**shape)
    passages = batch.passages.detach().double()
    expected = 0.0
    for query, first in enumerate(batch.positive_columns.tolist()):
        _, labels = own(batch, query)
        graded = {first + place: label for place, label in enumerate(labels)}
        paddings = range(first + len(labels), first + batch.labels.shape[1])
        columns = [
            c
            for c in range(len(passages))
            if c in graded or (not batch.mask[query, c] and c not in paddings)
        ]
        scores = [float(passages[c] @ batch.queries[query].detach().double()) for c in columns]
        shares = softmax([score / temperature for score in scores])
        all_labels = [graded.get(c, 0.0) for c in columns]
        wanted = softmax(all_labels) if targets == "softmax" else proportional(all_labels)
        expected -= sum(t * math.log(s) for t, s in zip(wanted, shares, strict=True))
    loss = run("ws_contrastive", batch, temperature=temperature, targets=targets)
    assert loss.item() == pytest.approx(expected / len(batch.queries), abs=1e-4, rel=1e-4)


@settings(max_examples=25)
@given(temperature=st.floats(0.1, 3), **ANY_SHAPE)
def test_lambdarank_equals_its_definition(
    make_batch: Any, run: Any, temperature: float, **shape: int
) -> None:
    batch = make_batch(**shape)
    expected = 0.0
    for query in range(len(batch.queries)):
        scores, labels = own(batch, query)
        order = sorted(range(len(scores)), key=lambda place: -scores[place])
        discount = [math.log2(2 + order.index(place)) for place in range(len(scores))]
        best = sum(
            (2**label - 1) / math.log2(2 + rank)
            for rank, label in enumerate(sorted(labels, reverse=True))
        )
        for a in range(len(scores)):
            for b in range(len(scores)):
                if labels[a] > labels[b]:
                    gain = abs(2 ** labels[a] - 2 ** labels[b]) / best
                    swap = abs(1 / discount[a] - 1 / discount[b])
                    odds = math.exp(-(scores[a] - scores[b]) / temperature)
                    expected += gain * swap * math.log(1 + odds)
    loss = run("lambdarank", batch, temperature=temperature)
    assert loss.item() == pytest.approx(expected / len(batch.queries), abs=1e-4, rel=1e-4)


def test_listwise_with_softmax_targets_has_the_gradient_of_kl(make_batch: Any, run: Any) -> None:
    batch = make_batch(4)
    losses = [run("listwise", batch, targets="softmax"), run("kl", batch)]
    kinds = [torch.autograd.grad(loss, batch.passages, retain_graph=True)[0] for loss in losses]
    assert torch.allclose(kinds[0], kinds[1], atol=1e-6)
    assert not torch.allclose(losses[0], losses[1])


def test_ws_contrastive_with_one_graded_passage_is_infonce(make_batch: Any, run: Any) -> None:
    batch = make_batch(4, before=1, after=1)
    labels = torch.zeros_like(batch.labels)
    labels[:, 0] = 2.0
    # infonce keeps to the mask for explicit negatives, ws_contrastive never leaves a graded one out.
    mask = batch.mask.scatter(1, batch.own_columns(), ~batch.is_real())
    batch = replace(batch, labels=labels, mask=mask)
    assert run("ws_contrastive", batch).item() == pytest.approx(run("infonce", batch).item())


@pytest.mark.parametrize("name", ["listwise", "ws_contrastive", "lambdarank"])
def test_a_query_whose_labels_are_all_zero_teaches_nothing(
    make_batch: Any, run: Any, name: str
) -> None:
    batch = make_batch(4, queries=1, is_full=True)
    batch = replace(batch, labels=torch.zeros_like(batch.labels))
    loss = run(name, batch)
    loss.backward()
    assert loss.item() == 0
    assert batch.passages.grad.abs().sum() == 0


@pytest.mark.parametrize("name", ["listwise", "ws_contrastive"])
def test_labels_below_0_count_as_0(make_batch: Any, run: Any, name: str) -> None:
    batch = make_batch(5, is_full=True)
    labels = batch.labels - 2
    assert (labels < 0).any()
    below, at = (run(name, replace(batch, labels=each)) for each in (labels, labels.clamp_min(0)))
    assert torch.equal(below, at)


@pytest.mark.parametrize(
    "name", ["listwise", "ws_contrastive", "lambdarank", "margin_mse", "triplet", "cosent"]
)
def test_a_padding_changes_neither_a_loss_nor_a_gradient_whatever_it_holds(
    make_batch: Any, run: Any, name: str
) -> None:
    whole = make_batch(5, queries=2, per_query=4, is_full=True)
    counts = torch.tensor([2, 4])
    mask = whole.mask.clone()
    mask[:, 2:4] = True
    spoilt = whole.labels.clone()
    spoilt[0, 2:] = torch.tensor([1e30, 7.0])
    batches = [
        replace(
            whole,
            counts=counts,
            mask=mask,
            labels=labels,
            everyone=replace(whole.everyone, counts=counts, labels=labels),
        )
        for labels in (whole.labels, spoilt)
    ]
    found = [run(name, batch) for batch in batches]
    assert found[0].item() == found[1].item()
    gradient = torch.autograd.grad(found[1], whole.passages)[0]
    assert torch.isfinite(gradient).all()
    assert gradient[2:4].abs().sum() == 0
    assert gradient.abs().sum() > 0
