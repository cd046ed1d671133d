"""All checks of a cross-encoder, on samples of the pairs that the experiment will score."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import torch

from quarry_runtime.counted import counted
from quarry_runtime.doctor.findings import Finding
from quarry_runtime.doctor.pair_scores import check_alone, check_order, check_scores
from quarry_runtime.doctor.pair_tokens import PairTokens, check_pair_lengths, check_pair_tokens
from quarry_runtime.doctor.rate import rate_of
from quarry_runtime.doctor.special_tokens import Names, special_ids
from quarry_runtime.doctor.work import CrossWork
from quarry_runtime.errors import is_out_of_memory
from quarry_runtime.guard.device import pick_dtype
from quarry_runtime.guard.memory import peak_bytes
from quarry_runtime.modeling.contract import position_limit
from quarry_runtime.modeling.cross_contract import ResolvedCross, resolve_cross
from quarry_runtime.modeling.cross_encoder import CrossEncoder, PairIds, load_cross_encoder
from quarry_runtime.modeling.inference import speed_up
from quarry_runtime.modeling.text import Pairs
from quarry_runtime.modeling.tokens import plan_batches

#: Real forward passes: a handful is enough to see padding reach a score.
_FORWARD_PAIRS = 8
#: Queries of which two passages are scored.
_SCORED_QUERIES = 24
_NO_LIMIT = 1_000_000


@dataclasses.dataclass(frozen=True)
class SampledPairs:
    """Pairs of a data set; see PairSample for their order."""

    name: str
    pairs: Pairs
    judged: int


def look_at_pairs(work: CrossWork, folder: Path, device: str) -> Iterator[Finding]:
    """Findings about model, tokens and scores, computed in float32.

    Raises:
        ConfigError, EnvironmentFault, IntegrityError: see load_cross_encoder.
    """
    spec = msgspec.structs.replace(work.spec, dtype="float32")
    resolved = resolve_cross(spec)
    yield _model(work.path, resolved)
    samples = _read(work, folder)
    model = load_cross_encoder(spec, device)
    # Tokens beyond the limit, logits before the activation.
    bare = msgspec.structs.replace(model.contract, max_length=_NO_LIMIT, activation="identity")
    whole = CrossEncoder(model.classifier, model.tokenizer, resolved, bare, model.template)
    yield _special_tokens(work.path, whole, resolved, samples)
    overhead = len(whole.tokenize([""], [""])[0])
    for sample in samples:
        queries, passages = sample.pairs.queries, sample.pairs.passages
        both = [len(pair) - overhead for pair in whole.tokenize(queries, passages)]
        alone = [len(pair) - overhead for pair in whole.tokenize(queries, [""] * len(queries))]
        lengths = [(query, max(0, total - query)) for query, total in zip(alone, both, strict=True)]
        limits = (overhead, model.contract.max_length, position_limit(resolved.config))
        yield check_pair_lengths(sample.name, work.path, lengths, *limits)
    try:
        yield from _scores(work, model, whole, samples, device)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        yield Finding(
            check=f"scores of {work.path}",
            status="note",
            seen="memory ended in float32, so pairs alone and in batches were not compared",
            todo="Nothing, if the probe of its memory fits: that is in its own number format.",
        )


def probe_pairs(work: CrossWork, folder: Path, device: str) -> Iterator[Finding]:
    """Speed and memory as a worker scores: its number format, its batches, the longest pairs first.

    Raises:
        ConfigError, EnvironmentFault, IntegrityError: see load_cross_encoder.
    """
    check = f"memory of {work.path}"
    dtype = pick_dtype(work.spec.dtype, device)
    try:
        model = load_cross_encoder(work.spec, device)
        speed_up(model)
        forward = _forward(model, device)
        samples = [(sample.name, _tokens(model, sample.pairs)) for sample in _read(work, folder)]
        every = [pair for _, pairs in samples for pair in pairs]
        lengths_N = torch.tensor([len(pair) for pair in every]).numpy()
        longest = plan_batches(lengths_N, work.batch_size)[0]
        scores_B = forward([every[place] for place in longest])
        # Two of a few pairs may well have the same score in bfloat16.
        if not bool(torch.isfinite(scores_B).all()):
            yield check_scores(work.path, scores_B, dtype)
            return
        rates = [
            (name, rate_of(pairs, forward, work.batch_size, work.seconds / len(samples)))
            for name, pairs in samples
        ]
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        yield Finding(
            check=check,
            status="refuse",
            seen=f"memory ended with {counted(work.batch_size, 'pairs')} in a forward pass",
            facts={"isOutOfMemory": True},
        )
        return
    for name, rate in rates:
        yield Finding(
            check=f"speed of {name}",
            status="ok",
            seen=f"{rate:,.1f} pairs/s on {device} in batches of {work.batch_size}",
            facts={"set": name, "pairsPerSecond": rate},
        )
    facts = {"peakBytes": peak_bytes(), "batchSize": work.batch_size, "dtype": dtype}
    yield Finding(check=check, status="ok", seen="measured", facts=facts)


def _read(work: CrossWork, folder: Path) -> list[SampledPairs]:
    return [
        SampledPairs(sample.name, sample.read(folder), sample.judged) for sample in work.samples
    ]


def _model(path: str, resolved: ResolvedCross) -> Finding:
    if resolved.tokens is None:
        asked = f"label {resolved.label} of {resolved.label_count}"
    else:
        asked = " against ".join(repr(token) for token in resolved.tokens if token is not None)
    kind = {
        "classifier": "sequence classification",
        "causal": "a language model",
        "encoder-decoder": "an encoder-decoder",
    }[resolved.kind]
    parameters = resolved.weights.parameter_count
    return Finding(
        check=f"model of {path}",
        status="ok",
        seen=f"{resolved.architecture}, {kind}, {parameters:,} parameters; the score is"
        f" {resolved.activation} of {asked}, pairs have up to {resolved.max_length} tokens",
        facts={
            "parameters": parameters,
            "kind": resolved.kind,
            "maxLength": resolved.max_length,
            "activation": resolved.activation,
        },
    )


def _special_tokens(
    path: str, whole: CrossEncoder, resolved: ResolvedCross, samples: Sequence[SampledPairs]
) -> Finding:
    ids = [pair.ids for sample in samples for pair in _tokens(whole, sample.pairs)]
    tokens = PairTokens(
        example=whole.tokenize(["a"], ["b"])[0].ids,
        single=whole.tokenizer("a")["input_ids"],
        special=special_ids(whole.tokenizer),
        names=Names(whole.tokenizer),
        is_templated=whole.template is not None,
        is_own_template=resolved.template is not None,
    )
    return check_pair_tokens(path, ids, tokens)


def _scores(
    work: CrossWork,
    model: CrossEncoder,
    whole: CrossEncoder,
    samples: Sequence[SampledPairs],
    device: str,
) -> Iterator[Finding]:
    handful = _handful(model, samples)
    if len(handful) > 1:
        yield from check_alone(work.path, handful, _forward(whole, device))
    score = _forward(model, device)
    # Some of each data set.
    most = max(1, _SCORED_QUERIES // max(1, len(samples)))
    judged: list[PairIds] = []
    random: list[PairIds] = []
    for sample in samples:
        pairs = _tokens(model, sample.pairs)
        count = min(most, sample.judged)
        judged += pairs[:count]
        random += pairs[sample.judged : sample.judged + max(count, 0 if sample.judged else most)]
    relevant_Q, random_Q = _batched(score, judged, work), _batched(score, random, work)
    found = check_scores(work.path, torch.cat([relevant_Q, random_Q]), "float32")
    yield found
    if judged and len(judged) == len(random) and found.status == "ok":
        yield check_order(work.path, relevant_Q, random_Q)


def _batched(
    score: Callable[[list[PairIds]], torch.Tensor], pairs: list[PairIds], work: CrossWork
) -> torch.Tensor:
    size = work.batch_size
    parts = [score(pairs[start : start + size]) for start in range(0, len(pairs), size)]
    return torch.cat([torch.empty(0), *parts])


def _tokens(model: CrossEncoder, pairs: Pairs) -> list[PairIds]:
    return model.tokenize(pairs.queries, pairs.passages)


def _forward(model: CrossEncoder, device: str) -> Callable[[list[PairIds]], torch.Tensor]:
    def forward(pairs: list[PairIds]) -> torch.Tensor:
        with torch.inference_mode():
            batch = {name: tensor.to(device) for name, tensor in model.collate(pairs).items()}
            # To the CPU, which waits for the device.
            return model(batch).float().cpu()

    return forward


def _handful(model: CrossEncoder, samples: Sequence[SampledPairs]) -> list[PairIds]:
    """A few pairs of different lengths; where all are cut to the same one, of shortened passages."""
    if not samples:
        return []
    pairs = samples[0].pairs
    ids = sorted(_tokens(model, pairs), key=len)
    count = min(_FORWARD_PAIRS, len(ids))
    rows = [ids[place * (len(ids) - 1) // max(1, count - 1)] for place in range(count)]
    if len({len(row) for row in rows}) > 1:
        return rows
    texts = [
        " ".join(passage.split()[: number * number])
        for number, passage in enumerate(pairs.passages[:count], start=1)
    ]
    return model.tokenize(pairs.queries[:count], texts)
