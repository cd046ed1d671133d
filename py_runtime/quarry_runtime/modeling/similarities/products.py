"""Dot product and cosine, which exact search computes by itself as matrix products."""

from __future__ import annotations

import torch

from quarry_runtime.modeling.registry import register_similarity


@register_similarity("dot")
def dot(queries_QD: torch.Tensor, passages_ND: torch.Tensor) -> torch.Tensor:
    """The dot product of the vectors as they are."""
    return queries_QD @ passages_ND.T


@register_similarity("cosine")
def cosine(queries_QD: torch.Tensor, passages_ND: torch.Tensor) -> torch.Tensor:
    """The dot product of vectors that were brought to length 1."""
    normalize = torch.nn.functional.normalize
    return normalize(queries_QD, dim=-1) @ normalize(passages_ND, dim=-1).T
