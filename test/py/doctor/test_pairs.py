"""Each check of a cross-encoder and its pairs: silent on what is right, and loud on the fault that it is there for."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file

from quarry_runtime.doctor.findings import Finding
from quarry_runtime.doctor.look_at_pairs import look_at_pairs, probe_pairs
from quarry_runtime.doctor.pair_scores import check_alone, check_order, check_scores
from quarry_runtime.doctor.pair_tokens import check_pair_lengths
from quarry_runtime.doctor.work import CrossWork, PairSample
from quarry_runtime.errors import ConfigError

QUERIES = ["amber", "a stone", "cloud of violet"]
PASSAGES = ["amber river", "the stone in winter", "violet copper cloud and a market"]
ASKED = {
    "template": "Query: {query} Document: {passage} Relevant:",
    "true_token": "true",
    "false_token": "false",
}
Look = Callable[..., dict[str, Finding]]


@pytest.fixture
def look(tmp_path: Path, cross_spec: Callable[..., Any]) -> Look:
    """Findings about a checkpoint, by what was looked at without the path."""

    def make(
        folder: Path,
        texts: tuple[Sequence[str], Sequence[str]] = (QUERIES, PASSAGES),
        how: Any = look_at_pairs,
        **given: Any,
    ) -> dict[str, Finding]:
        queries, passages = texts
        count = len(queries)
        # Each with its own passage, then each with that of the next.
        both = [*passages, *passages[1:], *passages[:1]]
        columns = {"query": [*queries] * 2, "title": [""] * 2 * count, "text": both}
        rows = pa.array(range(2 * count), pa.int32())
        with pa.ipc.new_stream(
            tmp_path / "pairs.arrow", (table := pa.table({"row": rows, **columns})).schema
        ) as stream:
            stream.write_table(table)
        samples = [PairSample("evaluate.data", "pairs.arrow", count)]
        work = CrossWork("rerank", cross_spec(folder, **given), samples, 4, 0.0)
        return {finding.check: finding for finding in how(work, tmp_path, "cpu")}

    return make


@pytest.mark.parametrize(
    ("arch", "given"), [("cross", {}), ("cross-gpt2", {}), ("t5", ASKED)], ids=str
)
def test_sound_cross_encoders_score_a_pair_alike_alone_and_in_a_batch(
    arch: str, given: dict[str, str], tiny_cross: Callable[..., Path], look: Look
) -> None:
    found = look(tiny_cross(1, arch), **given)
    for name in ("batch size", "padding"):
        check = found[f"scores of rerank and {name}"]
        assert (check.status, check.facts["difference"] < 1e-5) == ("ok", True)
    assert found["model of rerank"].facts["kind"] == (
        "encoder-decoder" if arch == "t5" else "classifier"
    )
    assert found["scores of rerank"].status == "ok"
    assert found["length of rerank pairs of evaluate.data"].facts["cut"] == 0
    # Nobody taught them, so their order is chance.
    assert found["order of rerank"].status == "note"


def test_a_template_with_the_special_tokens_that_the_tokenizer_adds_is_refused(
    tiny_cross: Callable[..., Path], look: Look
) -> None:
    folder = tiny_cross()
    assert look(folder)["special tokens of rerank"].status == "ok"
    found = look(folder, template="[CLS] {query} [SEP] {passage}")["special tokens of rerank"]
    assert (found.status, "[CLS] stands twice" in found.seen) == ("refuse", True)
    own = look(folder, (["amber [SEP]", *QUERIES[1:]], PASSAGES))["special tokens of rerank"]
    assert (own.status, own.facts["withOwn"]) == ("note", 2)


def test_a_tokenizer_that_puts_nothing_between_the_texts_is_told(
    tiny_cross: Callable[..., Path], look: Look
) -> None:
    found = look(tiny_cross(1, "cross-gpt2"))["special tokens of rerank"]
    assert (found.status, "nothing between" in found.seen) == ("note", True)


def test_pairs_that_are_cut_are_counted_by_the_text_that_is_cut(
    tiny_cross: Callable[..., Path], look: Look
) -> None:
    long = " ".join(["amber"] * 200)
    found = look(tiny_cross(), ([long, "a", "b"], ["amber", long, "stone"]))
    lengths = found["length of rerank pairs of evaluate.data"]
    # long + amber, a + long, long + long, and "b" with either short one.
    assert lengths.status == "note"
    assert {name: lengths.facts[name] for name in ("cut", "queriesCut", "passagesCut")} == {
        "cut": 3, "queriesCut": 2, "passagesCut": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("pair", "cut"),
    [((50, 47), (0, 0)), ((10, 100), (0, 1)), ((60, 60), (1, 1)), ((90, 20), (1, 0))],
)
def test_the_longer_text_is_cut_first(pair: tuple[int, int], cut: tuple[int, int]) -> None:
    facts = check_pair_lengths("data", "rerank", [pair], 3, 100, 512).facts
    assert (facts["queriesCut"], facts["passagesCut"]) == cut


def test_a_longer_maximum_is_named_where_the_positions_allow_it() -> None:
    todo = check_pair_lengths("data", "rerank", [(10, 200)] * 9, 3, 100, 512).todo or ""
    assert "rerank.maxLength 213" in todo
    todo = check_pair_lengths("data", "rerank", [(10, 900)] * 9, 3, 512, 512).todo or ""
    assert "positions end at 512" in todo
    assert "maxLength" not in todo
    todo = check_pair_lengths("data", "rerank", [(10, 900)] * 9, 3, 100, 512).todo or ""
    assert "rerank.maxLength 512 would cut less" in todo


@pytest.mark.parametrize(("difference", "status"), [(1e-6, "ok"), (1e-4, "note"), (1e-2, "refuse")])
def test_scores_that_change_with_the_batch_or_with_padding_are_told(
    difference: float, status: str
) -> None:
    def by_batch(pairs: list[int]) -> torch.Tensor:
        return torch.tensor([float(pair) for pair in pairs]) + difference * (len(pairs) - 1)

    many, padded = check_alone("rerank", [0, 1, 2], by_batch)
    assert (many.status, padded.status) == (status, status)

    def by_padding(pairs: list[int]) -> torch.Tensor:
        return torch.tensor([float(pair) + difference * (max(pairs) - pair) for pair in pairs])

    many, padded = check_alone("rerank", [0, 1, 2], by_padding)
    assert (many.status, padded.status) == ("ok", status)


def test_scores_that_tell_nothing_are_refused() -> None:
    assert check_scores("rerank", torch.tensor([0.1, 0.9]), "float32").status == "ok"
    assert check_scores("rerank", torch.tensor([1.0, 1.0]), "float32").status == "refuse"
    broken = check_scores("rerank", torch.tensor([0.1, float("nan")]), "float16")
    assert (broken.status, broken.todo) == (
        "refuse", "Set rerank.dtype to float32 or bfloat16.",
    )  # fmt: skip


def test_an_order_that_is_the_wrong_way_round_is_told() -> None:
    high, low = torch.ones(24), torch.zeros(24)
    assert check_order("rerank", high, low).status == "ok"
    assert "wrong way round" in check_order("rerank", low, high).seen
    half = torch.cat([high[:12], low[:12]])
    assert "no better than chance" in check_order("rerank", half, 1 - half).seen


def test_a_probe_tells_speed_and_memory_in_the_workers_number_format(
    tiny_cross: Callable[..., Path], look: Look
) -> None:
    found = look(tiny_cross(), how=probe_pairs, dtype="bfloat16")
    assert found["speed of evaluate.data"].facts["pairsPerSecond"] > 0
    facts = found["memory of rerank"].facts
    assert (facts["dtype"], facts["batchSize"], facts["peakBytes"] > 1e7) == ("bfloat16", 4, True)


def test_a_probe_of_few_pairs_with_the_same_score_is_none_of_a_broken_model(
    tiny_cross: Callable[..., Path], look: Look
) -> None:
    found = look(tiny_cross(), (["amber"] * 2, ["a stone"] * 2), probe_pairs, dtype="bfloat16")
    assert set(found) == {"speed of evaluate.data", "memory of rerank"}


@pytest.mark.parametrize("how", [look_at_pairs, probe_pairs])
def test_broken_weights_are_refused_before_and_in_the_probe(
    how: Any, tiny_cross: Callable[..., Path], look: Look, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_cross(), tmp_path / "broken"))
    weights = load_file(folder / "model.safetensors")
    weights["classifier.weight"].fill_(float("nan"))
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    found = look(folder, how=how)["scores of rerank"]
    assert (found.status, "NaN or infinite" in found.seen) == ("refuse", True)


def test_a_checkpoint_that_scores_no_pairs_ends_as_a_worker_would(
    tiny_bert: Path, look: Look
) -> None:
    with pytest.raises(ConfigError, match="not a cross-encoder"):
        look(tiny_bert)
