"""The only place that calls peft: an adapter's files onto a model, a new one, merging."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from quarry_runtime.errors import ConfigError, EnvironmentFault
from quarry_runtime.guard.locate import read_json
from quarry_runtime.guard.quantize import quieten
from quarry_runtime.protocol.messages import AdapterSpec

# The pooler of BERT's family gets no gradient: an adapter on it would keep DDP waiting.
_LEFT_OUT = r"(.*\.)?pooler(\..*)?"


def attach(transformer: Any, folder: Path, base: str, checkpoint: str) -> None:
    """Puts a checkpoint's adapter on its base model; the base's parameters are frozen by it.

    Args:
        transformer: The base model, a PreTrainedModel.
        folder: Holds adapter_config.json and adapter_model.safetensors.
        base: What the adapter calls the base model; what is saved later says it again.
        checkpoint: For messages.

    Raises:
        ConfigError: the adapter does not fit its base model.
        EnvironmentFault: peft is not installed.
    """
    _need_peft(checkpoint)
    from peft import LoraConfig

    hint = "Check base_model_name_or_path in its adapter_config.json."
    try:
        # Not by transformers' load_adapter: 5.23 leaves DoRA's magnitudes as they are made up.
        config = LoraConfig.from_peft_type(**read_json(folder / "adapter_config.json"))
        config.inference_mode = False
        transformer.add_adapter(config)
        report = fill(transformer, folder)
    except Exception as error:
        line = (str(error).strip().splitlines() or [""])[0]
        raise ConfigError(
            f"The adapter {checkpoint} cannot be put on {base}: {type(error).__name__}: {line}",
            hint=hint,
        ) from error
    lacking = [name for name in report.missing_keys if "lora_" in name]
    unfit = sorted({*lacking, *report.unexpected_keys})
    if unfit:
        more = f" and {len(unfit) - 3} more." if len(unfit) > 3 else "."
        raise ConfigError(
            f"The adapter {checkpoint} does not fit {base}: {', '.join(unfit[:3])}{more}", hint=hint
        )
    config.base_model_name_or_path = base


def fill(transformer: Any, folder: Path) -> Any:
    """Reads an adapter's weights into the layers that are there for them, rounded to their dtype.

    Returns:
        Which names were missing or not expected, as torch has it.
    """
    from peft import set_peft_model_state_dict

    state = _inner(load_file(folder / "adapter_model.safetensors"), transformer)
    return set_peft_model_state_dict(transformer, state)


def _inner(state: dict[str, torch.Tensor], transformer: Any) -> dict[str, torch.Tensor]:
    """Weights under the names of the model alone, also where it was trained with a head on top."""
    names = {name: name.removeprefix("base_model.model.") for name in state}
    around = f"{transformer.base_model_prefix}."
    if all(name.startswith(around) for name in names.values()):
        names = {name: inner.removeprefix(around) for name, inner in names.items()}
    return {names[name]: value for name, value in state.items()}


def add(transformer: Any, wish: AdapterSpec, base: tuple[str, str | None]) -> None:
    """Puts a new LoRA (Hu et al. 2021, https://arxiv.org/abs/2106.09685) on a model, as rsLoRA
    (Kalajdzievski 2023, https://arxiv.org/abs/2312.03732) or DoRA (Liu et al. 2024,
    https://arxiv.org/abs/2402.09353) where asked for; it changes no vector yet.

    Args:
        transformer: A PreTrainedModel.
        wish: As the user says.
        base: The model's name and revision, for adapter_config.json.

    Raises:
        ConfigError: names of modules that the model does not have.
        EnvironmentFault: peft is not installed.
    """
    _need_peft(base[0])
    from peft import LoraConfig, TaskType

    linear = sorted({name.rsplit(".", 1)[-1] for name in _linear_modules(transformer)})
    has_pooler = any("pooler" in name.split(".") for name, _ in transformer.named_modules())
    targets = wish.target_modules
    config = LoraConfig(
        task_type=TaskType.FEATURE_EXTRACTION,
        r=wish.r,
        lora_alpha=wish.alpha,  # type: ignore[arg-type]
        lora_dropout=wish.dropout,
        target_modules="all-linear" if targets is None else list(targets),
        exclude_modules=_LEFT_OUT if has_pooler else None,
        use_rslora=wish.rslora,
        use_dora=wish.dora,
    )
    try:
        transformer.add_adapter(config)
    except ValueError as error:
        raise ConfigError(
            f"model.adapter cannot be put on {', '.join(targets or ['all-linear'])}:"
            f" {str(error).split('. ')[0].splitlines()[0]}.",
            hint=f"Linear modules of this model: {', '.join(linear)}.",
        ) from error
    config.base_model_name_or_path, config.revision = base


def is_on(transformer: Any, targets: list[str] | None) -> bool:
    """Whether the adapter lies on just those modules that `add` would put one on.

    Args:
        transformer: The base model with its adapter.
        targets: Names of modules, as the user says; None stands for every linear one.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    modules = dict(transformer.named_modules())
    adapted = {name for name, module in modules.items() if isinstance(module, BaseTunerLayer)}
    names = _linear_modules(transformer) if targets is None else list(modules)
    inside = tuple(f"{name}." for name in adapted)
    free = {
        name for name in names if not name.startswith(inside) and not re.fullmatch(_LEFT_OUT, name)
    }
    ends = tuple(f".{target}" for target in targets or [])
    return adapted == {
        name for name in adapted | free if targets is None or f".{name}".endswith(ends)
    }


def merge(transformer: Any) -> None:
    """Puts the adapter that `attach` brought into the weights; what is left is a plain model.

    Raises:
        ConfigError: an adapter with numbers that are not finite.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(transformer.named_modules()):
        if not isinstance(module, BaseTunerLayer):
            continue
        layer: Any = module
        try:
            layer.merge(safe_merge=True)
        except ValueError as error:
            raise ConfigError(f"The adapter cannot be merged: {error}") from error
        parent, _, own = name.rpartition(".")
        setattr(transformer.get_submodule(parent), own, layer.get_base_layer())
    # What save_pretrained goes by: it would write an adapter.
    transformer._hf_peft_config_loaded = False
    del transformer.peft_config


def _linear_modules(transformer: nn.Module) -> list[str]:
    return [
        name
        for name, module in transformer.named_modules()
        if isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"
    ]


def _need_peft(checkpoint: str) -> None:
    # It imports bitsandbytes where that is installed.
    quieten()
    try:
        import peft  # noqa: F401
    except ImportError as error:
        raise EnvironmentFault(
            f"An adapter for {checkpoint} needs the Python package peft, which is not installed.",
            hint="Run quarry setup again, or install it: python -m pip install peft",
        ) from error
