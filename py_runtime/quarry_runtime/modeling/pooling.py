"""How the vectors of a text's tokens become one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch

from quarry_runtime.modeling.registry import find

#: What a pooling of several modes is joined by: their vectors stand one behind the other.
JOINED_BY: Final = "+"


def pool(
    hidden_BTH: torch.Tensor,
    mask_BT: torch.Tensor,
    mode: str,
    counted_BT: torch.Tensor | None = None,
) -> torch.Tensor:
    """Pools token vectors into [B, H], in float32 whatever comes in; padding may be on either side.

    Args:
        hidden_BTH: Token vectors.
        mask_BT: 1 for a token, 0 for padding.
        mode: One of POOLINGS, what a plugin registers, or several joined by "+", which give [B, H × how many].
        counted_BT: 1 for a token that counts, where the prompt's do not; default: `mask_BT`. A
            token's position goes on counting from the first token of the text.

    Example:
        vectors_BH = pool(hidden_BTH, mask_BT, "weightedmean")
    """
    counted_BT = mask_BT if counted_BT is None else counted_BT
    pooled = [_pool(each, hidden_BTH, counted_BT, mask_BT) for each in mode.split(JOINED_BY)]
    return pooled[0] if len(pooled) == 1 else torch.cat(pooled, dim=-1)


def _pool(
    mode: str, hidden_BTH: torch.Tensor, counted_BT: torch.Tensor, mask_BT: torch.Tensor
) -> torch.Tensor:
    own = POOLINGS.get(mode)
    if own is not None:
        return own(hidden_BTH, counted_BT, mask_BT)
    return find("pooling", mode).factory(hidden_BTH, counted_BT).float()


def _mean(hidden_BTH: torch.Tensor, counted_BT: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    weight_BT1 = counted_BT.unsqueeze(-1).float()
    total_BH = (hidden_BTH.float() * weight_BT1).sum(1)
    return total_BH / weight_BT1.sum(1).clamp_min(1e-9)


def _cls(hidden_BTH: torch.Tensor, counted_BT: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    row_B = torch.arange(len(counted_BT), device=counted_BT.device)
    # argmax gives the first of equal values: the first token, behind any left padding.
    return _or_zero(hidden_BTH[row_B, counted_BT.argmax(1)].float(), counted_BT)


def _last(hidden_BTH: torch.Tensor, counted_BT: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    row_B = torch.arange(len(counted_BT), device=counted_BT.device)
    last_B = counted_BT.shape[1] - 1 - counted_BT.flip(1).argmax(1)
    return _or_zero(hidden_BTH[row_B, last_B].float(), counted_BT)


def _weighted_mean(
    hidden_BTH: torch.Tensor, counted_BT: torch.Tensor, mask_BT: torch.Tensor
) -> torch.Tensor:
    """Token t of a text weighs t (Muennighoff 2022, SGPT, https://arxiv.org/abs/2202.08904)."""
    weight_BT1 = (mask_BT.cumsum(1) * counted_BT).unsqueeze(-1).float()
    total_BH = (hidden_BTH.float() * weight_BT1).sum(1)
    return total_BH / weight_BT1.sum(1).clamp_min(1e-9)


def _max(hidden_BTH: torch.Tensor, counted_BT: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    out_BT1 = (counted_BT == 0).unsqueeze(-1)
    largest_BH = hidden_BTH.float().masked_fill(out_BT1, float("-inf")).amax(1)
    return _or_zero(largest_BH, counted_BT)


def _mean_sqrt_len(
    hidden_BTH: torch.Tensor, counted_BT: torch.Tensor, _: torch.Tensor
) -> torch.Tensor:
    weight_BT1 = counted_BT.unsqueeze(-1).float()
    total_BH = (hidden_BTH.float() * weight_BT1).sum(1)
    return total_BH / weight_BT1.sum(1).clamp_min(1e-9).sqrt()


def _or_zero(pooled_BH: torch.Tensor, counted_BT: torch.Tensor) -> torch.Tensor:
    """0 for a text without tokens, as of the mean: padding would tell of its neighbours."""
    return pooled_BH.masked_fill((counted_BT == 0).all(1, keepdim=True), 0.0)


#: Each takes token vectors [B, T, H], the tokens that count [B, T] and all tokens [B, T].
POOLINGS: Final[dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]]] = {
    "mean": _mean,
    "cls": _cls,
    "last": _last,
    "weightedmean": _weighted_mean,
    "max": _max,
    "mean_sqrt_len": _mean_sqrt_len,
}
