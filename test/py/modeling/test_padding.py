"""The vector of a text does not change with its neighbours or with the side of the padding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from quarry_runtime.errors import ConfigError
from quarry_runtime.modeling.layout import POOLING_NAMES
from quarry_runtime.modeling.pooling import pool
from quarry_runtime.modeling.registry import register_pooling
from quarry_runtime.modeling.tokens import TokenIds, pad

TEXTS = ["the cat", "amber river stone and cloud", "one", "a long text " * 8]


def encode(encoder: Any, texts: list[str], side: Any = "passage") -> NDArray[np.float32]:
    with torch.inference_mode():
        return encoder(encoder.collate(encoder.tokenize(texts, side)["input_ids"]), side).numpy()


@pytest.mark.parametrize("model_type", ["bert", "roberta", "gpt2", "llama", "qwen2"])
def test_vectors_are_the_same_alone_together_and_padded_on_either_side(
    model_type: str, tiny_of: Callable[..., Path], load: Callable[..., Any]
) -> None:
    folders = [tiny_of(model_type, side) for side in ("right", "left")]
    for pooling in POOLING_NAMES.values():
        right, left = (load(folder, pooling=pooling) for folder in folders)
        assert (right.contract.padding_side, left.contract.padding_side) == ("right", "left")
        alone = np.concatenate([encode(right, [text]) for text in TEXTS])
        # Texts with different vectors, or else equal ones would prove nothing.
        assert np.abs(alone[0] - alone[1]).max() > 1e-3
        for encoder in (right, left):
            np.testing.assert_allclose(encode(encoder, TEXTS), alone, atol=1e-5, err_msg=pooling)
            wide = load(folders[encoder is left], pooling=pooling, pad_to_multiple_of=16)
            batch = wide.collate(wide.tokenize(TEXTS, "passage")["input_ids"])
            assert batch["input_ids"].shape[1] % 16 == 0
            np.testing.assert_allclose(encode(wide, TEXTS), alone, atol=1e-5, err_msg=pooling)


def test_an_empty_text_without_tokens_has_one_vector_beside_any_neighbour(
    tiny_of: Callable[..., Path], load: Callable[..., Any]
) -> None:
    for pooling in POOLING_NAMES.values():
        encoder = load(tiny_of("gpt2"), pooling=pooling)
        alone, beside_short, beside_long = (
            encode(encoder, texts)[0] for texts in ([""], ["", "one"], ["", *TEXTS])
        )
        assert np.array_equal(alone, beside_short), pooling
        assert np.array_equal(alone, beside_long), pooling


LANGUAGE = {"languages": ["en_XX"], "default_language": "en_XX"}
FEW = {"entity_vocab_size": 8, "entity_emb_size": 8}


@pytest.mark.parametrize(
    ("model_type", "options"),
    [
        ("data2vec-text", {}),
        ("ibert", {}),
        ("xmod", LANGUAGE),
        ("esm", {"position_embedding_type": "absolute", "mask_token_id": 4}),
        ("luke", FEW),
        ("markuplm", {}),
    ],
)
def test_relatives_of_roberta_count_their_own_positions_up_to_the_last_there_is(
    model_type: str, options: dict[str, Any], tiny_of: Callable[..., Path], load: Callable[..., Any]
) -> None:
    sides = ("right", "left")
    folders = [tiny_of(model_type, side, **options) for side in sides]
    right, left = (load(folder, passage_max_length=126) for folder in folders)
    alone = np.concatenate([encode(right, [text]) for text in TEXTS])
    np.testing.assert_allclose(encode(left, TEXTS), alone, atol=1e-5)
    ids = right.tokenize(["a long text " * 100], "passage")["input_ids"]
    assert len(ids[0]) == 128 - 2
    with pytest.raises(ConfigError, match="has positions for 126 tokens"):
        load(folders[0], passage_max_length=127)
    assert np.isfinite(encode(right, ["a long text " * 100])).all()


def test_padding_to_a_multiple_stops_at_the_models_positions() -> None:
    assert pad([[1] * 90], 0, "right", 64, 100)["input_ids"].shape == (1, 100)
    assert pad([[1] * 90], 0, "right", 64, 1000)["input_ids"].shape == (1, 128)
    assert pad([[1] * 64], 0, "left", 64, 1000)["input_ids"].shape == (1, 64)


def test_padding_cuts_no_text_that_is_longer_than_the_models_positions() -> None:
    assert pad([[1] * 9], 0, "right", 4, 8)["input_ids"].shape == (1, 9)


@pytest.mark.parametrize("mode", list(POOLING_NAMES.values()))
def test_pooling_computes_in_float32_whatever_comes_in(mode: str) -> None:
    hidden_BTH = torch.randn(2, 300, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    mask_BT = torch.ones(2, 300, dtype=torch.int64)
    assert torch.equal(pool(hidden_BTH, mask_BT, mode), pool(hidden_BTH.float(), mask_BT, mode))


@pytest.mark.usefixtures("leave_no_names")
def test_a_plugins_pooling_is_told_to_leave_the_prompt_out_as_well() -> None:
    @register_pooling("mean_of_a_plugin")
    def mean(hidden_BTH: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        return (hidden_BTH * mask_BT.unsqueeze(-1)).sum(1) / mask_BT.sum(1, keepdim=True)

    hidden_BTH, mask_BT = torch.arange(12.0).view(1, 3, 4), torch.ones(1, 3, dtype=torch.int64)
    given = (hidden_BTH, mask_BT, torch.tensor([[0, 1, 1]]))
    own, of_a_plugin = (pool(*given[:2], mode, given[2]) for mode in ("mean", "mean_of_a_plugin"))
    assert torch.equal(own, of_a_plugin)


@pytest.mark.parametrize("mode", list(POOLING_NAMES.values()))
def test_a_text_without_tokens_has_the_vector_0_whatever_the_pooling(mode: str) -> None:
    hidden_BTH = torch.ones(2, 3, 4)
    pooled_BH = pool(hidden_BTH, torch.tensor([[0, 0, 0], [1, 1, 0]]), mode)
    assert not pooled_BH[0].any()
    assert pooled_BH[1].all()


@pytest.mark.parametrize("mode", list(POOLING_NAMES.values()))
def test_pooling_ignores_padding_and_the_prompt_on_either_side(mode: str) -> None:
    tokens_TH = torch.arange(12.0).view(3, 4)
    expected = {
        "mean": tokens_TH.mean(0),
        "cls": tokens_TH[0],
        "last": tokens_TH[2],
        "max": tokens_TH[2],
        "mean_sqrt_len": tokens_TH.sum(0) / 3**0.5,
        # The prompt's two tokens have the weights 1 and 2.
        "weightedmean": (tokens_TH * torch.tensor([[3.0], [4.0], [5.0]])).sum(0) / 12,
    }[mode]
    prompt_TH, noise_TH = torch.full((2, 4), 55.0), torch.full((2, 4), 99.0)
    text_TH = torch.cat([prompt_TH, tokens_TH])
    hidden_BTH = torch.stack([torch.cat([text_TH, noise_TH]), torch.cat([noise_TH, text_TH])])
    row = TokenIds([7] * 5)
    row.prompt_length = 2
    padded = [pad([row, [7] * 7], 0, side) for side in ("right", "left")]
    masks = [torch.stack([batch[name][0] for batch in padded]) for name in padded[0]]
    _, mask_BT, counted_BT = masks
    pooled_BH = pool(hidden_BTH, mask_BT, mode, counted_BT)
    torch.testing.assert_close(pooled_BH, torch.stack([expected, expected]))
    both_BH = pool(hidden_BTH, mask_BT, f"{mode}+cls", counted_BT)
    assert torch.equal(both_BH, torch.cat([pooled_BH, torch.stack([tokens_TH[0]] * 2)], dim=-1))
