"""`export-model`: a model in a plain folder for others, with a card; merged, cast and pushed if asked."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec

from quarry_runtime.errors import ConfigError, EnvironmentFault, in_a_line
from quarry_runtime.guard.durable import sweep_beside, whole_folder
from quarry_runtime.guard.locate import offline_by
from quarry_runtime.protocol.messages import ModelSpec


def answer(argv: list[str]) -> dict[str, Any]:
    """Exports; the answer says what was written, and where it was pushed to."""
    parser = argparse.ArgumentParser(prog="quarry_runtime export-model", description=__doc__)
    parser.add_argument("--spec", type=Path, required=True, help="the model's spec, as JSON")
    parser.add_argument("--facts", type=Path, required=True, help="what the card tells, as JSON")
    parser.add_argument("--to", type=Path, required=True, help="the folder to write")
    parser.add_argument("--merge", action="store_true", help="put an adapter into the weights")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--push", help="repository on the hub")
    parser.add_argument("--private", action="store_true")
    options = parser.parse_args(argv)
    spec = msgspec.json.decode(options.spec.read_bytes(), type=ModelSpec)
    facts = json.loads(options.facts.read_text(encoding="utf-8"))
    # As an exception it takes the half-written folder away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.push:
        # Told before minutes are spent on weights.
        check_online(options.push)
    written = export_model(spec, options.to, facts, options.merge, options.dtype)
    url = push(options.to, options.push, options.private) if options.push else None
    return {**written, "url": url}


def export_model(
    spec: ModelSpec, to: Path, facts: dict[str, Any], is_merged: bool, dtype: str | None
) -> dict[str, Any]:
    """Writes the model and its card; the folder appears once it is whole.

    Args:
        spec: Which model; what it says differently from the checkpoint goes into the layout.
        to: A folder that is not there yet, or is empty.
        facts: See modeling/card.py.
        is_merged: Puts an adapter into the weights; without one there is nothing to do.
        dtype: What weights are written in; default: what they are stored in.

    Raises:
        ConfigError: a folder that holds something, a cross-encoder, or another dtype for an adapter alone.
    """
    import torch

    from quarry_runtime.guard.save import disk_errors
    from quarry_runtime.modeling.build import needs_trial
    from quarry_runtime.modeling.card import card
    from quarry_runtime.modeling.contract import resolve
    from quarry_runtime.modeling.cross_kind import is_scoring_pairs
    from quarry_runtime.modeling.exporting import merge, set_dtype
    from quarry_runtime.modeling.load import load_encoder
    from quarry_runtime.modeling.registry import find

    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise ConfigError(f"{to} is there already.", hint="Choose another folder with --out.")
    sweep_beside(to)
    # Bits are how weights are held while one works with them: a base model of a QLoRA is merged whole.
    spec = msgspec.structs.replace(spec, quantization=None)
    resolved = resolve(spec)
    if (
        spec.pooling is None
        and resolved.layout == "transformers"
        and is_scoring_pairs(resolved.architecture)
    ):
        raise ConfigError(
            f"{spec.checkpoint} scores pairs: as a model that embeds it would lose its classifier.",
            hint="A cross-encoder is in Hugging Face's layout already: copy its folder.",
        )
    parts = [resolved] if resolved.query is None else [resolved.query, resolved]
    is_adapter = any(part.adapter is not None for part in parts) and not is_merged
    if is_adapter and dtype is not None:
        raise ConfigError(
            f"{spec.checkpoint} is an adapter, whose base model keeps its number format.",
            hint="Add --merge, or leave --dtype out.",
        )
    written_as = dtype or resolved.weights.dtype
    if not is_adapter and not hasattr(torch, written_as):
        raise ConfigError(
            f"{spec.checkpoint} stores its weights as {written_as}, which Quarry does not write.",
            hint="Choose a number format: --dtype bf16, fp16 or fp32.",
        )
    # Merged in full precision, whatever it is written in.
    encoder: Any = load_encoder(spec, "cpu", "float32")
    if is_merged:
        merge(encoder)
    if not is_adapter:
        set_dtype(encoder, getattr(torch, written_as))
    try:
        with disk_errors(), whole_folder(to) as temporary:
            encoder.save(temporary)
            # sentence-transformers looks for a base model in a folder of the adapter's name.
            own: dict[str, Any] | None = {} if is_adapter and len(parts) > 1 else None
            if needs_trial(find("encoder", spec.encoder), encoder):
                own = {"plugins": [Path(plugin.path).name for plugin in spec.plugins]}
                own |= {"encoder": spec.encoder, "encoderOptions": spec.encoder_options}
            told = {
                **facts,
                "isAdapter": is_adapter,
                "own": own,
                "isTrusted": spec.trust_remote_code,
            }
            text = card(resolved, encoder.contract, told)
            (temporary / "README.md").write_text(text, encoding="utf-8")
            if to.exists():
                # Empty when this began: what somebody has put there since is not ours to remove.
                to.rmdir()
    except OSError as error:
        raise EnvironmentFault(
            f"{to} cannot be written: {error.strerror or error}.",
            hint="Choose a folder on a disk with room.",
        ) from error
    files = [file for file in to.rglob("*") if file.is_file()]
    return {"fileCount": len(files), "bytes": sum(file.stat().st_size for file in files)}


def check_online(repository: str) -> None:
    """Raises EnvironmentFault where the hub must not be asked."""
    if (variable := offline_by()) is not None:
        raise EnvironmentFault(
            f"{repository} cannot be pushed to: {variable} is set.",
            hint=f"Unset {variable}; or export without --push, and upload the folder later:"
            f" hf upload {repository} <folder>.",
        )


def push(folder: Path, repository: str, is_private: bool) -> str:
    """Uploads a folder as one commit; the repository is made if it is missing.

    Returns:
        The repository's address.

    Raises:
        EnvironmentFault: the hub cannot be reached or refuses it; the folder stays.
    """
    import huggingface_hub

    api = huggingface_hub.HfApi()
    try:
        made = api.create_repo(repository, private=is_private, exist_ok=True)
        api.upload_folder(
            repo_id=repository, folder_path=folder, commit_message="Upload a model with Quarry"
        )
    except Exception as error:
        raise EnvironmentFault(
            f"{repository} could not be pushed to: {in_a_line(error)}",
            hint=f"Look at the network and at `hf auth login`; the model lies in {folder}:"
            f" hf upload {repository} {folder}.",
        ) from error
    return str(made)
