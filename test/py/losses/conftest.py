"""Batches for the tests of losses: the share of one rank in a batch of several, with what all have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from quarry_runtime.modeling.losses.inputs import AllQueries, LossInputs
from quarry_runtime.modeling.registry import find

MakeBatch = Callable[..., LossInputs]
Run = Callable[..., torch.Tensor]


@pytest.fixture(scope="session")
def make_batch() -> MakeBatch:
    """Makes a batch; all of it is drawn from the seed."""

    def make(
        seed: int,
        queries: int = 3,
        per_query: int = 4,
        *,
        before: int = 0,
        after: int = 0,
        dimension: int = 6,
        is_full: bool = False,
        has_own_mask: bool = False,
    ) -> LossInputs:
        """`queries` groups of this rank behind `before` and in front of `after` groups of others."""
        draw = torch.Generator().manual_seed(seed)
        groups = before + queries + after
        own = slice(before, before + queries)
        unit = torch.nn.functional.normalize
        counts = torch.randint(1, per_query + 1, (groups,), generator=draw)
        if is_full:
            counts = torch.full((groups,), per_query)
        labels = torch.randint(0, 4, (groups, per_query), generator=draw).float()
        padding = torch.arange(per_query) >= counts.unsqueeze(1)
        mask = torch.rand(groups, groups * per_query, generator=draw) < (0.0 if is_full else 0.3)
        mask |= padding.flatten()
        everyone = unit(torch.randn(groups, dimension, generator=draw), dim=-1).requires_grad_()
        passages = unit(torch.randn(groups * per_query, dimension, generator=draw), dim=-1)
        return LossInputs(
            queries=everyone[own],
            passages=passages.requires_grad_(),
            positive_columns=torch.arange(groups)[own] * per_query,
            mask=mask[own],
            labels=labels[own],
            counts=counts[own],
            sources=torch.zeros(queries, dtype=torch.int64),
            everyone=AllQueries(
                queries=everyone,
                labels=labels,
                counts=counts,
                sources=torch.zeros(groups, dtype=torch.int64),
                taking_part=torch.ones(groups, dtype=torch.bool),
                mask=mask[:, ::per_query][:, own].T,
                own_mask=mask[:, before * per_query : (before + queries) * per_query].T.reshape(
                    queries, per_query, groups
                )
                if has_own_mask
                else None,
            ),
        )

    return make


@pytest.fixture(scope="session")
def run() -> Run:
    """Computes a registered loss with options."""

    def compute(name: str, batch: LossInputs, **options: Any) -> torch.Tensor:
        entry = find("loss", name)
        return entry.factory(entry.parse(options))(batch)

    return compute
