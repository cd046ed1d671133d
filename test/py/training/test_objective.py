"""Several losses as one: by weight, by source, on leading dimensions, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from quarry_runtime.errors import ConfigError
from quarry_runtime.modeling.losses.inputs import BatchExtras, LossInputs
from quarry_runtime.modeling.registry import find
from quarry_runtime.protocol.messages import LossSpec, MatryoshkaSpec, RetrieverSpec
from quarry_runtime.training.build import build_objective, build_retriever
from quarry_runtime.training.objective import Objective, Term

QUERIES, PER_QUERY, DIMENSION = 5, 3, 6
SOURCES = torch.tensor([0, 1, 0, 2, 1])


def loss(name: str, **options: Any) -> Any:
    entry = find("loss", name)
    return entry.factory(entry.parse(options))


def batch() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(3)
    unit = nn.functional.normalize
    return {
        "queries_QD": unit(torch.randn(QUERIES, DIMENSION, generator=draw)).requires_grad_(),
        "passages_BD": unit(
            torch.randn(QUERIES * PER_QUERY, DIMENSION, generator=draw)
        ).requires_grad_(),
        "positive_columns": torch.arange(QUERIES) * PER_QUERY,
        "mask": torch.rand(QUERIES, QUERIES * PER_QUERY, generator=draw) < 0.2,
        "labels": torch.randint(0, 4, (QUERIES, PER_QUERY), generator=draw).float(),
        "counts": torch.tensor([3, 2, 3, 1, 3]),
        "sources": SOURCES,
    }


def alone(name: str, query: int, given: dict[str, Tensor], **options: Any) -> Tensor:
    """A loss of one query, by a LossInputs of its own."""
    one = slice(query, query + 1)
    fields = ("positive_columns", "mask", "labels", "counts")
    picked: Any = [given[field][one] for field in fields]
    inputs = LossInputs(given["queries_QD"][one], given["passages_BD"], *picked)
    return loss(name, **options)(inputs)


def test_a_query_has_the_weighted_losses_of_its_source_and_the_batch_the_mean_over_its_queries() -> (
    None
):
    given = batch()
    terms = [
        Term(loss("infonce"), weight=2.0, sources=(0, 1)),
        Term(loss("kl"), sources=(1,)),
        Term(loss("triplet", margin=1.5), weight=0.5),
    ]
    found = Objective(terms)(**given)
    expected = torch.zeros(())
    for query, source in enumerate(SOURCES.tolist()):
        if source in (0, 1):
            expected = expected + 2.0 * alone("infonce", query, given)
        if source == 1:
            expected = expected + alone("kl", query, given)
        expected = expected + 0.5 * alone("triplet", query, given, margin=1.5)
    torch.testing.assert_close(found, expected / QUERIES)


def test_a_batch_without_a_query_of_a_source_leaves_its_loss_out_but_everything_in_the_graph() -> (
    None
):
    given = batch()
    learned = loss("infonce", learnableTemperature=True, symmetric=True)
    objective = Objective([Term(learned, sources=(7,))])
    found = objective(**given)
    assert found.item() == 0
    found.backward()
    for tensor in (given["queries_QD"], given["passages_BD"], *objective.parameters()):
        assert tensor.grad is not None
        assert tensor.grad.abs().sum() == 0


def test_cosent_compares_the_pairs_of_its_own_sources_only() -> None:
    given = batch()
    found = Objective([Term(loss("cosent"), sources=(0,))])(**given)
    kept = SOURCES == 0
    columns = kept.repeat_interleave(PER_QUERY)
    part = {
        **{name: value[kept] for name, value in given.items() if name != "passages_BD"},
        "passages_BD": given["passages_BD"][columns],
        "positive_columns": torch.arange(int(kept.sum())) * PER_QUERY,
        "mask": given["mask"][kept][:, columns],
    }
    whole = Objective([Term(loss("cosent"))])(**part)
    torch.testing.assert_close(found, whole * kept.sum() / QUERIES)


@pytest.mark.parametrize("is_unit", [True, False])
@pytest.mark.parametrize("name", ["infonce", "kl", "cosent", "margin_mse"])
def test_matryoshka_is_the_weighted_sum_over_vectors_cut_short(name: str, is_unit: bool) -> None:
    given = batch()
    term = Term(loss(name), weight=3.0, dimensions=[(6, 1.0), (2, 0.25)])
    found = Objective([term], is_unit)(**given)
    expected = torch.zeros(())
    for size, weight in [(6, 1.0), (2, 0.25)]:
        cut = dict(given)
        for side in ("queries_QD", "passages_BD"):
            cut[side] = given[side][:, :size]
            if is_unit:
                cut[side] = nn.functional.normalize(cut[side], dim=-1)
        expected = expected + weight * Objective([Term(loss(name))])(**cut)
    torch.testing.assert_close(found, 3.0 * expected)


def test_a_restricted_loss_gets_the_extras_of_its_own_queries() -> None:
    seen: list[Any] = []

    def listening(inputs: LossInputs) -> Tensor:
        seen.append((inputs.extras.queries, inputs.extras.passages, inputs.sources.tolist()))  # type: ignore[union-attr]
        return inputs.own_scores().mean()

    extras = BatchExtras(
        [{"q": str(n)} for n in range(QUERIES)], [{"p": str(n)} for n in range(QUERIES * PER_QUERY)]
    )
    Objective([Term(listening, sources=(1,))])(**batch(), extras=extras)
    queries, passages, sources = seen[0]
    assert [each["q"] for each in queries] == ["1", "4"]
    assert [each["p"] for each in passages] == ["3", "4", "5", "12", "13", "14"]
    assert sources == [1, 1]


def test_a_loss_that_gathers_nothing_says_whether_other_queries_count() -> None:
    def compares(*losses: Any) -> bool:
        return Objective([Term(each) for each in losses]).compares_queries

    assert not compares(loss("kl"), loss("infonce", inBatchNegatives=False))
    assert compares(loss("kl"), loss("infonce", gatherAcrossDevices=False))
    assert compares(loss("cosent", gatherAcrossDevices=False))


def test_a_loss_that_gathers_nothing_counts_each_passage_of_its_rank_once() -> None:
    given = batch()
    own = loss("infonce", gatherAcrossDevices=False, symmetric=True)
    columns = QUERIES * PER_QUERY
    # This is the second of two ranks; what stands in column 15 + 1 counts in one of the first rank's,
    # what stands in 15 + 3 in another one of its own as well. The first query has both itself.
    bits = torch.zeros(QUERIES, 2 * columns, dtype=torch.uint8)
    bits[:, columns + 1] = 2
    bits[:, columns + 3] = 2 | 4
    bits[0, columns + 3] |= 8
    sent = {**given, "positive_columns": given["positive_columns"] + columns, "mask": bits}
    mask = torch.zeros(QUERIES, columns, dtype=torch.bool)
    mask[:, 3] = True
    found = Objective([Term(own)])(**sent)
    torch.testing.assert_close(found, Objective([Term(own)])(**{**given, "mask": mask}))


@pytest.mark.parametrize(
    ("name", "options"),
    # Sharper, a second copy at a low score would add less than a float32 holds.
    [("infonce", {"minPositiveLabel": 2}), ("ws_contrastive", {"temperature": 1.0})],
)
def test_a_loss_that_goes_by_labels_has_a_querys_passages_in_its_own_group_alone(
    name: str, options: dict[str, Any]
) -> None:
    given = {**batch(), "labels": torch.tensor([[3.0, 2.0, 1.0]]).repeat(QUERIES, 1)}
    given["counts"] = torch.full((QUERIES,), PER_QUERY)
    # The first query's second and third passages are the first ones of the next two queries.
    for field in (1, 2):
        given["passages_BD"] = given["passages_BD"].detach().clone()
        given["passages_BD"][field] = given["passages_BD"][field * PER_QUERY]
    bits = torch.zeros(QUERIES, QUERIES * PER_QUERY, dtype=torch.uint8)
    bits[:, 1:3] = 2 | 4
    bits[0, [PER_QUERY, 2 * PER_QUERY]] = 8
    found = Objective([Term(loss(name, **options), sources=(0,))])(
        **{**given, "mask": bits, "sources": torch.tensor([0, 1, 1, 1, 1])}
    )
    mask = torch.zeros(QUERIES, QUERIES * PER_QUERY, dtype=torch.bool)
    mask[0, [PER_QUERY, 2 * PER_QUERY]] = True
    expected = alone(name, 0, {**given, "mask": mask}, **options)
    torch.testing.assert_close(found, expected / QUERIES)


def test_in_the_other_direction_each_positive_is_set_against_the_queries_it_is_no_positive_for() -> (
    None
):
    # Passages by number: the first two queries share 1, which the third has in its group as a negative;
    # 4 is known to be relevant to the first query, and stands in the second one's group alone.
    groups = [[1, 2, 3], [1, 4, 5], [6, 1, 7]]
    known = [{1, 2, 4}, {1}, {6}]
    labels = torch.tensor([[2.0, 3.0, 0.0], [2.0, 2.0, 2.0], [2.0, 1.0, 0.0]])
    draw = torch.Generator().manual_seed(8)
    queries_QD, vectors = torch.randn(3, 4, generator=draw), torch.randn(8, 4, generator=draw)
    columns = [passage for group in groups for passage in group]
    bits = torch.zeros(3, 9, dtype=torch.uint8)
    for query, group in enumerate(groups):
        for column, passage in enumerate(columns):
            is_own = column // 3 == query
            bits[query, column] |= 1 if passage in known[query] and column != 3 * query else 0
            bits[query, column] |= 2 | 4 if passage in columns[:column] else 0
            bits[query, column] |= 8 if passage in group and not is_own else 0
    given = {
        "queries_QD": queries_QD.clone().requires_grad_(),
        "passages_BD": vectors[columns],
        "positive_columns": torch.arange(3) * 3,
        "mask": bits,
        "labels": labels,
        "counts": torch.full((3,), 3),
    }

    def found(**options: Any) -> float:
        return Objective([Term(loss("infonce", temperature=1.0, minPositiveLabel=2, **options))])(
            **given
        ).item()

    losses = []
    for query, group in enumerate(groups):
        picked = []
        for passage, label in zip(group, labels[query], strict=True):
            rivals = [g for g in range(3) if passage not in known[g] and passage not in groups[g]]
            if label >= 2:
                scores = queries_QD[[query, *rivals]] @ vectors[passage]
                picked.append(-scores.log_softmax(0)[0].item())
        losses.append(sum(picked) / len(picked))
    backward = 2 * found(symmetric=True) - found()
    assert backward == pytest.approx(sum(losses) / 3, abs=1e-5)


def test_losses_of_both_directions_for_each_source_add_up_to_one_for_all() -> None:
    given: dict[str, Any] = {
        **batch(),
        "mask": torch.zeros(QUERIES, QUERIES * PER_QUERY, dtype=torch.uint8),
        "counts": torch.full((QUERIES,), PER_QUERY),
    }

    def found(*restrictions: tuple[int, ...] | None) -> Tensor:
        terms = [
            Term(loss("infonce", symmetric=True, minPositiveLabel=2), sources=sources)
            for sources in restrictions
        ]
        return Objective(terms)(**given)

    torch.testing.assert_close(found((0,), (1,), (2,)), found(None))


def spec(**changes: Any) -> LossSpec:
    fields: dict[str, Any] = {"name": "infonce", "weight": 1, "sources": [], "matryoshka": None}
    return LossSpec(**{**fields, "options": {}, **changes})


def task(*specs: LossSpec, **changes: Any) -> Any:
    fields: dict[str, Any] = {
        "losses": list(specs),
        "sources": ["a", "b", "a"],
        "retriever": None,
        "mini_batch_size": None,
        "length_groups": None,
        "is_dropout_on": False,
    }
    return SimpleNamespace(**{**fields, **changes})


def contract(normalize: bool = False, similarity: str = "dot") -> Any:
    return SimpleNamespace(dimension=8, normalize=normalize, similarity=similarity)


def test_names_of_sources_become_the_numbers_of_all_parts_of_that_name() -> None:
    objective = build_objective(task(spec(sources=["a"]), spec(weight=0.5)), contract())
    assert [(term.sources, term.weight) for term in objective.terms] == [((0, 2), 1), (None, 0.5)]
    assert not objective.is_unit
    assert build_objective(task(spec()), contract(similarity="cosine")).is_unit
    assert build_objective(task(spec()), contract(normalize=True)).is_unit


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (spec(sources=["c"]), "infonce is for the source 'c'"),
        (spec(matryoshka=MatryoshkaSpec(dimensions=[8, 9], weights=[])), "the model has 8"),
        (spec(matryoshka=MatryoshkaSpec(dimensions=[0], weights=[])), "the model has 8"),
        (spec(name="infnce"), "No loss is called 'infnce'"),
    ],
)
def test_what_the_task_cannot_mean_is_refused(given: LossSpec, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build_objective(task(given), contract())


@pytest.fixture
def whole() -> Iterator[Callable[..., Any]]:
    """A retriever of a plugin's that is a module of its own, with some losses."""
    from quarry_runtime.modeling import registry

    class Whole(nn.Module):
        def __init__(self, encoder: nn.Module, inner: Any, _options: Any) -> None:
            super().__init__()
            self.encoder, self.inner = encoder, inner

        def forward(self, *_: Any) -> Tensor:
            return torch.zeros(())

    before = registry.registered("retriever")
    registry.register_retriever("whole_of_the_test")(Whole)
    encoder = nn.Linear(2, 2)
    encoder.save, encoder.contract = None, contract()  # type: ignore[assignment]

    def make(*specs: LossSpec, **changes: Any) -> Any:
        named = RetrieverSpec(name="whole_of_the_test", options={})
        given = task(*specs, retriever=named, **changes)
        return build_retriever(given, encoder, build_objective(given, contract()))  # type: ignore[arg-type]

    yield make
    registry._REGISTRY["retriever"] = before


def test_a_whole_retriever_gets_the_one_loss_as_it_is(whole: Callable[..., Any]) -> None:
    assert whole(spec(name="kl")).module.inner.needs_all_passages is False


@pytest.mark.parametrize(
    ("specs", "changes", "words"),
    [
        ([spec(), spec()], {}, "takes one loss"),
        ([spec(weight=2)], {}, "takes one loss"),
        ([spec()], {"mini_batch_size": 4}, "miniBatchSize"),
        ([spec()], {"length_groups": 2}, "lengthGroups"),
    ],
)
def test_what_only_quarrys_own_forward_can_do_is_refused_for_a_whole_retriever(
    whole: Callable[..., Any], specs: list[LossSpec], changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        whole(*specs, **changes)
