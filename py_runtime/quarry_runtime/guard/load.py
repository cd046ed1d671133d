"""The only place that reads a model: safetensors, no code without a commit, nothing left random."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from quarry_runtime.errors import (
    ConfigError,
    EnvironmentFault,
    IntegrityError,
    in_a_line,
    is_out_of_memory,
)
from quarry_runtime.guard.locate import read_json, settled
from quarry_runtime.guard.quantize import quantized, settle

_SENTENCEPIECE = ("spiece.model", "sentencepiece.bpe.model")
# What transformers reads these files with: packages and their modules.
_READERS = {"sentencepiece": "sentencepiece", "protobuf": "google.protobuf"}


def load_transformer(
    folder: Path,
    checkpoint: str,
    model_type: str,
    dtype: str,
    code_revision: str | None,
    tokenizer_folder: Path,
    quantization: str | None,
) -> tuple[nn.Module, Any]:
    """The transformer (on the CPU, in `dtype`) and its tokenizer.

    Args:
        folder: Holds config.json and weights.
        checkpoint: As the user named it, for messages.
        model_type: As config.json has it.
        dtype: As torch names it.
        code_revision: The commit whose Python code may run; None runs none.
        tokenizer_folder: Holds the tokenizer.
        quantization: "8bit", "4bit", or None for weights in `dtype`.

    Raises:
        ConfigError: an architecture that transformers does not know, or a checkpoint without some
            of its weights.
        IntegrityError: weights that cannot be read.
        EnvironmentFault: too little memory, or a Python package that the model needs is missing.
    """
    kind = _kind(model_type)
    more = {} if quantization is None else quantized(checkpoint, quantization, dtype)
    if isinstance(read_json(folder / "config.json").get("encoder"), dict):
        # T5Gemma's encoder has to be told that its decoder stays away.
        more["is_encoder_decoder"] = False
    # A missing pooler is never used; anything else missing would be random numbers.
    may_lack = ("pooler.",)
    loaded = _load(kind, folder, checkpoint, dtype, code_revision, may_lack, tokenizer_folder, more)
    if quantization is not None:
        settle(loaded[0])
    return loaded


def _kind(model_type: str) -> Any:
    """The class of a model; of an encoder-decoder the encoder alone, where transformers has it as a model."""
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    whole: Any = MODEL_MAPPING_NAMES.get(model_type)
    half = f"{whole.removesuffix('Model')}EncoderModel" if isinstance(whole, str) else ""
    return getattr(transformers, half, transformers.AutoModel)


def load_scorer(
    auto: str, folder: Path, checkpoint: str, dtype: str, code_revision: str | None
) -> tuple[nn.Module, Any]:
    """A model that scores pairs, with its head (on the CPU, in `dtype`), and its tokenizer.

    Other arguments and errors are those of `load_transformer`. No weight may be missing: transformers
    would make up a classifier, whose scores look like scores.

    Args:
        auto: The class of transformers that loads models of its kind, e.g. AutoModelForCausalLM.
    """
    import transformers

    kind = getattr(transformers, auto)
    return _load(kind, folder, checkpoint, dtype, code_revision, (), folder, {})


def _load(
    kind: Any,
    folder: Path,
    checkpoint: str,
    dtype: str,
    code_revision: str | None,
    may_lack: tuple[str, ...],
    tokenizer_folder: Path,
    more: dict[str, Any],
) -> tuple[nn.Module, Any]:
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    local: dict[str, Any] = {"local_files_only": True}
    remote = {**local, "trust_remote_code": code_revision is not None}
    if code_revision is not None:
        remote["code_revision"] = code_revision
    tokenizer = load_tokenizer(tokenizer_folder, checkpoint, remote)
    # A class of transformers' own runs no other code, and would take its commit for an option.
    is_auto = kind.__name__.startswith("Auto")
    with _explained(checkpoint):
        model, report = kind.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            weights_only=True,
            output_loading_info=True,
            # Told below, by name: transformers would tell the log.
            ignore_mismatched_sizes=True,
            **settled(read_json(folder / "config.json")),
            **more,
            **(remote if is_auto else local),
        )
    misfits = sorted(report["mismatched_keys"])
    if misfits:
        name, stored, needed = misfits[0]
        raise ConfigError(
            f"{checkpoint}: {name} is stored as {list(stored)}, and config.json makes it"
            f" {list(needed)}"
            + (f"; so it is with {len(misfits) - 1} more." if misfits[1:] else "."),
            hint="The checkpoint does not fit its config.json; use another one.",
        )
    missing = sorted(name for name in report["missing_keys"] if not name.startswith(may_lack))
    if missing:
        raise ConfigError(
            f"{checkpoint} lacks weights of {type(model).__name__}: {', '.join(missing[:5])}"
            + (f" and {len(missing) - 5} more." if len(missing) > 5 else "."),
            hint="The checkpoint does not fit its config.json; use another one.",
        )
    _check_vocabulary(model, tokenizer, checkpoint)
    return model, tokenizer


def _check_vocabulary(model: Any, tokenizer: Any, checkpoint: str) -> None:
    """Refuses a tokenizer with ids beyond the embeddings: the texts would be blamed for them.

    Added tokens may lie there: hardly any text has one, but every batch has padding.
    """
    try:
        rows = getattr(model.get_input_embeddings(), "num_embeddings", None)
    except NotImplementedError:
        # A checkpoint's own code need not say where its embeddings are.
        rows = None
    highest = max(tokenizer.vocab_size - 1, tokenizer.pad_token_id or 0)
    if rows is not None and highest >= rows:
        raise ConfigError(
            f"{checkpoint}: the tokenizer's ids go up to {highest}, and the model has embeddings"
            f" for {rows} tokens, 0 to {rows - 1}.",
            hint="The tokenizer is not this model's; fetch the checkpoint again, or use another one.",
        )


def load_tokenizer(folder: Path, checkpoint: str, remote: dict[str, Any] | None = None) -> Any:
    """The tokenizer of a checkpoint, also of one whose model a plugin makes by itself.

    Args:
        remote: What else transformers is told: see `_load`.

    Raises:
        ConfigError: files that are no tokenizer.
        EnvironmentFault: a Python package that it needs is missing.
    """
    import transformers

    _check_sentencepiece(folder, checkpoint)
    with _explained(checkpoint):
        return transformers.AutoTokenizer.from_pretrained(
            folder, **(remote or {"local_files_only": True})
        )


def _check_sentencepiece(folder: Path, checkpoint: str) -> None:
    """transformers would ask for tiktoken, which reads files of another kind."""
    if (folder / "tokenizer.json").is_file():
        return
    file = next((name for name in _SENTENCEPIECE if (folder / name).is_file()), None)
    lacking = [name for name, module in _READERS.items() if not _is_installed(module)]
    if file is not None and lacking:
        raise EnvironmentFault(
            f"{checkpoint} has its tokenizer in {file} alone, which takes {' and '.join(lacking)}"
            " to read.",
            hint=f"Install it into Quarry's environment: python -m pip install {' '.join(lacking)}",
        )


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def load_weights(module: nn.Module, file: Path) -> None:
    """Fills a module from a safetensors file; every name and shape must fit."""
    try:
        module.load_state_dict(load_file(file))
    except Exception as error:
        raise IntegrityError(
            f"{file}: {_first_line(error)}", hint="Fetch the checkpoint again."
        ) from error


def load_training_state(file: Path) -> dict[str, Any]:
    """State of an optimiser or a schedule, from a checkpoint of our own run: tensors and numbers only."""
    state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    return state


@contextlib.contextmanager
def _explained(checkpoint: str) -> Iterator[None]:
    """Turns what transformers raises into the error family, and keeps its prints out of the log."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except ImportError as error:
        raise EnvironmentFault(
            f"{checkpoint} needs a Python package: {_first_line(error)}",
            hint="Install it into Quarry's environment.",
        ) from error
    except Exception as error:
        if is_out_of_memory(error):
            raise EnvironmentFault(
                f"{checkpoint} does not fit into memory.", hint="Use a smaller model."
            ) from error
        if "safetensor" in type(error).__name__.lower():
            raise IntegrityError(
                f"{checkpoint}: {_first_line(error)}", hint="Fetch the model again."
            ) from error
        raise ConfigError(
            f"{checkpoint} cannot be loaded: {in_a_line(error)}",
            hint="Check that it is a transformers model with safetensors weights.",
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
