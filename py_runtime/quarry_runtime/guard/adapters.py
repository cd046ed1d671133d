"""The only place that calls peft: an adapter's files onto a model, a new one, merging."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from quarry_runtime.errors import ConfigError, EnvironmentFault, in_a_line, is_out_of_memory
from quarry_runtime.guard.locate import read_json
from quarry_runtime.guard.quantize import quieten
from quarry_runtime.protocol.messages import AdapterSpec

# The pooler of BERT's family gets no gradient: an adapter on it would keep DDP waiting.
_LEFT_OUT = r"(.*\.)?pooler(\..*)?"
_WEIGHTS = "adapter_model.safetensors"
_PEFT = "base_model.model."
_CLASSIFIERS = ("SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS")
#: Settings that name modules: one pattern, a list, or keys.
_NAMING = (
    "target_modules", "exclude_modules", "target_parameters", "modules_to_save",
    "rank_pattern", "alpha_pattern", "trainable_token_indices",
)  # fmt: skip


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
    settings = read_json(folder / "adapter_config.json")
    try:
        # Not by transformers' load_adapter: 5.23 leaves DoRA's magnitudes as they are made up.
        with safe_open(folder / _WEIGHTS, "pt") as weights:
            names = list(weights.keys())
        around = _around(names, transformer)
        _refuse_classifier(settings, _heads(names, around), checkpoint)
        written = _inner_settings(settings, around)
        if around and written.get("modules_to_save"):
            modules = {part for name, _ in transformer.named_modules() for part in name.split(".")}
            kept = [name for name in written["modules_to_save"] if name.split(".")[-1] in modules]
            written["modules_to_save"] = kept or None
        config = LoraConfig.from_peft_type(**written)
        config.inference_mode = False
        transformer.add_adapter(config)
        _check_patterns(transformer, config, checkpoint)
        report = fill(transformer, folder)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(
            f"The adapter {checkpoint} cannot be put on {base}: {in_a_line(error)}",
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

    state = load_file(folder / _WEIGHTS)
    around = _around(state, transformer)
    heads = _heads(state, around)
    inner = {
        name.removeprefix(_PEFT + around): value
        for name, value in state.items()
        if _module_of(name) not in heads
    }
    return set_peft_model_state_dict(transformer, inner)


def _around(names: Iterable[str], transformer: Any) -> str:
    """What stands before all low-rank matrices, `model.` or the like, where it was trained with a
    head on top; a head that was trained as a whole stands beside it."""
    around = f"{transformer.base_model_prefix}."
    low_rank = [name for name in names if ".lora_" in name]
    return around if all(name.startswith(_PEFT + around) for name in low_rank) else ""


def _heads(names: Iterable[str], around: str) -> set[str]:
    """What stands beside the model in a larger one: no vector depends on it."""
    return {
        _module_of(name)
        for name in names
        if around and not name.startswith(_PEFT + around) and ".lora_" not in name
    }


def _module_of(name: str) -> str:
    """The outermost module of a weight's name."""
    return name.removeprefix(_PEFT).partition(".")[0]


def _refuse_classifier(config: dict[str, Any], heads: set[str], checkpoint: str) -> None:
    if heads and config.get("task_type") in _CLASSIFIERS:
        raise ConfigError(
            f"The adapter {checkpoint} is one of a classifier ({config['task_type']}): beside low-rank"
            f" matrices it holds {', '.join(sorted(heads))}, which makes labels or scores, no vectors.",
            hint="For a cross-encoder merge it with peft (merge_and_unload, save_pretrained) and name"
            " that folder; for vectors take an adapter of the model alone.",
        )


def _inner_settings(config: dict[str, Any], around: str) -> dict[str, Any]:
    """The configuration with the names and patterns of modules as the model alone has them."""

    def inner(name: str) -> str:
        # A pattern may escape the dot, and begin with a mark of its own.
        return re.sub(rf"^(\^?){re.escape(around[:-1])}\\?\.", r"\1", name)

    found = dict(config)
    for setting in _NAMING if around else ():
        match config.get(setting):
            case str(name):
                found[setting] = inner(name)
            case list(names):
                # Ids of tokens stand for those of the input embeddings.
                found[setting] = [inner(name) if isinstance(name, str) else name for name in names]
            case dict(values):
                found[setting] = {inner(name): value for name, value in values.items()}
    return found


def _check_patterns(transformer: nn.Module, config: Any, checkpoint: str) -> None:
    """Refuses a rank or an alpha of modules that have none: peft would go by the usual one."""
    names = _adapted(transformer)
    for setting in ("rank_pattern", "alpha_pattern"):
        for key in getattr(config, setting):
            # As peft matches it.
            if not any(re.match(rf"(.*\.)?({key})$", name) for name in names):
                raise ConfigError(
                    f"{setting} of the adapter {checkpoint} names {key}, and no module that it"
                    " adapts is called so.",
                    hint=f"Correct {setting} in its adapter_config.json; names are those within"
                    f" {type(transformer).__name__}.",
                )


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
    modules = dict(transformer.named_modules())
    adapted = _adapted(transformer)
    names = _linear_modules(transformer) if targets is None else list(modules)
    inside = tuple(f"{name}." for name in adapted)
    free = {
        name for name in names if not name.startswith(inside) and not re.fullmatch(_LEFT_OUT, name)
    }
    ends = tuple(f".{target}" for target in targets or [])
    return adapted == {
        name for name in adapted | free if targets is None or f".{name}".endswith(ends)
    }


def _adapted(transformer: nn.Module) -> set[str]:
    from peft.tuners.tuners_utils import BaseTunerLayer

    modules = transformer.named_modules()
    return {name for name, module in modules if isinstance(module, BaseTunerLayer)}


def merge(transformer: Any) -> None:
    """Puts the adapter that `attach` brought into the weights; what is left is a plain model.

    Raises:
        ConfigError: an adapter with numbers that are not finite, or with a bias for layers that
            have none.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    # What was trained as a whole stands in a wrapper, which holds layers of its own.
    for kind in (AuxiliaryTrainingWrapper, BaseTunerLayer):
        for name, module in list(transformer.named_modules()):
            if not isinstance(module, kind):
                continue
            layer: Any = module
            try:
                if kind is AuxiliaryTrainingWrapper:
                    plain = layer.unload_and_optionally_merge_module(True, True, None)
                else:
                    layer.merge(safe_merge=True)
                    plain = layer.get_base_layer()
            except (ValueError, RuntimeError) as error:
                if is_out_of_memory(error):
                    raise
                raise ConfigError(f"The adapter cannot be merged: {error}") from error
            parent, _, own = name.rpartition(".")
            setattr(transformer.get_submodule(parent), own, plain)
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
