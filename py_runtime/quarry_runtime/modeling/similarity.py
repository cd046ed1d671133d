"""Which function scores vectors for a similarity's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from quarry_runtime.modeling.registry import find

if TYPE_CHECKING:
    import torch

#: Compared by products of vectors; cosine is the product of vectors of length 1.
PRODUCTS = ("dot", "cosine")


def scorer(name: str) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None:
    """The registered similarity of that name, (queries [Q, D], passages [N, D]) -> scores [Q, N].

    Returns:
        None for dot and cosine, which the search itself does.

    Raises:
        ConfigError: no such name; the nearest one is in the hint.
    """
    return None if name in PRODUCTS else find("similarity", name).factory
