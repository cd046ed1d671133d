"""Adapters as peft writes them, read without peft: which base model, and what shapes its vectors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quarry_runtime.errors import ConfigError
from quarry_runtime.guard.locate import is_adapter, locate, read_json, transformer_folders

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
# Where it was made, and what for; none of it changes a vector.
_NO_MATTER = {"base_model_name_or_path", "revision", "inference_mode", "peft_version", "task_type"}
#: Base models that came over the wire, by the names that adapters made elsewhere have for them.
_brought: dict[str, Path] = {}


def keep_base(name: str, folder: Path) -> None:
    """Has adapters that name a base model so find it in this folder, whatever lies there here."""
    _brought[name] = folder


@dataclasses.dataclass(frozen=True)
class AdapterFiles:
    """An adapter in a folder, and the model that it belongs to."""

    folder: Path
    config: Mapping[str, Any]
    #: As adapter_config.json names it, but absolute: what is made of the adapter may lie anywhere.
    base: str
    base_revision: str | None
    #: The base model's folder on this machine.
    base_path: Path

    @property
    def weights(self) -> Path:
        """The adapter's own weights."""
        return self.folder / WEIGHTS

    def facts(self) -> dict[str, Any]:
        """What of the configuration shapes a vector, for the fingerprint."""
        found = {name: value for name, value in self.config.items() if name not in _NO_MATTER}
        # Vectors stored while full names there were passed over do not pass for today's.
        return {**found, "hasNamesRead": True} if self.config.get("alpha_pattern") else found


def read_adapter(transformer: Path, checkpoint: str) -> AdapterFiles | None:
    """The adapter of a folder, its base model located; None for a folder that holds a whole model.

    Raises:
        ConfigError: an adapter of another kind than LoRA, or one whose base model cannot be found.
    """
    if not is_adapter(transformer):
        return None
    config = read_json(transformer / CONFIG)
    kind = config.get("peft_type")
    if kind != "LORA":
        raise ConfigError(
            f"{checkpoint} is an adapter of kind {kind}.",
            hint="Quarry knows LoRA and its relatives (rsLoRA, DoRA); merge this one with peft.",
        )
    base, revision = config.get("base_model_name_or_path"), config.get("revision")
    if not base:
        raise ConfigError(
            f"{transformer / CONFIG} names no base model.",
            hint="Write its id or folder under base_model_name_or_path.",
        )
    # Relative to the adapter where that leads somewhere: folders are moved together.
    folders = (transformer / base, Path(base).expanduser())
    folder = next((each for each in folders if each.is_dir()), None)
    here = _brought.get(base, folder or base)
    try:
        path = locate(str(here), revision)
    except ConfigError as error:
        raise ConfigError(
            f"{checkpoint} is an adapter of {base}, which cannot be found: {error}",
            hint=f"Get the base model, or name its folder in {transformer / CONFIG}.",
        ) from error
    if len(transformer_folders(path)) > 1 or is_adapter(transformer_folders(path)[0]):
        raise ConfigError(
            f"{checkpoint} is an adapter of {base}, which is no plain model.",
            hint="Merge the base model first: quarry export <base> --merge --out <folder>.",
        )
    is_relative = folder is not None and base not in _brought and not Path(base).is_absolute()
    name = str(path.resolve()) if is_relative else base
    return AdapterFiles(transformer, config, name, revision, path)
