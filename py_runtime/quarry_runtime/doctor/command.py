"""`python -m quarry_runtime doctor --folder F`: reads F/task.json, appends what it finds to F/answers.jsonl."""

from __future__ import annotations

import argparse
import contextlib
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quarry_runtime.doctor.findings import Answers, Finding
from quarry_runtime.errors import QuarryError, in_a_line, is_out_of_memory, raised_at

if TYPE_CHECKING:
    from quarry_runtime.doctor.work import Work


def main(argv: list[str]) -> int:
    """`doctor --folder F`."""
    parser = argparse.ArgumentParser(prog="quarry_runtime doctor", description=main.__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    folder: Path = parser.parse_args(argv).folder
    answers = Answers(folder / "answers.jsonl")
    from quarry_runtime.doctor.work import read_work

    work = read_work(folder)
    # What libraries print is no part of the answers, and none of a user's business when all is well.
    with contextlib.redirect_stdout(sys.stderr):
        for section, look in (
            ("tokens", _tokens), ("encode", _encode), ("loss", _loss), ("probe", _probe),
            ("pairs", _pairs), ("score", _score),
        ):  # fmt: skip
            if section not in work.sections:
                continue
            answers.begin(section)
            try:
                for finding in look(work, folder):
                    answers.add(finding)
            except Exception as error:
                traceback.print_exc()
                answers.add(_failed(section, error))
    return 0


def _failed(section: str, error: Exception) -> Finding:
    """What training, or a worker, would end with."""
    if isinstance(error, QuarryError):
        return Finding(check=section, status="refuse", seen=error.message, todo=error.hint)
    return Finding(
        check=section,
        status="refuse",
        seen=f"{in_a_line(error)}{raised_at(error)}",
        todo="Mend the code or the options behind it; --debug shows the whole trace.",
    )


def _tokens(work: Work, folder: Path) -> Iterator[Finding]:
    from quarry_runtime.doctor.look_at_tokens import Sampled, look_at_tokens
    from quarry_runtime.modeling.contract import resolve
    from quarry_runtime.modeling.cross_kind import is_scoring_pairs
    from quarry_runtime.modeling.load import load_to_encode

    encoder = load_to_encode(work.model, work.device, "float32")
    resolved = resolve(work.model)
    weights = resolved.weights
    is_classifier = resolved.layout == "transformers" and is_scoring_pairs(resolved.architecture)
    yield Finding(
        check="model",
        status="note" if is_classifier else "ok",
        seen=f"{resolved.architecture}, {weights.parameter_count:,} parameters,"
        f" {resolved.dimension} dimensions, {resolved.pooling} pooling, {resolved.similarity}"
        f"{': its classifier is left out' if is_classifier else ''}",
        todo="It was taught to score pairs: as crossEncoder(…) it ranks. Its vectors are of use only after training."
        if is_classifier
        else None,
        facts={
            "parameters": weights.parameter_count,
            "weightBytes": weights.bytes,
            "dimension": resolved.dimension,
        },
    )
    samples = [
        Sampled(sample.name, sample.side, sample.read(folder), sample.is_whole)
        for sample in work.samples
    ]
    yield from look_at_tokens(encoder, resolved, samples, work.device)


def _encode(work: Work, folder: Path) -> Iterator[Finding]:
    from quarry_runtime.doctor.rate import rate_of
    from quarry_runtime.modeling.inference import speed_up
    from quarry_runtime.modeling.load import load_to_encode
    from quarry_runtime.modeling.tokens import collate, tokenize

    encoder = load_to_encode(work.model, work.device)
    speed_up(encoder)

    def forward(ids: list[list[int]]) -> None:
        batch = _moved(collate(encoder, ids, "passage"), work.device)
        # To the CPU, which waits for the device.
        encoder(batch, "passage").cpu()

    for sample in work.samples:
        if not sample.is_timed:
            continue
        texts = sample.read(folder)
        ids = tokenize(encoder, texts, "passage")["input_ids"]
        rate = rate_of(ids, forward, work.batch_size, work.encode_seconds)
        yield Finding(
            check=f"speed of {sample.name}",
            status="ok",
            seen=f"{rate:,.1f} texts/s on {work.device} in batches of {work.batch_size}",
            facts={"sample": sample.name, "textsPerSecond": rate},
        )


def _loss(work: Work, folder: Path) -> Iterator[Finding]:
    from quarry_runtime.doctor.first_loss import check_first_loss, run_first_step, same_texts
    from quarry_runtime.doctor.recorded import read_message
    from quarry_runtime.doctor.temperature import check_temperature
    from quarry_runtime.modeling.text import read_arrow

    assert work.train is not None
    retriever, encoder = _built(work)
    retriever.to(work.device)
    contract, loss = encoder.contract, retriever.loss
    pairs = [0, 0]
    for name in work.loss_batches:
        _, frames = read_message(folder / name)
        queries, passages = read_arrow(frames[0]).texts, read_arrow(frames[1]).texts
        size = len(passages) // max(1, len(queries))
        same, count = same_texts(queries, passages[::size])
        pairs = [pairs[0] + same, pairs[1] + count]
    try:
        step = run_first_step(retriever, list(_batches(work, folder, encoder)))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        yield Finding(
            check="loss of the first step",
            status="note",
            seen="memory ended in a forward pass over all ranks' queries",
            todo="Nothing, if the probe fits: each rank encodes its own queries only.",
        )
        return
    yield check_first_loss(step, loss, (pairs[0], pairs[1]))
    if not step.inputs:
        # A whole retriever of a plugin, or a loss that is a plain function.
        return
    fits = check_temperature(
        loss, contract.similarity, contract.normalize, step.inputs[0], step.columns
    )
    if fits is not None:
        yield fits


def _batches(work: Work, folder: Path, encoder: Any) -> Iterator[dict[str, Any]]:
    """What Retriever.forward takes, from the files, through the very feed of a training."""
    import msgspec

    from quarry_runtime.doctor.recorded import Recorded
    from quarry_runtime.training.feed import Feed

    assert work.train is not None
    count = len(work.loss_batches)
    task = msgspec.structs.replace(work.train, max_steps=count, accumulation_steps=1)
    feed = Feed(Recorded([folder / name for name in work.loss_batches]), encoder, task, 0, False)
    feed.start()
    for batch in feed:
        del batch["rows"]
        yield {name: _moved(value, work.device) for name, value in batch.items()}


def _moved(value: Any, device: str) -> Any:
    if isinstance(value, dict):
        return {key: _moved(each, device) for key, each in value.items()}
    return value.to(device) if hasattr(value, "to") else value


def _probe(work: Work, folder: Path) -> Iterator[Finding]:
    from quarry_runtime.doctor.probe import run_probe

    assert work.train is not None
    retriever, encoder = _built(work)
    files = [folder / name for name in work.probe_batches]
    yield run_probe(retriever, encoder, work.train, files, work.probe_seconds)


def _pairs(work: Work, folder: Path) -> Iterator[Finding]:
    from quarry_runtime.doctor.look_at_pairs import look_at_pairs

    assert work.cross is not None
    yield from look_at_pairs(work.cross, folder, work.device)


def _score(work: Work, folder: Path) -> Iterator[Finding]:
    from quarry_runtime.doctor.look_at_pairs import probe_pairs

    assert work.cross is not None
    yield from probe_pairs(work.cross, folder, work.device)


def _built(work: Work) -> tuple[Any, Any]:
    """Retriever and encoder as a rank builds them."""
    import torch

    from quarry_runtime.modeling.load import load_encoder
    from quarry_runtime.modeling.registry import load_plugins
    from quarry_runtime.training.build import build_objective, build_retriever

    assert work.train is not None
    torch.manual_seed(work.train.seed)
    load_plugins(work.train.model.plugins)
    encoder = load_encoder(work.train.model, "cpu", for_training=True)
    objective = build_objective(work.train, encoder.contract)
    return build_retriever(work.train, encoder, objective), encoder
