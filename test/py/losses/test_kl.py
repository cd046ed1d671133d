"""The graded loss against an independent computation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quarry_runtime.modeling.losses.inputs import LossInputs
from quarry_runtime.modeling.registry import find_loss


def make(seed: int, queries: int, per_query: int, others: int) -> LossInputs:
    draw = torch.Generator().manual_seed(seed)
    columns = others + queries * per_query
    return LossInputs(
        queries=torch.randn(queries, 8, generator=draw),
        passages=torch.randn(columns, 8, generator=draw).requires_grad_(),
        positive_columns=others + torch.arange(queries) * per_query,
        mask=torch.zeros(queries, columns, dtype=torch.bool),
        labels=torch.randint(0, 4, (queries, per_query), generator=draw).float(),
    )


def shares(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max())
    return powers / powers.sum()


@settings(deadline=None, max_examples=50)
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
    entry = find_loss("kl")
    options = entry.parse({"temperature": temperature, "labelTemperature": label_temperature})
    loss = entry.factory(options)(batch)
    expected = 0.0
    for query in range(queries):
        first = others + query * per_query
        own = batch.passages.detach()[first : first + per_query].double().numpy()
        scores = own @ batch.queries[query].double().numpy() / temperature
        target = shares(batch.labels[query].double().numpy() / label_temperature)
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
    )
    entry = find_loss("kl")
    assert float(entry.factory(entry.parse({"temperature": 1.0}))(batch)) == pytest.approx(
        0, abs=1e-6
    )


def test_kl_leaves_passages_of_other_queries_alone() -> None:
    batch = make(2, queries=2, per_query=2, others=3)
    entry = find_loss("kl")
    entry.factory(entry.parse({}))(batch).backward()
    assert batch.passages.grad is not None
    assert batch.passages.grad[:3].abs().sum() == 0
    assert batch.passages.grad[3:].abs().sum() > 0
