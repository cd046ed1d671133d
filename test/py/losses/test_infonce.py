"""InfoNCE against an independent computation and against sentence-transformers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quarry_runtime.errors import ConfigError
from quarry_runtime.modeling.losses.inputs import LossInputs
from quarry_runtime.modeling.registry import BUILT_IN_NAMES, find, registered


def by_hand(batch: LossInputs, temperature: float, **options: Any) -> float:
    """The definition, passage by passage in float64, without a matrix or a softmax of a library."""
    queries, passages = batch.queries.detach().double(), batch.passages.detach().double()
    everyone = batch.everyone
    assert everyone is not None
    size = batch.labels.shape[1]
    total = 0.0
    for query, first in enumerate(batch.positive_columns.tolist()):
        own = list(range(first, first + int(batch.counts[query])))
        lowest = options.get("minPositiveLabel", float("inf"))
        labels = batch.labels[query].tolist()
        positives = [c for c in own if c == first or labels[c - first] >= lowest]
        if options.get("inBatchNegatives", True):
            others = [c for c in range(len(passages)) if not batch.mask[query, c]]
        else:
            others = [c for c in own if not batch.mask[query, c]]
        score = float(queries[query] @ passages[first])
        limit = min(
            options.get("falseNegativeScore", float("inf")),
            score + options.get("falseNegativeMargin", float("inf")),
            score - abs(score) * (1 - options.get("falseNegativeRatio", float("inf")))
            if "falseNegativeRatio" in options
            else float("inf"),
        )
        found = {c: float(queries[query] @ passages[c]) for c in {*others, *positives}}
        negatives = [c for c in others if c not in positives and found[c] <= limit]
        terms = [share(found[p], [found[n] for n in negatives], temperature) for p in positives]
        loss = sum(terms) / len(terms)
        if options.get("symmetric"):
            back = []
            for positive in positives:
                mask = everyone.mask[query]
                if everyone.own_mask is not None:
                    mask = everyone.own_mask[query, positive - first]
                rivals = [
                    float(passages[positive] @ each)
                    for g, each in enumerate(everyone.queries.detach().double())
                    if g != first // size and not mask[g]
                ]
                rivals = [rival for rival in rivals if rival <= limit]
                back.append(share(found[positive], rivals, temperature))
            loss = (loss + sum(back) / len(back)) / 2
        total += loss
    return total / len(queries)


def share(positive: float, negatives: list[float], temperature: float) -> float:
    return math.log(sum(math.exp((n - positive) / temperature) for n in [positive, *negatives]))


OPTIONS: list[dict[str, Any]] = [
    {},
    {"learnableTemperature": True},
    {"inBatchNegatives": False},
    {"symmetric": True},
    {"minPositiveLabel": 2.0},
    {"minPositiveLabel": 2.0, "symmetric": True},
    {"minPositiveLabel": 1.0, "symmetric": True, "falseNegativeMargin": 0.1},
    {"minPositiveLabel": 2.0, "inBatchNegatives": False},
    {"falseNegativeScore": 0.3},
    {"falseNegativeMargin": 0.1},
    {"falseNegativeMargin": -0.2, "symmetric": True},
    {"falseNegativeRatio": 0.95},
    {"falseNegativeRatio": 0.9, "falseNegativeScore": 0.2, "minPositiveLabel": 1.0},
]


@pytest.mark.parametrize("options", OPTIONS)
@settings(max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    queries=st.integers(1, 4),
    per_query=st.integers(1, 4),
    before=st.integers(0, 2),
    after=st.integers(0, 2),
    temperature=st.floats(0.05, 2),
)
def test_infonce_equals_its_definition_for_any_batch_and_mask(
    make_batch: Any, run: Any, options: dict[str, Any], temperature: float, **shape: int
) -> None:
    batch = make_batch(**shape, has_own_mask="minPositiveLabel" in options)
    loss = run("infonce", batch, temperature=temperature, **options)
    expected = by_hand(batch, temperature, **options)
    assert loss.item() == pytest.approx(expected, abs=1e-4, rel=1e-4)
    loss.backward()
    assert torch.isfinite(batch.passages.grad).all()


def test_a_masked_column_gets_no_gradient_and_a_masked_positive_still_counts(
    make_batch: Any, run: Any
) -> None:
    batch = make_batch(3, queries=1, per_query=3, is_full=True)
    batch.mask[0] = torch.tensor([True, True, False])
    loss = run("infonce", batch)
    loss.backward()
    assert loss.item() > 0
    assert batch.passages.grad[0].abs().sum() > 0
    assert batch.passages.grad[1].abs().sum() == 0


def test_a_query_without_any_negative_teaches_nothing_and_breaks_nothing(
    make_batch: Any, run: Any
) -> None:
    batch = make_batch(3, queries=1, per_query=1, is_full=True)
    loss = run("infonce", batch, symmetric=True, falseNegativeMargin=-1.0)
    loss.backward()
    assert loss.item() == 0
    assert batch.passages.grad.abs().sum() == 0


def test_both_directions_need_the_batchs_queries() -> None:
    entry = find("loss", "infonce")
    with pytest.raises(ConfigError, match="symmetric"):
        entry.factory(entry.parse({"symmetric": True, "inBatchNegatives": False}))


def test_only_what_a_loss_looks_at_is_gathered() -> None:
    def needs(**options: bool) -> tuple[bool, bool]:
        entry = find("loss", "infonce")
        loss = entry.factory(entry.parse(options))
        return loss.needs_all_passages, loss.needs_all_queries

    assert needs() == (True, False)
    assert needs(gatherAcrossDevices=False) == (False, False)
    assert needs(inBatchNegatives=False) == (False, False)
    assert needs(symmetric=True) == (True, True)


@pytest.mark.parametrize("is_symmetric", [False, True])
@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_infonce_equals_sentence_transformers_multiple_negatives_ranking_loss(
    make_batch: Any, run: Any, temperature: float, is_symmetric: bool
) -> None:
    from sentence_transformers.sentence_transformer.losses import (
        MultipleNegativesRankingLoss,
    )
    from sentence_transformers.util import cos_sim

    batch = make_batch(7, queries=6, per_query=3, is_full=True)
    both: Any = {
        "directions": ("query_to_doc", "doc_to_query"),
        "partition_mode": "per_direction",
    }
    theirs = MultipleNegativesRankingLoss(
        torch.nn.Identity(),  # type: ignore[arg-type]
        scale=1 / temperature,
        similarity_fct=cos_sim,
        **(both if is_symmetric else {}),
    )
    columns = [batch.passages[offset::3] for offset in range(3)]
    expected = theirs.compute_loss_from_embeddings([batch.queries, *columns], torch.empty(0))
    expected_grads = torch.autograd.grad(
        expected, [batch.everyone.queries, batch.passages], retain_graph=True
    )

    ours = run("infonce", batch, temperature=temperature, symmetric=is_symmetric)
    assert ours.item() == pytest.approx(expected.item(), rel=1e-6)
    for got, wanted in zip(
        torch.autograd.grad(ours, [batch.everyone.queries, batch.passages]),
        expected_grads,
        strict=True,
    ):
        # Theirs normalises once more, which takes the radial part out of the gradient.
        assert torch.allclose(_tangent(got, batch), _tangent(wanted, batch), atol=1e-5)


def _tangent(gradient: torch.Tensor, batch: LossInputs) -> torch.Tensor:
    vectors = batch.queries if gradient.shape == batch.queries.shape else batch.passages
    vectors = vectors.detach()
    return gradient - (gradient * vectors).sum(-1, keepdim=True) * vectors


def test_scores_keep_full_precision_under_autocast(make_batch: Any) -> None:
    batch = make_batch(1)
    plain = batch.scores(0.05), batch.own_scores(0.05)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(batch.scores(0.05), plain[0])
        assert torch.equal(batch.own_scores(0.05), plain[1])
    assert torch.allclose(plain[0].gather(1, batch.own_columns()), plain[1], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "options"),
    [("infonce", {"symmetric": True}), *((name, {}) for name in sorted(BUILT_IN_NAMES["loss"]))],
)
def test_every_loss_keeps_full_precision_under_autocast(
    make_batch: Any, run: Any, name: str, options: dict[str, Any]
) -> None:
    batch = make_batch(1, has_own_mask=True)
    plain = run(name, batch, **options)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(run(name, batch, **options), plain)


def test_a_negative_exactly_at_the_limit_is_none_of_the_false_ones(
    make_batch: Any, run: Any
) -> None:
    batch = make_batch(3, queries=1, per_query=2, is_full=True)
    batch = replace(batch, passages=batch.passages[:1].expand(2, -1))
    # As similar as the positive, which margin 0 leaves in: one of two alike.
    loss = run("infonce", batch, falseNegativeMargin=0.0, inBatchNegatives=False)
    assert loss.item() == pytest.approx(math.log(2))


def test_losses_are_listed_with_typed_options_and_a_wrong_option_names_the_nearest() -> None:
    listed = registered("loss")
    assert {"infonce", "kl"} <= set(listed)
    option = listed["infonce"].options()[0]
    assert (option.name, option.type, option.default, option.is_required) == (
        "temperature",
        "float",
        0.05,
        False,
    )
    assert option.sentence
    assert option.schema["exclusiveMinimum"] == 0
    with pytest.raises(ConfigError) as caught:
        listed["infonce"].parse({"temprature": 0.1})
    assert "temperature" in (caught.value.hint or "")
    with pytest.raises(ConfigError):
        listed["infonce"].parse({"temperature": 0})
