"""The models that a worker has loaded: the last one of each kind stays for the next task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quarry_runtime.protocol.messages import ModelSpec

if TYPE_CHECKING:
    from quarry_runtime.modeling.encoder import Encoder


class Models:
    """Loads what a task names, on one device."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._encoder: tuple[ModelSpec, Encoder] | None = None

    def encoder(self, spec: ModelSpec) -> Encoder:
        """The encoder of a spec; loading another one drops the one before."""
        if self._encoder is None or self._encoder[0] != spec:
            from quarry_runtime.modeling.load import load_encoder

            # Before the new one is loaded: both may not fit.
            self._encoder = None
            self._encoder = (spec, load_encoder(spec, self.device))
        return self._encoder[1]
