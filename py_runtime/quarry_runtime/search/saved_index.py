"""A FAISS index in a folder: index, ids and ranks, and a manifest that is written last."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from quarry_runtime.errors import ConfigError, DataError, IntegrityError
from quarry_runtime.guard.durable import whole_folder
from quarry_runtime.guard.hashes import sha256_now
from quarry_runtime.guard.id_list import read_ids
from quarry_runtime.search.faiss_index import (
    IndexOptions,
    Kind,
    Metric,
    Rows,
    build_index,
    load_faiss,
    search_index,
)

_INDEX, _IDS, _RANKS, _MANIFEST = "index.faiss", "ids.json", "ranks.npy", "manifest.json"
_VERSION = 1


class SavedFile(msgspec.Struct, forbid_unknown_fields=True):
    """What a file must be."""

    bytes: int
    sha256: str


class Manifest(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """What a folder holds; its presence says that the folder is complete."""

    version: int
    kind: Kind
    metric: Metric
    nlist: int | None
    nprobe: int | None
    m: int
    ef: int
    dimension: int
    row_count: int
    fingerprint: str
    faiss: str
    files: dict[str, SavedFile]
    #: SHA-256 over all of the above: a flipped bit in nprobe would only make answers worse.
    checksum: str = ""

    def own_checksum(self) -> str:
        """What `checksum` must be."""
        plain = msgspec.structs.replace(self, checksum="")
        return hashlib.sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()


@dataclasses.dataclass(frozen=True)
class SavedIndex:
    """An index that was read and is what its manifest says.

    Example:
        saved = open_saved(Path("index"), fingerprint)
        scores_QK, rows_QK = saved.search(queries_QD, k=100)
    """

    index: Any
    manifest: Manifest
    ranks: NDArray[np.int32]

    def search(
        self, queries_QD: NDArray[Any], k: int, nprobe: int | None = None, ef: int | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """As search_index; nprobe or ef other than that of the manifest may be given, where the kind has it."""
        manifest = self.manifest
        for name, value, kind in (("nprobe", nprobe, "ivf"), ("ef", ef, "hnsw")):
            if value is not None and manifest.kind != kind:
                raise ConfigError(
                    f"{name} is an option of {kind}, but the index is {manifest.kind}.",
                    hint=f"Take {name} out, or search an index of that kind.",
                )
        if nprobe is not None and manifest.nlist is not None and nprobe > manifest.nlist:
            raise ConfigError(
                f"nprobe looks into {nprobe} lists, but the index has {manifest.nlist}.",
                hint=f"Set it to {manifest.nlist} or less.",
            )
        options = IndexOptions(
            manifest.kind,
            manifest.metric,
            manifest.nlist,
            nprobe or manifest.nprobe,
            manifest.m,
            ef or manifest.ef,
        )
        return search_index(self.index, options, queries_QD, k, self.ranks)


def save(
    folder: Path,
    vectors_ND: Rows,
    ids: list[str],
    options: IndexOptions,
    fingerprint: str,
) -> Manifest:
    """Builds an index and puts it in a folder, which is complete or not there.

    Args:
        folder: An index that lies there already is replaced.
        vectors_ND: Rows in the order of the ids; may be mapped.
        ids: Ids of the passages, each once.
        options: How to build.
        fingerprint: The model that made the vectors.

    Raises:
        ConfigError: the folder holds something else than an index.
        DataError: another number of ids than of vectors, an id twice, NaN or infinity.
        EnvironmentFault: FAISS is not installed.
    """
    faiss = load_faiss()
    if vectors_ND.ndim != 2 or len(vectors_ND) != len(ids):
        raise DataError(f"{len(ids)} ids came for vectors of shape {list(vectors_ND.shape)}.")
    if len(set(ids)) != len(ids):
        raise DataError("An id stands among the ids twice.", hint="Qualify ids by their corpus.")
    if folder.exists() and not (folder / _MANIFEST).is_file():
        raise ConfigError(f"{folder} is there and holds no index.", hint="Name another folder.")
    settled = options.settled(len(ids))
    index = build_index(vectors_ND, settled)
    with whole_folder(folder) as making:
        faiss.write_index(index, str(making / _INDEX))
        (making / _IDS).write_text(json.dumps(ids, ensure_ascii=False), encoding="utf-8")
        np.save(making / _RANKS, ranks_of(ids), allow_pickle=False)
        files = {name: _saved(making / name) for name in (_INDEX, _IDS, _RANKS)}
        manifest = Manifest(
            version=_VERSION,
            kind=settled.kind,
            metric=settled.metric,
            nlist=settled.nlist,
            nprobe=settled.nprobe,
            m=settled.m,
            ef=settled.ef,
            dimension=int(vectors_ND.shape[1]),
            row_count=len(ids),
            fingerprint=fingerprint,
            faiss=str(faiss.__version__),
            files=files,
        )
        manifest = msgspec.structs.replace(manifest, checksum=manifest.own_checksum())
        (making / _MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    return manifest


def open_saved(folder: Path, fingerprint: str) -> SavedIndex:
    """Reads an index for the queries of a model.

    Args:
        folder: As `save` left it.
        fingerprint: The model that made the queries.

    Raises:
        ConfigError: no index there, or one of another model.
        IntegrityError: files that are not what was written.
        EnvironmentFault: FAISS is not installed.
    """
    manifest = read_manifest(folder)
    if fingerprint != manifest.fingerprint:
        raise ConfigError(
            f"{folder} holds vectors of another model: {manifest.fingerprint[:12]}…,"
            f" the queries come from {fingerprint[:12]}….",
            hint="Search with the model, dtype, prompts and lengths that the index was built with.",
        )
    for name in (_INDEX, _IDS, _RANKS):
        file, expected = folder / name, manifest.files.get(name)
        is_same = file.is_file() and expected is not None
        if not is_same or _saved(file) != expected:
            raise IntegrityError(f"{file} is not what was written.", hint="Build the index again.")
    index = load_faiss().read_index(str(folder / _INDEX))
    # Counted only: whoever asked for the search knows them by their places.
    id_count = sum(1 for _ in read_ids(folder / _IDS))
    ranks = np.load(folder / _RANKS, allow_pickle=False)
    counts = {index.ntotal, id_count, len(ranks), manifest.row_count}
    if len(counts) > 1 or index.d != manifest.dimension:
        raise IntegrityError(
            f"The parts of {folder} do not belong together.", hint="Build the index again."
        )
    return SavedIndex(index, manifest, ranks)


def read_manifest(folder: Path) -> Manifest:
    """What an index is, without reading it.

    Raises:
        ConfigError: no index there.
        IntegrityError: a manifest that cannot be read, or of another version.
    """
    file = folder / _MANIFEST
    if not file.is_file():
        raise ConfigError(
            f"{folder} holds no index.", hint="Make one with quarry encode --export faiss."
        )
    try:
        manifest = msgspec.json.decode(file.read_bytes(), type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityError(f"{file}: {error}.", hint="Build the index again.") from error
    if manifest.checksum != manifest.own_checksum():
        raise IntegrityError(f"{file} is not what was written.", hint="Build the index again.")
    if manifest.version != _VERSION:
        raise IntegrityError(
            f"{file} is of version {manifest.version}, not {_VERSION}.",
            hint="Build the index again.",
        )
    return manifest


def ranks_of(ids: list[str]) -> NDArray[np.int32]:
    """The place of each id in the order of ids as UTF-8 bytes, which is that of code points."""
    ranks_N = np.empty(len(ids), np.int32)
    ranks_N[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids), dtype=np.int32)
    return ranks_N


def _saved(file: Path) -> SavedFile:
    # Never from memory, as a model's hash may come: a flipped bit changes neither size nor time.
    return SavedFile(bytes=file.stat().st_size, sha256=sha256_now(file))
