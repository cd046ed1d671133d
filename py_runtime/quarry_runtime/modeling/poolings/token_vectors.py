"""The poolings that checkpoints name, under the names of `model.pooling`."""

from __future__ import annotations

import torch

from quarry_runtime.modeling.pooling import pool
from quarry_runtime.modeling.registry import register_pooling


@register_pooling("mean")
def mean(hidden_BTH: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
    """The mean of the tokens' vectors."""
    return pool(hidden_BTH, mask_BT, "mean")


@register_pooling("cls")
def cls(hidden_BTH: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
    """The first token's vector."""
    return pool(hidden_BTH, mask_BT, "cls")


@register_pooling("last")
def last(hidden_BTH: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
    """The last token's vector."""
    return pool(hidden_BTH, mask_BT, "last")


@register_pooling("weightedmean")
def weightedmean(hidden_BTH: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
    """The mean of the tokens' vectors, of which token t of a text weighs t (SGPT)."""
    return pool(hidden_BTH, mask_BT, "weightedmean")


@register_pooling("max")
def largest(hidden_BTH: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
    """The largest of each dimension."""
    return pool(hidden_BTH, mask_BT, "max")


@register_pooling("mean_sqrt_len")
def mean_sqrt_len(hidden_BTH: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
    """The sum of the tokens' vectors through the square root of their number."""
    return pool(hidden_BTH, mask_BT, "mean_sqrt_len")
