"""What of an encoder learns: everything, or only an adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quarry_runtime.errors import ConfigError
from quarry_runtime.guard.adapters import add, fill, is_on
from quarry_runtime.protocol.messages import ModelSpec

if TYPE_CHECKING:
    from quarry_runtime.modeling.encoder import Encoder


def prepare_training(encoder: Encoder, spec: ModelSpec) -> None:
    """Leaves only an adapter trainable in each transformer that has one or is to get one.

    Raises:
        ConfigError: another adapter than the checkpoint's own is asked for, or a quantised model
            is to be trained without one.
    """
    for own in encoders_of(encoder):
        transformer: Any = getattr(own, "transformer", None)
        if transformer is None:
            if spec.adapter is None:
                continue
            raise ConfigError(
                f"The encoder {spec.encoder} has no transformer that an adapter could be put on.",
                hint="Leave model.adapter out, or let the encoder have an attribute `transformer`.",
            )
        found = getattr(transformer, "peft_config", {}).get("default")
        if found is not None:
            _check_same(found, transformer, spec)
        elif spec.adapter is not None:
            add(transformer, spec.adapter, own.base_name())
        elif spec.quantization is not None:
            raise ConfigError(
                f"{spec.checkpoint} cannot be trained in {spec.quantization}: such weights get no"
                " gradients.",
                hint="Train an adapter: model.adapter: lora().",
            )
        if found is not None or spec.adapter is not None:
            for parameter in transformer.parameters():
                # In half precision small updates would be lost. What is left of a quantised model
                # is small, and QLoRA has it in float32 as well; in a resume as in the beginning.
                is_left = spec.quantization is not None and parameter.is_floating_point()
                if parameter.requires_grad or is_left:
                    parameter.data = parameter.data.float()
        folder = getattr(own, "adapter_folder", lambda: None)()
        if found is not None and folder is not None:
            # They were read into layers in the dtype of the base: a resume needs every bit.
            fill(transformer, folder)


def encoders_of(encoder: Any) -> list[Any]:
    """The encoder itself, or those of both sides."""
    tower = getattr(encoder, "tower", None)
    return [encoder] if tower is None else [tower("query"), tower("passage")]


def _check_same(found: Any, transformer: Any, spec: ModelSpec) -> None:
    wish = spec.adapter
    if wish is None:
        return
    theirs = {"r": found.r, "alpha": float(found.lora_alpha), "dropout": found.lora_dropout}
    theirs |= {"rslora": found.use_rslora, "dora": found.use_dora}
    ours = {"r": wish.r, "alpha": float(wish.alpha), "dropout": wish.dropout}
    ours |= {"rslora": wish.rslora, "dora": wish.dora}
    differing = [f"{name} {theirs[name]}" for name, value in ours.items() if theirs[name] != value]
    if not is_on(transformer, wish.target_modules):
        targets = found.target_modules
        named = targets if isinstance(targets, str) else ", ".join(sorted(targets))
        if is_on(transformer, None):
            named = "every linear module"
        differing.append(f"{named} as targetModules")
    if differing:
        raise ConfigError(
            f"{spec.checkpoint} holds an adapter already, with {', '.join(differing)}.",
            hint="Leave model.adapter out to go on with it, or merge it first: quarry export"
            " --merge.",
        )
