"""From a registered encoder to one that works: made, filled, and held against its contract once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec
import torch

from quarry_runtime.errors import ConfigError, QuarryError, in_a_line, is_out_of_memory
from quarry_runtime.modeling.layout import is_built_in
from quarry_runtime.modeling.plugins import explained
from quarry_runtime.modeling.registry import Registered
from quarry_runtime.modeling.tokens import collate

if TYPE_CHECKING:
    from quarry_runtime.modeling.encoder import Encoder
    from quarry_runtime.modeling.resolved import Resolved
    from quarry_runtime.protocol.messages import ModelSpec

# Longer than what a convolution or a pooling in a model may ask for.
_LONG = "a text that is long enough for any model " * 3
_TRIED = ["a text", "another text, which is longer"]


def build_encoder(
    entry: Registered, resolved: Resolved, spec: ModelSpec, dtype: str, options: Any
) -> Encoder:
    """Makes an encoder of any of the kinds that register_encoder takes.

    Raises:
        ConfigError: a plugin that raises, with file and line, or that gives no encoder.
        QuarryError: a checkpoint that cannot be loaded.
    """
    from torch import nn

    from quarry_runtime.modeling.encoder import Encoder
    from quarry_runtime.modeling.encoders.auto import auto
    from quarry_runtime.modeling.module_encoder import refuse_other_encoder, wrap_module

    refuse_other_encoder(resolved, spec.encoder)
    factory: Any = entry.factory
    if not entry.is_plugin:
        return factory(resolved, spec, dtype, options)
    # What a plugin does not read from the checkpoint it draws at random: the same in all workers.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            if isinstance(factory, type) and issubclass(factory, Encoder):
                encoder = auto(resolved, spec, dtype, options, factory)
            elif isinstance(factory, type) and issubclass(factory, nn.Module):
                return wrap_module(entry, resolved, spec, dtype, options)  # type: ignore[return-value]
            else:
                encoder = entry.make(resolved, spec, dtype, options)
        except QuarryError:
            raise
        except Exception as error:
            raise explained(error) or error from error
    for name in ("tokenize", "collate", "forward", "save", "contract"):
        if not hasattr(encoder, name):
            raise ConfigError(
                f"Plugin {entry.origin}: the encoder {entry.name} has no {name}.",
                hint="Give an Encoder (a subclass of modeling.encoder.Encoder) or an nn.Module.",
            )
    # Towers and plugins' encoders stand wherever an Encoder does.
    return cast("Encoder", encoder)


def needs_trial(entry: Registered, encoder: Encoder) -> bool:
    """Whether a plugin has a say in what this encoder's vectors are."""
    return entry.is_plugin or not is_built_in(encoder.contract.pooling)


def try_encoder(encoder: Encoder, entry: Registered, device: str, for_training: bool) -> None:
    """Encodes two texts of each side, and says what about the vectors is not as it must be.

    The dimension is what comes out: a plugin's pooling or projection may change it.

    Raises:
        ConfigError: vectors of a wrong shape or dtype, without gradient in training, or a plugin's
            error with its file and line.
    """
    who = f"the encoder {entry.name}" + (f" (plugin {entry.origin})" if entry.is_plugin else "")
    for side in ("query", "passage"):
        try:
            ids = encoder.tokenize(list(_TRIED), side)["input_ids"]
            padded = collate(encoder, ids, side)
            batch = {name: each.to(device) for name, each in padded.items()}
            with torch.set_grad_enabled(for_training):
                vectors: Any = encoder(batch, side)
        except QuarryError:
            raise
        except Exception as error:
            raise explained(error) or ConfigError(
                f"{who} fails on two {side} texts: {type(error).__name__}: {error}",
                hint="Mend the plugin: it gets batches of any size.",
            ) from error
        _check_vectors(vectors, f"{who} gives for two {side} texts", for_training)
        found = int(vectors.shape[1])
        if side == "passage" and found != encoder.contract.dimension:
            raise ConfigError(
                f"{who} gives queries of {encoder.contract.dimension} and passages of {found}"
                " dimensions.",
                hint="Both sides must end in vectors of one size.",
            )
        encoder.contract = msgspec.structs.replace(encoder.contract, dimension=found)


def try_model(encoder: Encoder, device: str) -> None:
    """Encodes a text of each side, so that a model which can encode none is blamed, not its texts.

    It leaves no trace: torch's random numbers go on where they were.

    Raises:
        ConfigError: the model fails, or its vectors have another size than its contract says.
    """
    from quarry_runtime.modeling.adapters import encoders_of

    where = torch.device(device)
    name = encoder.contract.checkpoint
    with torch.no_grad(), torch.random.fork_rng([where] if where.type == "cuda" else []):
        for own in encoders_of(encoder):
            try:
                batch = own.collate(own.tokenize([_LONG], "passage")["input_ids"])
                vectors = own({key: each.to(where) for key, each in batch.items()}, "passage")
            except Exception as error:
                if _is_of_machine(error):
                    raise
                raise ConfigError(
                    f"{name} cannot encode any text: {in_a_line(error)}",
                    hint="Use another model, or a plugin's encoder that calls this one as it needs.",
                ) from error
            if vectors.shape != (1, encoder.contract.dimension):
                raise ConfigError(
                    f"{name} gives vectors of {vectors.shape[-1]} dimensions, and config.json stands"
                    f" for {encoder.contract.dimension}.",
                    hint="Use another model; or correct its hidden size in config.json of a copy.",
                )


def _is_of_machine(error: Exception) -> bool:
    """Whether another machine, or this one at another time, may do it."""
    signs = ("CUDA", "CUBLAS", "cuDNN", "CUDNN")
    return (
        isinstance(error, QuarryError)
        or is_out_of_memory(error)
        or any(sign in str(error) for sign in signs)
    )


def _check_vectors(vectors: Any, what: str, for_training: bool) -> None:
    hint = "forward(batch, side) returns one floating-point vector for each text, [B, D]."
    if not isinstance(vectors, torch.Tensor):
        raise ConfigError(f"{what} {type(vectors).__name__}, not a tensor.", hint=hint)
    if vectors.ndim != 2 or vectors.shape[0] != len(_TRIED):
        raise ConfigError(f"{what} a tensor of shape {list(vectors.shape)}, not [2, D].", hint=hint)
    if not vectors.is_floating_point():
        raise ConfigError(f"{what} vectors of {vectors.dtype}.", hint=hint)
    if for_training and not vectors.requires_grad:
        raise ConfigError(
            f"{what} vectors without gradient, so training would change nothing.",
            hint="Leave out detach(), no_grad() and numpy in forward.",
        )
