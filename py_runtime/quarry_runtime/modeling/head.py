"""What comes after the pooling: Dense, LayerNorm and Normalize, as sentence-transformers has them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from quarry_runtime.modeling.layout import DenseSpec, HeadSpec, LayerNormSpec


class Dense(nn.Module):
    """A linear layer and its activation, named as sentence-transformers names their weights."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        has_bias: bool,
        activation: str,
        is_residual: bool = False,
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features, bias=has_bias)
        self.activation: nn.Module = getattr(nn, activation)()
        self.is_residual = is_residual
        if is_residual and in_features != out_features:
            self.residual = nn.Linear(in_features, out_features, bias=False)

    def forward(self, vectors_BD: torch.Tensor) -> torch.Tensor:
        """[B, in] → [B, out]."""
        out_BD = self.activation(self.linear(vectors_BD))
        if not self.is_residual:
            return out_BD
        same = self.linear.in_features == self.linear.out_features
        return out_BD + (vectors_BD if same else self.residual(vectors_BD))

    def config(self) -> dict[str, Any]:
        """As its config.json has it; what is at its default is left out, for older readers."""
        kind = type(self.activation)
        return {
            "in_features": self.linear.in_features,
            "out_features": self.linear.out_features,
            "bias": self.linear.bias is not None,
            "activation_function": f"{kind.__module__}.{kind.__qualname__}",
            **({"use_residual": True} if self.is_residual else {}),
        }


class LayerNorm(nn.Module):
    """A layer norm, named as sentence-transformers names its weights."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dimension)

    def forward(self, vectors_BD: torch.Tensor) -> torch.Tensor:
        """[B, D] → [B, D]."""
        return self.norm(vectors_BD)

    def config(self) -> dict[str, Any]:
        """As its config.json has it."""
        return {"dimension": self.norm.normalized_shape[0]}


class Normalize(nn.Module):
    """Length 1, in float32."""

    def forward(self, vectors_BD: torch.Tensor) -> torch.Tensor:
        """[B, D] → [B, D]."""
        return nn.functional.normalize(vectors_BD.float(), dim=-1)

    def config(self) -> dict[str, Any]:
        """Nothing: a folder without a file would be lost on the hub and in archives."""
        return {}


def build(spec: HeadSpec) -> nn.Module:
    """The module of a spec; its weights, where it has some, are yet to be loaded."""
    if isinstance(spec, DenseSpec):
        return Dense(
            spec.in_features,
            spec.out_features,
            spec.has_bias,
            spec.activation,
            spec.is_residual,
        )
    return LayerNorm(spec.dimension) if isinstance(spec, LayerNormSpec) else Normalize()


def described(module: nn.Module) -> tuple[str, dict[str, Any]]:
    """Kind and config of one of these modules, as the layout names them."""
    assert isinstance(module, Dense | LayerNorm | Normalize)
    return type(module).__name__, module.config()
