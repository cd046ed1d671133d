"""Encoders of their own for queries and passages: started, saved and loaded as two."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from quarry_runtime.errors import ConfigError
from quarry_runtime.inspect import model_contract
from quarry_runtime.modeling.contract import resolve
from quarry_runtime.modeling.load import load_encoder
from quarry_runtime.modeling.tokens import collate

TEXTS = ["a cat sat on the mat", "dog", "amber river stone"]


def encode(encoder: Any, side: Any) -> NDArray[np.float32]:
    with torch.inference_mode():
        ids = encoder.tokenize(TEXTS, side)["input_ids"]
        return encoder(collate(encoder, ids, side), side).numpy()


@pytest.fixture
def apart(tiny_bert: Path, tiny_gpt2: Path, load: Callable[..., Any]) -> Any:
    """A decoder for queries, an encoder for passages: other tokenizers, other padding."""
    wishes = {"query_prompt": "find: ", "query_max_length": 20, "passage_max_length": 40}
    return load(tiny_bert, query_checkpoint=str(tiny_gpt2), **wishes)


def test_each_side_has_its_own_transformer_tokenizer_and_pooling(
    apart: Any, tiny_bert: Path, tiny_gpt2: Path, load: Callable[..., Any]
) -> None:
    assert np.array_equal(encode(apart, "passage"), encode(load(tiny_bert), "passage"))
    query = load(tiny_gpt2, query_prompt="find: ", query_max_length=20)
    assert np.array_equal(encode(apart, "query"), encode(query, "query"))
    assert apart.contract.architecture == "BertModel + GPT2Model"
    assert (apart.contract.query_prompt, apart.contract.query_max_length) == ("find: ", 20)


def test_a_saved_pair_is_loaded_by_quarry_and_by_sentence_transformers(
    apart: Any, load: Callable[..., Any], tmp_path: Path
) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    apart.save(tmp_path / "pair")
    again = load(tmp_path / "pair")
    peer = sentence_transformers.SentenceTransformer(str(tmp_path / "pair"), device="cpu")
    theirs = {"query": peer.encode_query, "passage": peer.encode_document}
    for side, encode_peer in theirs.items():
        assert np.array_equal(encode(again, side), encode(apart, side))
        vectors = encode_peer(TEXTS, batch_size=1, show_progress_bar=False)
        np.testing.assert_allclose(vectors, encode(apart, side), atol=1e-5)
    assert {**vars_of(again.contract), "checkpoint": "", "fingerprint": ""} == {
        **vars_of(apart.contract),
        "checkpoint": "",
        "fingerprint": "",
    }
    report = model_contract(str(tmp_path / "pair"))
    assert (report["towers"], report["architecture"]) == ("separate", "BertModel")


@pytest.mark.parametrize("ended", ["query", "passage"])
def test_an_end_token_that_one_side_appends_stays_its_own(
    ended: str,
    tiny_of: Callable[..., Path],
    tiny_bert: Path,
    load: Callable[..., Any],
    tmp_path: Path,
) -> None:
    load(tiny_of("llama"), append_eos=True).save(tmp_path / "ended")
    passage, query = tiny_bert, tmp_path / "ended"
    if ended == "passage":
        passage, query = query, passage
    pair = load(passage, query_checkpoint=str(query), normalize=True)
    pair.save(tmp_path / "pair")
    again = load(tmp_path / "pair")
    # A text that spells the end token out tells whether it is known to end texts.
    texts = [*TEXTS, "a text <|endoftext|>"]
    for side in ("query", "passage"):
        assert again.tokenize(texts, side) == pair.tokenize(texts, side)
        assert np.array_equal(encode(again, side), encode(pair, side))


@pytest.mark.usefixtures("leave_no_names")
@pytest.mark.parametrize("sides", [("second", "cls"), ("cls", "second")])
def test_a_pooling_that_a_plugin_brings_for_one_side_stays_its_own(
    sides: tuple[str, str], tiny_bert: Path, load: Callable[..., Any], tmp_path: Path
) -> None:
    plugin = tmp_path / "second.py"
    plugin.write_text(
        "from quarry_runtime.modeling.registry import register_pooling\n"
        "register_pooling('second')(lambda hidden, mask: hidden[:, 1])\n"
    )
    for side, pooling in zip(("query", "passage"), sides, strict=True):
        load(tiny_bert, pooling=pooling, plugins=[plugin]).save(tmp_path / side)
    query = str(tmp_path / "query")
    pair = load(tmp_path / "passage", query_checkpoint=query, plugins=[plugin])
    pair.save(tmp_path / "pair")
    again = load(tmp_path / "pair", plugins=[plugin])
    for side in ("query", "passage"):
        assert np.array_equal(encode(again, side), encode(pair, side))
    assert not np.array_equal(encode(again, "query"), encode(again, "passage"))


def test_a_router_that_sentence_transformers_wrote_is_followed_with_what_comes_behind_it(
    tiny_bert: Path, tiny_gpt2: Path, load: Callable[..., Any], tmp_path: Path
) -> None:
    pytest.importorskip("sentence_transformers")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules.normalize import Normalize
    from sentence_transformers.base.modules.router import Router
    from sentence_transformers.base.modules.transformer import Transformer
    from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling

    query = [Transformer(str(tiny_bert)), Pooling(32, "weightedmean"), LayerNorm(32)]
    document = [Transformer(str(tiny_gpt2)), Pooling(32, "lasttoken")]
    router = Router.for_query_document(query, document)
    peer = SentenceTransformer(modules=[router, Normalize()], device="cpu")
    peer.save(str(tmp_path / "theirs"), create_model_card=False)
    encoder = load(tmp_path / "theirs")
    assert encoder.contract.normalize
    for side, encode_peer in (("query", peer.encode_query), ("passage", peer.encode_document)):
        vectors = encode_peer(TEXTS, batch_size=1, show_progress_bar=False)
        np.testing.assert_allclose(encode(encoder, side), vectors, atol=1e-5)


def vars_of(contract: Any) -> dict[str, Any]:
    return {name: getattr(contract, name) for name in contract.__struct_fields__}


def test_separate_towers_of_one_checkpoint_start_equal_and_learn_apart(
    tiny_bert: Path, model_spec: Callable[..., Any]
) -> None:
    towers: Any = load_encoder(model_spec(tiny_bert, towers="separate"), "cpu", for_training=True)
    towers.eval()
    assert np.array_equal(encode(towers, "query"), encode(towers, "passage"))
    batch = collate(towers, towers.tokenize(TEXTS, "query")["input_ids"], "query")
    towers(batch, "query").pow(3).sum().backward()
    grads = {name: p.grad is not None for name, p in towers.named_parameters() if p.requires_grad}
    assert {name for name, has in grads.items() if has} == {
        name for name in grads if name.startswith("query.")
    }
    # DDP waits for ever for a parameter that never gets a gradient.
    assert not any("pooler" in name for name in grads)


def test_a_trained_pair_and_a_tied_model_have_other_fingerprints_and_both_towers_count(
    apart: Any, tmp_path: Path, model_spec: Callable[..., Any], tiny_bert: Path
) -> None:
    apart.save(tmp_path / "pair")

    def fingerprint(spec: Any) -> str:
        return resolve(spec).contract("float32", spec).fingerprint

    prints = [fingerprint(model_spec(tmp_path / "pair")), fingerprint(model_spec(tiny_bert))]
    for tower in ("query", "document"):
        file = tmp_path / "pair" / f"{tower}_0_Transformer" / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "note": tower}))
        prints.append(fingerprint(model_spec(tmp_path / "pair")))
    assert len(set(prints)) == 4


def test_towers_whose_vectors_cannot_be_compared_are_refused(
    tiny_bert: Path, tiny_of: Callable[..., Path], model_spec: Callable[..., Any]
) -> None:
    other = tiny_of("llama", hidden_size=16)
    with pytest.raises(ConfigError, match=r"have 16 dimensions, passages of .* have 32"):
        resolve(model_spec(tiny_bert, query_checkpoint=str(other)))


def test_a_router_of_another_package_is_refused_by_name(
    apart: Any, tmp_path: Path, model_spec: Callable[..., Any]
) -> None:
    apart.save(tmp_path / "pair")
    file = tmp_path / "pair" / "modules.json"
    file.write_text(json.dumps([{"idx": 0, "path": "", "type": "their.router.Router"}]))
    with pytest.raises(ConfigError, match=r"has a module their\.router\.Router at place 0"):
        resolve(model_spec(tmp_path / "pair"))


def test_routes_that_no_router_names_are_left_alone(
    tiny_bert: Path, tmp_path: Path, model_spec: Callable[..., Any]
) -> None:
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "model"))
    (folder / "router_config.json").write_text(json.dumps({"structure": {"query": ["gone"]}}))
    assert resolve(model_spec(folder)).query is None


def test_a_router_of_other_routes_is_named(
    apart: Any, tmp_path: Path, model_spec: Callable[..., Any]
) -> None:
    apart.save(tmp_path / "pair")
    file = tmp_path / "pair" / "router_config.json"
    content = json.loads(file.read_text())
    content["structure"]["image"] = content["structure"].pop("query")
    file.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="routes to document, image"):
        resolve(model_spec(tmp_path / "pair"))
