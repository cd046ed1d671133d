"""InfoNCE against an independent computation and against sentence-transformers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quarry_runtime.errors import ConfigError
from quarry_runtime.modeling.losses.inputs import LossInputs
from quarry_runtime.modeling.registry import find_loss, losses


def make_inputs(
    seed: int, queries: int, per_query: int, others: int, dimension: int = 8
) -> LossInputs:
    """Queries whose groups begin at column `others`; some columns masked."""
    draw = torch.Generator().manual_seed(seed)
    columns = others + queries * per_query
    unit = torch.nn.functional.normalize
    return LossInputs(
        queries=unit(torch.randn(queries, dimension, generator=draw), dim=-1).requires_grad_(),
        passages=unit(torch.randn(columns, dimension, generator=draw), dim=-1).requires_grad_(),
        positive_columns=others + torch.arange(queries) * per_query,
        mask=torch.rand(queries, columns, generator=draw) < 0.3,
        labels=torch.zeros(queries, per_query),
        counts=torch.full((queries,), per_query),
    )


def by_hand(batch: LossInputs, temperature: float) -> float:
    """The definition, query by query in float64, without a matrix or a softmax of a library."""
    queries, passages = (
        batch.queries.detach().double().numpy(),
        batch.passages.detach().double().numpy(),
    )
    total = 0.0
    for query, positive in enumerate(batch.positive_columns.tolist()):
        kept = [c for c in range(len(passages)) if c == positive or not batch.mask[query, c]]
        logits = [float(np.dot(queries[query], passages[c])) / temperature for c in kept]
        highest = max(logits)
        log_sum = highest + np.log(sum(np.exp(logit - highest) for logit in logits))
        total += log_sum - logits[kept.index(positive)]
    return total / len(queries)


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 10_000),
    queries=st.integers(1, 5),
    per_query=st.integers(1, 4),
    others=st.integers(0, 6),
    temperature=st.floats(0.01, 2),
)
def test_infonce_equals_its_definition_for_any_batch_and_mask(
    seed: int, queries: int, per_query: int, others: int, temperature: float
) -> None:
    batch = make_inputs(seed, queries, per_query, others)
    entry = find_loss("infonce")
    loss = entry.factory(entry.parse({"temperature": temperature}))(batch)
    assert loss.item() == pytest.approx(by_hand(batch, temperature), abs=1e-4, rel=1e-4)


def test_a_masked_column_gets_no_gradient_and_a_masked_positive_still_counts() -> None:
    batch = make_inputs(3, queries=1, per_query=3, others=0)
    batch.mask[0] = torch.tensor([True, True, False])
    entry = find_loss("infonce")
    loss = entry.factory(entry.parse({}))(batch)
    loss.backward()
    assert loss.item() > 0
    assert batch.passages.grad is not None
    assert batch.passages.grad[0].abs().sum() > 0
    assert batch.passages.grad[1].abs().sum() == 0


@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_infonce_equals_sentence_transformers_multiple_negatives_ranking_loss(
    temperature: float,
) -> None:
    from sentence_transformers.sentence_transformer.losses import (
        MultipleNegativesRankingLoss,
    )
    from sentence_transformers.util import cos_sim

    batch = make_inputs(7, queries=6, per_query=3, others=0)
    batch.mask.zero_()

    class Given(torch.nn.Module):
        """Stands for their model: hands out vectors that are already there."""

        def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return features

    theirs = MultipleNegativesRankingLoss(Given(), scale=1 / temperature, similarity_fct=cos_sim)  # type: ignore[arg-type]
    columns = [{"sentence_embedding": batch.passages[offset::3]} for offset in range(3)]
    expected = theirs([{"sentence_embedding": batch.queries}, *columns], torch.empty(0))
    expected_grads = torch.autograd.grad(expected, [batch.queries, batch.passages])

    entry = find_loss("infonce")
    ours = entry.factory(entry.parse({"temperature": temperature}))(batch)
    assert ours.item() == pytest.approx(expected.item(), rel=1e-6)
    for got, wanted in zip(
        torch.autograd.grad(ours, [batch.queries, batch.passages]), expected_grads, strict=True
    ):
        # Theirs normalises once more, which takes the radial part out of the gradient.
        assert torch.allclose(_tangent(got, batch), _tangent(wanted, batch), atol=1e-5)


def _tangent(gradient: torch.Tensor, batch: LossInputs) -> torch.Tensor:
    vectors = batch.queries if gradient.shape == batch.queries.shape else batch.passages
    vectors = vectors.detach()
    return gradient - (gradient * vectors).sum(-1, keepdim=True) * vectors


def test_scores_keep_full_precision_under_autocast() -> None:
    batch = make_inputs(1, queries=4, per_query=2, others=0)
    plain = batch.scores(0.05)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(batch.scores(0.05), plain)


def test_losses_are_listed_with_typed_options_and_a_wrong_option_names_the_nearest() -> None:
    listed = losses()
    assert {"infonce", "kl"} <= set(listed)
    option = listed["infonce"].options()[0]
    assert (option.name, option.type, option.default, option.is_required) == (
        "temperature",
        "float",
        0.05,
        False,
    )
    assert option.sentence
    with pytest.raises(ConfigError) as caught:
        listed["infonce"].parse({"temprature": 0.1})
    assert "temperature" in (caught.value.hint or "")
    with pytest.raises(ConfigError):
        listed["infonce"].parse({"temperature": 0})
