"""The graded loss against an independent computation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quarry_runtime.modeling.losses.inputs import LossInputs
from quarry_runtime.modeling.registry import find


def make(seed: int, queries: int, per_query: int, others: int) -> LossInputs:
    draw = torch.Generator().manual_seed(seed)
    columns = others + queries * per_query
    return LossInputs(
        queries=torch.randn(queries, 8, generator=draw),
        passages=torch.randn(columns, 8, generator=draw).requires_grad_(),
        positive_columns=others + torch.arange(queries) * per_query,
        mask=torch.zeros(queries, columns, dtype=torch.bool),
        labels=torch.randint(0, 4, (queries, per_query), generator=draw).float(),
        counts=torch.randint(1, per_query + 1, (queries,), generator=draw),
    )


def shares(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max())
    return powers / powers.sum()


@settings(max_examples=50)
@given(
    seed=st.integers(0, 10_000),
    queries=st.integers(1, 4),
    per_query=st.integers(1, 5),
    others=st.integers(0, 5),
    temperature=st.floats(0.05, 3),
    label_temperature=st.floats(0.2, 3),
)
def test_kl_equals_its_definition_over_each_querys_own_passages(
    seed: int,
    queries: int,
    per_query: int,
    others: int,
    temperature: float,
    label_temperature: float,
) -> None:
    batch = make(seed, queries, per_query, others)
    entry = find("loss", "kl")
    options = entry.parse({"temperature": temperature, "labelTemperature": label_temperature})
    loss = entry.factory(options)(batch)
    expected = 0.0
    for query in range(queries):
        first = others + query * per_query
        count = int(batch.counts[query])
        own = batch.passages.detach()[first : first + count].double().numpy()
        scores = own @ batch.queries[query].double().numpy() / temperature
        target = shares(batch.labels[query, :count].double().numpy() / label_temperature)
        log_found = scores - scores.max() - np.log(np.exp(scores - scores.max()).sum())
        expected += float((target * (np.log(target) - log_found)).sum())
    assert loss.item() == pytest.approx(expected / queries, abs=1e-4, rel=1e-4)


def test_kl_is_zero_when_the_scores_already_follow_the_labels() -> None:
    batch = make(1, queries=1, per_query=3, others=0)
    batch = LossInputs(
        torch.tensor([[1.0]]),
        torch.tensor([[3.0], [1.0], [0.0]]),
        batch.positive_columns,
        batch.mask,
        torch.tensor([[3.0, 1.0, 0.0]]),
        torch.tensor([3]),
    )
    entry = find("loss", "kl")
    assert float(entry.factory(entry.parse({"temperature": 1.0}))(batch)) == pytest.approx(
        0, abs=1e-6
    )


def test_kl_leaves_passages_of_other_queries_alone() -> None:
    batch = replace(make(2, queries=2, per_query=2, others=3), counts=torch.tensor([2, 2]))
    entry = find("loss", "kl")
    entry.factory(entry.parse({}))(batch).backward()
    assert batch.passages.grad is not None
    assert batch.passages.grad[:3].abs().sum() == 0
    assert batch.passages.grad[3:].abs().sum() > 0


def test_a_padding_changes_neither_the_kl_loss_nor_a_gradient_whatever_it_holds() -> None:
    whole = replace(make(5, queries=2, per_query=4, others=0), counts=torch.tensor([2, 4]))
    short = replace(whole, labels=whole.labels.clone())
    short.labels[0, 2:] = torch.tensor([float("inf"), 1e30])
    entry = find("loss", "kl")
    loss = entry.factory(entry.parse({}))
    expected, found = loss(whole), loss(short)
    assert torch.isfinite(found)
    assert found.item() == expected.item()
    found.backward()
    assert short.passages.grad is not None
    assert torch.isfinite(short.passages.grad).all()
    assert short.passages.grad[2:4].abs().sum() == 0
    assert short.passages.grad[:2].abs().sum() > 0


def test_a_passage_masked_as_an_in_batch_negative_keeps_its_share_in_its_own_group() -> None:
    batch = replace(make(5, queries=2, per_query=3, others=0), counts=torch.tensor([3, 3]))
    entry = find("loss", "kl")
    loss = entry.factory(entry.parse({}))
    masked = replace(batch, mask=torch.ones_like(batch.mask))
    assert loss(masked).item() == loss(batch).item()


def test_a_group_of_its_positive_alone_has_a_kl_of_zero() -> None:
    batch = replace(make(5, queries=2, per_query=3, others=0), counts=torch.tensor([1, 1]))
    entry = find("loss", "kl")
    assert entry.factory(entry.parse({}))(batch).item() == 0
