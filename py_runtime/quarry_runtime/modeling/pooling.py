"""How the vectors of a text's tokens become one."""

from __future__ import annotations

import torch

from quarry_runtime.modeling.registry import find_pooling

#: What checkpoints name; other names are those of plugins.
BUILT_IN_POOLINGS = ("mean", "cls", "last")


def pool(hidden_BTH: torch.Tensor, mask_BT: torch.Tensor, mode: str) -> torch.Tensor:
    """Pools token vectors into [B, H], in float32 whatever comes in; padding may be on either side.

    Args:
        hidden_BTH: Token vectors.
        mask_BT: 1 for a token, 0 for padding.
        mode: `mean` over tokens, `cls` the first token, `last` the last one, or a registered name.
    """
    if mode == "mean":
        weight_BT1 = mask_BT.unsqueeze(-1).float()
        total_BH = (hidden_BTH.float() * weight_BT1).sum(1)
        return total_BH / weight_BT1.sum(1).clamp_min(1e-9)
    if mode not in BUILT_IN_POOLINGS:
        return find_pooling(mode).factory(hidden_BTH, mask_BT).float()
    row_B = torch.arange(len(mask_BT), device=mask_BT.device)
    if mode == "cls":
        # argmax gives the first of equal values: the first token, behind any left padding.
        return hidden_BTH[row_B, mask_BT.argmax(1)].float()
    last_B = mask_BT.shape[1] - 1 - mask_BT.flip(1).argmax(1)
    return hidden_BTH[row_B, last_B].float()
