"""A model that puts texts into its chat template, for others: what is exported asks for it, merged or not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from quarry_runtime.export_model import export_model
from quarry_runtime.modeling.load import load_encoder
from quarry_runtime.protocol.messages import AdapterSpec

TEXTS = ["a cat sat on the mat", "dog", "amber river stone"]
FACTS: dict[str, Any] = {
    "name": "chat",
    "title": "chat",
    "base": None,
    "experiment": {"name": "chat"},
    "data": {},
    "measures": {},
    "step": 1,
    "versions": {},
    "license": None,
}
ADAPTER = AdapterSpec(
    r=4, alpha=8, dropout=0, target_modules=None, rslora=False, dora=False, base_dtype="float32"
)


def encode(encoder: Any) -> NDArray[np.float32]:
    with torch.inference_mode():
        return encoder(encoder.collate(encoder.tokenize(TEXTS, "passage")["input_ids"])).numpy()


@pytest.mark.parametrize("merge", [False, True], ids=["adapter", "merged"])
def test_sentence_transformers_reads_what_is_exported_to_the_same_vectors(
    merge: bool,
    tiny_chat: Callable[..., Path],
    model_spec: Callable[..., Any],
    load: Callable[..., Any],
    tmp_path: Path,
) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    base, adapted, exported = tiny_chat(pooling="lasttoken"), tmp_path / "adapter", tmp_path / "out"
    trained: Any = load_encoder(model_spec(base, adapter=ADAPTER), "cpu", for_training=True)
    torch.manual_seed(0)
    for parameter in trained.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.2)
    trained.save(adapted)
    export_model(model_spec(adapted), exported, FACTS, merge, None)
    expected = encode(load(adapted))
    assert not np.allclose(expected, encode(load(base)))
    np.testing.assert_allclose(encode(load(exported)), expected, atol=1e-5)
    peer = sentence_transformers.SentenceTransformer(str(exported), device="cpu")
    theirs = peer.encode_document(TEXTS, batch_size=1, show_progress_bar=False)
    np.testing.assert_allclose(theirs, expected, atol=1e-5)
    card = (exported / "README.md").read_text()
    assert "| texts | in the chat template, prompts as its system's message |" in card
    assert '"sentence-transformers>=5.4"' in card
