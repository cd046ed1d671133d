"""Texts of like length are encoded together: the same training, without most of the padding."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_runtime.modeling.encoder import Encoder
from quarry_runtime.modeling.text import Texts
from quarry_runtime.training import length_groups
from quarry_runtime.training.length_groups import choose_grouping, cut_by_length, whole
from quarry_runtime.training.retriever import LengthGroups, batches_of


def tokens_of(groups: list[Any], lengths: Any) -> int:
    return sum(len(group) * int(lengths[group].max()) for group in groups)


@given(st.lists(st.integers(1, 512), min_size=1, max_size=200), st.integers(0, 2_000))
def test_each_text_is_in_one_group_and_a_group_is_worth_its_call(
    given_lengths: list[int], overhead: int
) -> None:
    lengths = np.array(given_lengths)
    groups = cut_by_length(lengths, overhead)
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(lengths)))
    saved = tokens_of([np.arange(len(lengths))], lengths) - tokens_of(groups, lengths)
    assert saved >= overhead * (len(groups) - 1)
    longest = [int(lengths[group].max()) for group in groups]
    assert longest == sorted(longest, reverse=True)


def test_groups_of_known_lengths() -> None:
    lengths = np.array([10, 100, 12, 98, 11, 50])
    assert [group.tolist() for group in cut_by_length(lengths, 20)] == [[1, 3], [5], [2, 4, 0]]
    # Nothing is saved by cutting equal texts, nor where a call is dear.
    assert len(cut_by_length(np.full(64, 128), 0)) == 1
    assert len(cut_by_length(lengths, 300)) == 1
    assert whole(lengths, "query")[0].tolist() == [0, 1, 2, 3, 4, 5]


def first_batch(trainer: Any) -> dict[str, Any]:
    return next(iter(trainer.feed))


@pytest.mark.parametrize("towers", [None, "separate"])
def test_training_in_groups_gives_the_curve_of_the_whole_batch(
    towers: str | None,
    build: Callable[..., Any],
    fake_orchestrator: Callable[[], Any],
    model_spec: Callable[..., Any],
    tiny_bert: Path,
) -> None:
    whole_batch, grouped = fake_orchestrator(), fake_orchestrator()
    model = model_spec(tiny_bert, towers=towers)
    build(whole_batch, model=model, is_dropout_on=False, length_groups=1).train()
    build(grouped, model=model, is_dropout_on=False, length_groups=4).train()
    assert [step.loss for step in grouped.steps] == pytest.approx(
        [step.loss for step in whole_batch.steps], abs=1e-5
    )
    assert [step.grad_norm for step in grouped.steps] == pytest.approx(
        [step.grad_norm for step in whole_batch.steps], abs=1e-5
    )


def test_groups_hold_the_texts_of_the_batch_and_less_padding(
    build: Callable[..., Any], fake_orchestrator: Callable[[], Any]
) -> None:
    plain = first_batch(build(fake_orchestrator(), length_groups=1))["passages"]
    grouped = first_batch(build(fake_orchestrator(), length_groups=3))["passages"]
    assert isinstance(grouped, LengthGroups)
    rows = [
        ids[mask.bool()].tolist()
        for part in batches_of(grouped)
        for ids, mask in zip(part["input_ids"], part["attention_mask"], strict=True)
    ]
    wanted = zip(plain["input_ids"], plain["attention_mask"], strict=True)
    assert [rows[place] for place in grouped["places"]] == [
        ids[mask.bool()].tolist() for ids, mask in wanted
    ]
    size = sum(part["input_ids"].numel() for part in batches_of(grouped))
    assert size < plain["input_ids"].numel()


def test_left_to_itself_a_batch_of_texts_of_two_lengths_is_cut(
    build: Callable[..., Any], fake_orchestrator: Callable[[], Any], monkeypatch: Any
) -> None:
    # A model of 32 numbers is too small for its calls to pay.
    monkeypatch.setattr(length_groups, "overhead", lambda *_: 0.5)
    assert isinstance(first_batch(build(fake_orchestrator()))["passages"], LengthGroups)


def test_where_numbers_of_groups_must_be_equal_or_the_encoder_is_a_stranger_the_batch_stays_whole(
    build: Callable[..., Any], fake_orchestrator: Callable[[], Any]
) -> None:
    trainer = build(fake_orchestrator())
    retriever = trainer.retriever

    def chosen(
        count: int | None = None, fsdp: Any = None, compiled: bool = False, multiple: int = 1
    ) -> Any:
        args: Any = SimpleNamespace(fsdp_plugin_args=fsdp, torch_compile=compiled)
        model = SimpleNamespace(pad_to_multiple_of=multiple)
        task: Any = SimpleNamespace(mini_batch_size=None, length_groups=count, model=model)
        return choose_grouping(task, retriever, args, True)

    assert chosen() is not whole
    long = np.array([1_000] * 50 + [970] * 50)
    assert len(chosen()(long, "query")) == 2
    # Where both are padded to the same width, nothing is saved.
    assert len(chosen(multiple=64)(long, "query")) == 1
    assert chosen(fsdp={}) is whole
    assert chosen(compiled=True) is whole
    contract = retriever.encoder.contract
    retriever.encoder.contract = msgspec.structs.replace(contract, pooling="of_a_plugin")
    assert chosen() is whole
    retriever.encoder.contract = contract
    own = type("Own", (Encoder,), {"forward": lambda *given: Encoder.forward(*given)})  # noqa: PLW0108 (another function)
    retriever.encoder.__class__ = own
    assert chosen() is whole
    # Who counts them knows what he does.
    counted = chosen(count=4, fsdp={}, compiled=True)
    assert [len(group) for group in counted(np.arange(6), "query")] == [2, 2, 1, 1]
    assert len(counted(np.arange(2), "query")) == 2


@pytest.mark.parametrize("count", [1, 3])
def test_what_goes_to_a_gpu_is_pinned_whatever_kind_of_mapping_it_comes_in(
    count: int, build: Callable[..., Any], fake_orchestrator: Callable[[], Any], monkeypatch: Any
) -> None:
    import torch
    from transformers import BatchEncoding

    pinned: list[torch.Tensor] = []
    # Without a GPU torch has no memory to pin.
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda each: pinned.append(each) or each)
    trainer = build(fake_orchestrator(), length_groups=count, max_steps=1)
    # A copy: the trainer's own fetches batches in a thread at this moment, and must not see the stand-in.
    feed = copy.copy(trainer.feed)
    encoder = trainer.retriever.encoder
    collate = type(encoder).collate
    monkeypatch.setattr(type(encoder), "collate", lambda *given: BatchEncoding(collate(*given)))
    texts = Texts(
        np.arange(3, dtype=np.int32), np.arange(3, dtype=np.int32), ["a", "b c", "d"], None
    )
    feed._is_pinned = True
    batch = feed._tokens(texts, "passage")
    wanted = [*(each for part in batches_of(batch) for each in part.values())]
    wanted += [batch["places"]] if isinstance(batch, LengthGroups) else []
    assert {id(each) for each in wanted} <= {id(each) for each in pinned}
    assert len(batches_of(batch)) == count
