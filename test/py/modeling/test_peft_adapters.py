"""Adapters that peft itself trained and wrote, with settings that Quarry never makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from quarry_runtime.errors import ConfigError
from quarry_runtime.guard.adapters import merge

TEXTS = ["a cat sat on the mat", "dog"]


def written(base: Path, out: Path, kind: str, **settings: Any) -> Any:
    """An adapter with random numbers in all that it learns, put on a model of transformers."""
    peft, transformers = pytest.importorskip("peft"), pytest.importorskip("transformers")
    model = getattr(transformers, kind).from_pretrained(base)
    config = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], **settings)
    model = peft.get_peft_model(model, config)
    torch.manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data.normal_(std=0.3)
    model.save_pretrained(out)
    return model.eval()


@pytest.mark.parametrize("kind", ["AutoModel", "AutoModelForCausalLM"])
def test_tokens_that_were_trained_by_their_ids_land_with_a_head_and_without(
    kind: str, tiny_of: Callable[..., Path], load: Callable[..., Any], tmp_path: Path
) -> None:
    base = tiny_of("llama")
    encoder = load(base, normalize=False)
    rows = encoder.tokenize(TEXTS, "passage")["input_ids"]
    # Without its embeddings a text would have another vector.
    settings = {"trainable_token_indices": sorted({*rows[0]})}
    peer = written(base, tmp_path / "adapter", kind, **settings)
    inner = peer.base_model.model if kind == "AutoModel" else peer.base_model.model.model
    with torch.inference_mode():
        means = [inner(torch.tensor([row])).last_hidden_state.mean(1) for row in rows]
        encoder = load(tmp_path / "adapter", normalize=False)
        batch = encoder.collate(encoder.tokenize(TEXTS, "passage")["input_ids"])
        np.testing.assert_allclose(encoder(batch), torch.cat(means), atol=1e-5)


def test_an_adapter_that_cannot_be_merged_is_named_as_such(
    tiny_of: Callable[..., Path], load: Callable[..., Any], tmp_path: Path
) -> None:
    written(tiny_of("llama"), tmp_path / "adapter", "AutoModel", lora_bias=True)
    with pytest.raises(ConfigError, match=r"The adapter cannot be merged: .*bias"):
        merge(load(tmp_path / "adapter").transformer)
