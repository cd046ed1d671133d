"""The model that a worker has loaded: it stays for the next task, until that names another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from quarry_runtime.protocol.messages import CrossEncoderSpec, ModelSpec

if TYPE_CHECKING:
    from quarry_runtime.modeling.cross_encoder import CrossEncoder
    from quarry_runtime.modeling.encoder import Encoder


class Models:
    """Loads what a task names, on one device; loading another model drops the one before."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._loaded: tuple[ModelSpec | CrossEncoderSpec, Any] | None = None

    def encoder(self, spec: ModelSpec) -> Encoder:
        """The encoder of a spec."""
        from quarry_runtime.modeling.load import load_to_encode

        return self._model(spec, load_to_encode)

    def cross_encoder(self, spec: CrossEncoderSpec) -> CrossEncoder:
        """The cross-encoder of a spec."""
        from quarry_runtime.modeling.cross_encoder import load_cross_encoder

        return self._model(spec, load_cross_encoder)

    def _model(self, spec: Any, load: Callable[[Any, str], Any]) -> Any:
        if self._loaded is None or self._loaded[0] != spec:
            from quarry_runtime.modeling.inference import speed_up

            # Before the new one is loaded: both may not fit.
            self._loaded = None
            model = load(spec, self.device)
            speed_up(model)
            self._loaded = (spec, model)
        return self._loaded[1]
