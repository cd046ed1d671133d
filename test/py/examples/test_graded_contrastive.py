"""The example of a loss of one's own is the formula that it says, paddings and masks included."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from quarry_runtime.modeling import registry
from quarry_runtime.modeling.losses.inputs import LossInputs

pytestmark = pytest.mark.usefixtures("leave_no_names")

PLUGIN = Path(__file__).parents[3] / "examples" / "plugins" / "graded_contrastive.py"


def test_it_is_the_cross_entropy_of_soft_targets_over_every_column_that_counts() -> None:
    registry.load_plugins([str(PLUGIN)])
    entry = registry.find("loss", "graded_contrastive")
    loss = entry.factory(entry.parse({"temperature": 0.5}))
    torch.manual_seed(3)
    queries = torch.nn.functional.normalize(torch.randn(2, 4), dim=1).requires_grad_()
    passages = torch.nn.functional.normalize(torch.randn(6, 4), dim=1)
    labels = torch.tensor([[3.0, 1.0, 0.0], [2.0, 2.0, 5.0]])
    # The second query has two real passages; the first knows column 4 as relevant.
    counts = torch.tensor([3, 2])
    mask = torch.zeros((2, 6), dtype=torch.bool)
    mask[0, 1] = mask[0, 4] = mask[0, 5] = mask[1, 5] = True
    got = loss(LossInputs(queries, passages, torch.tensor([0, 3]), mask, labels, counts))
    total = 0.0
    for query, columns, own in (
        (0, [0, 1, 2, 3], {0: 3, 1: 1, 2: 0}),
        (1, [0, 1, 2, 3, 4], {3: 2, 4: 2}),
    ):
        scores = {c: float(queries[query].detach() @ passages[c]) / 0.5 for c in columns}
        whole = math.log(sum(math.exp(score) for score in scores.values()))
        sum_of_labels = sum(own.values())
        total -= sum(label / sum_of_labels * (scores[c] - whole) for c, label in own.items())
    assert float(got.detach()) == pytest.approx(total / 2, abs=1e-6)
    got.backward()
    assert queries.grad is not None
    assert torch.isfinite(queries.grad).all()
