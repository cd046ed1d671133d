"""The model that a worker has loaded: it stays for the next task, until that names another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quarry_runtime.protocol.messages import CrossEncoderSpec, ModelSpec

if TYPE_CHECKING:
    from quarry_runtime.modeling.cross_encoder import CrossEncoder
    from quarry_runtime.modeling.encoder import Encoder


class Models:
    """Loads what a task names, on one device."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._encoder: tuple[ModelSpec, Encoder] | None = None
        self._cross_encoder: tuple[CrossEncoderSpec, CrossEncoder] | None = None

    def encoder(self, spec: ModelSpec) -> Encoder:
        """The encoder of a spec; loading another one drops the one before."""
        if self._encoder is None or self._encoder[0] != spec:
            from quarry_runtime.modeling.inference import speed_up
            from quarry_runtime.modeling.load import load_encoder

            # Before the new one is loaded: both may not fit.
            self._encoder = self._cross_encoder = None
            encoder = load_encoder(spec, self.device)
            speed_up(encoder)
            self._encoder = (spec, encoder)
        return self._encoder[1]

    def cross_encoder(self, spec: CrossEncoderSpec) -> CrossEncoder:
        """The cross-encoder of a spec; loading it drops whatever was there before."""
        if self._cross_encoder is None or self._cross_encoder[0] != spec:
            from quarry_runtime.modeling.cross_encoder import load_cross_encoder
            from quarry_runtime.modeling.inference import speed_up

            self._encoder = self._cross_encoder = None
            cross_encoder = load_cross_encoder(spec, self.device)
            speed_up(cross_encoder)
            self._cross_encoder = (spec, cross_encoder)
        return self._cross_encoder[1]
