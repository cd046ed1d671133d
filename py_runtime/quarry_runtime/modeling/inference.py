"""Makes a loaded model's float32 layers faster on a CPU, where that is known to help."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from quarry_runtime.guard import onednn

# Packed weights are copies: 1.05 to 1.1 times as fast again, but not at any price.
_MOST_PACKED_BYTES = 512 * 1024 * 1024


def speed_up(model: nn.Module) -> None:
    """Lets every float32 nn.Linear on the CPU use oneDNN's products where they are faster.

    Hooks, subclasses and other number formats stay as they are; a weight that is changed later is
    packed again; with gradients the layer is torch's own.
    """
    if not onednn.is_faster():
        return
    room = _MOST_PACKED_BYTES
    for layer in model.modules():
        if type(layer) is not nn.Linear or not _is_plain(layer.weight):
            continue
        size = layer.weight.numel() * layer.weight.element_size()
        room -= size
        forward: Any = _Product(layer, is_packing=room >= 0)
        layer.forward = forward


def _is_plain(weight: torch.Tensor) -> bool:
    is_float = weight.dtype == torch.float32 and weight.device.type == "cpu"
    return is_float and type(weight) is nn.Parameter and not weight.is_inference()


class _Product:
    """Stands in for a layer's forward."""

    def __init__(self, layer: nn.Linear, *, is_packing: bool) -> None:
        self._layer = layer
        self._is_packing = is_packing
        self._seen: tuple[int, int] | None = None
        self._weight = layer.weight.detach()

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        layer = self._layer
        is_other = inputs.dtype != torch.float32 or layer.weight.dtype != torch.float32
        if is_other or torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
            return nn.Linear.forward(layer, inputs)
        state = (layer.weight.data_ptr(), layer.weight._version)
        if state != self._seen:
            self._seen = state
            weight = layer.weight.detach()
            self._weight = onednn.packed(weight) if self._is_packing else weight
        return onednn.product(inputs, self._weight, layer.bias)
