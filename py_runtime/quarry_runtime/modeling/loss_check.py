"""Holds what a loss gives against its contract, so that a plugin's slip is told and not averaged."""

from __future__ import annotations

from typing import Any

import torch

from quarry_runtime.errors import ConfigError

_HINT = "forward returns the mean over this rank's queries as a tensor without dimensions."


def checked_loss(value: Any, loss: Any) -> torch.Tensor:
    """The value itself; costs no synchronisation with the device.

    Raises:
        ConfigError: no tensor, no scalar, no floating-point number, or no gradient where there
            should be one.
    """
    who = f"The loss {type(loss).__name__}"
    if not isinstance(value, torch.Tensor):
        raise ConfigError(f"{who} gave {type(value).__name__}, not a tensor.", hint=_HINT)
    if value.ndim != 0:
        shape = list(value.shape)
        raise ConfigError(f"{who} gave a tensor of shape {shape}, not a scalar.", hint=_HINT)
    if not value.is_floating_point():
        raise ConfigError(f"{who} gave a number of {value.dtype}.", hint=_HINT)
    if torch.is_grad_enabled() and not value.requires_grad:
        raise ConfigError(
            f"{who} gave a number without gradient, so training would change nothing.",
            hint="Leave out detach(), item() and no_grad() in forward.",
        )
    return value
