"""Distances as similarities: the nearer, the higher; as sentence-transformers names them."""

from __future__ import annotations

import torch

from quarry_runtime.modeling.registry import register_similarity


@register_similarity("euclidean")
def euclidean(queries_QD: torch.Tensor, passages_ND: torch.Tensor) -> torch.Tensor:
    """The Euclidean distance, negated."""
    # Not by way of a matrix product: that loses most digits of small distances.
    mode = "donot_use_mm_for_euclid_dist"
    return -torch.cdist(queries_QD, passages_ND, p=2.0, compute_mode=mode)


@register_similarity("manhattan")
def manhattan(queries_QD: torch.Tensor, passages_ND: torch.Tensor) -> torch.Tensor:
    """The sum of absolute differences, negated."""
    return -torch.cdist(queries_QD, passages_ND, p=1.0)
