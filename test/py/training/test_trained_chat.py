"""Models that put texts into their chat template: trained in it, and saved for sentence-transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from quarry_runtime.protocol.messages import AdapterSpec
from quarry_runtime.training import feed

ADAPTER = AdapterSpec(
    r=4, alpha=8, dropout=0.1, target_modules=None, rslora=False, dora=False, base_dtype="float32"
)
TEXTS = ["amber river", " stone\n", "violet cloud forest " * 40, ""]


@pytest.mark.parametrize("adapter", [None, ADAPTER], ids=["whole", "adapter"])
def test_texts_are_trained_on_in_the_template_and_what_is_saved_is_read_by_sentence_transformers(
    adapter: AdapterSpec | None,
    build: Callable[..., Any],
    fake_orchestrator: Callable[[], Any],
    tiny_chat: Callable[..., Path],
    model_spec: Callable[..., Any],
    load: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    seen: dict[str, list[list[int]]] = {"query": [], "passage": []}
    pad = feed.padded

    def padded(encoder: Any, ids: list[list[int]], side: Any, grouping: Any) -> Any:
        seen[side].extend(ids)
        return pad(encoder, ids, side, grouping)

    monkeypatch.setattr(feed, "padded", padded)
    begun = tiny_chat(pooling="lasttoken")
    orchestrator = fake_orchestrator()
    orchestrator.passage_prompts = ["Look up", None]
    trainer = build(orchestrator, model=model_spec(begun, adapter=adapter))
    trainer.train()
    folder = Path(trainer.args.output_dir) / "checkpoint-4"
    encoder = load(folder)
    start, end, line = encoder.tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>", "Ċ"])
    rows = [*seen["query"], *seen["passage"]]
    assert all(ids[0] == start and ids[-2:] == [end, line] for ids in rows)
    # Queries and every other passage have a prompt, the system's message.
    assert {ids.count(start) for ids in seen["query"]} == {2}
    assert {ids.count(start) for ids in seen["passage"]} == {1, 2}
    peer = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    for side, encode in (("query", peer.encode_query), ("passage", peer.encode_document)):
        with torch.inference_mode():
            ids = encoder.tokenize(TEXTS, side)["input_ids"]
            found = encoder(encoder.collate(ids), side).numpy()
        expected = encode(TEXTS, batch_size=1, show_progress_bar=False)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        with torch.inference_mode():
            before = load(begun)
            first = before(before.collate(before.tokenize(TEXTS, side)["input_ids"]), side).numpy()
        assert np.abs(found - first).max() > 1e-3
