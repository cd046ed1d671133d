"""One peer of the data benchmark: opens a collection, gives its first sample, then random groups.

Usage: python peer_data.py <trove|tevatron|dictionaries> <collection> <cache> <seconds>
Prints a JSON line after the imports, one after the first sample and one at the end. A group is a
query, its positive and seven negatives, as texts. Caches go to the folder given.
"""

import json
import os
import random
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

NEGATIVES = 7
Group = dict[str, Any]


def anonymous_bytes() -> int:
    """Private memory of this process that no file stands behind."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss_Anon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this kernel does not tell Pss_Anon")


def bytes_read() -> int:
    """Bytes that came from the disk for this process."""
    for line in Path("/proc/self/io").read_text().splitlines():
        if line.startswith("read_bytes:"):
            return int(line.split()[1])
    raise RuntimeError("this kernel does not tell read_bytes")


def tell(event: str, **values: Any) -> None:
    print(json.dumps({"event": event, "anonymousBytes": anonymous_bytes(), **values}), flush=True)


def open_trove(folder: Path) -> tuple[int, Callable[[int], Group]]:
    import trove  # pyright: ignore[reportMissingImports]

    def source(qrels: str) -> Any:
        return trove.MaterializedQRelConfig(
            qrel_path=str(folder / qrels),
            corpus_path=str(folder / "corpus.jsonl"),
            query_path=str(folder / "queries.jsonl"),
        )

    data = trove.BinaryDataset(
        data_args=trove.DataArguments(group_size=1 + NEGATIVES),
        format_query=lambda text, **_: text,
        format_passage=lambda text, title, **_: join(title, text),
        positive_configs=source("qrels/train.tsv"),
        negative_configs=source("negatives.tsv"),
        outside_trainer=True,
    )
    return len(data), data.__getitem__


def choose(index: int, query: str, positives: list[Any], negatives: list[Any]) -> Group:
    """Tevatron's rule for one sample; the rule of the dictionaries too."""
    if len(negatives) < NEGATIVES:
        chosen = random.choices(negatives, k=NEGATIVES)
    else:
        chosen = list(negatives)
        random.Random(index).shuffle(chosen)
        chosen = chosen[:NEGATIVES]
    return {"query": query, "passages": [positives[index % len(positives)], *chosen]}


def join(title: str, text: str) -> str:
    return f"{title} {text}" if title else text


def open_tevatron(folder: Path) -> tuple[int, Callable[[int], Group]]:
    import datasets  # pyright: ignore[reportMissingImports]

    data = datasets.load_dataset("json", data_files=str(folder / "tevatron.jsonl"), split="train")

    def group(index: int) -> Group:
        row = data[index]
        chosen = choose(index, row["query"], row["positive_passages"], row["negative_passages"])
        chosen["passages"] = [join(one["title"], one["text"]) for one in chosen["passages"]]
        return chosen

    return len(data), group


def open_dictionaries(folder: Path) -> tuple[int, Callable[[int], Group]]:
    def texts(name: str) -> dict[str, str]:
        found = {}
        with (folder / name).open(encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                found[record["_id"]] = join(record.get("title", ""), record["text"])
        return found

    def judgements(name: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        with (folder / name).open(encoding="utf-8") as lines:
            next(lines)
            for line in lines:
                query, passage, _ = line.split("\t")
                found.setdefault(query, []).append(passage)
        return found

    corpus, queries = texts("corpus.jsonl"), texts("queries.jsonl")
    positives, negatives = judgements("qrels/train.tsv"), judgements("negatives.tsv")
    ids = sorted(positives.keys() & negatives.keys())

    def group(index: int) -> Group:
        query = ids[index]
        chosen = choose(index, queries[query], positives[query], negatives[query])
        chosen["passages"] = [corpus[passage] for passage in chosen["passages"]]
        return chosen

    return len(ids), group


def import_peer(name: str) -> dict[str, str]:
    """Imports what the peer needs; gives the versions."""
    if name == "trove":
        import trove  # noqa: F401  # pyright: ignore[reportMissingImports]

        return {each: version(each) for each in ("ir-trove", "datasets", "transformers", "torch")}
    if name == "tevatron":
        import datasets  # noqa: F401  # pyright: ignore[reportMissingImports]

        return {"datasets": version("datasets")}
    return {}


def main() -> None:
    name, folder, cache, seconds = sys.argv[1], Path(sys.argv[2]), sys.argv[3], float(sys.argv[4])
    os.environ.update(
        HF_HOME=cache, TROVE_CACHE_DIR=f"{cache}/trove", HF_HUB_OFFLINE="1", TROVE_LOG_LEVEL="ERROR"
    )
    began = time.perf_counter()
    versions = import_peer(name)
    tell("imported", seconds=time.perf_counter() - began, versions=versions)

    began = time.perf_counter()
    openers = {
        "trove": open_trove,
        "tevatron": open_tevatron,
        "dictionaries": open_dictionaries,
    }
    size, group = openers[name](folder)
    group(0)
    tell("first", seconds=time.perf_counter() - began, groups=size)

    order = random.Random(0)
    read_before, rates, groups = bytes_read(), [], 0
    # Twice: in the first round most pages are touched for the first time.
    for _ in range(2):
        began, count, passages = time.perf_counter(), 0, 0
        while (took := time.perf_counter() - began) < seconds:
            sample = group(order.randrange(size))
            passages += len(sample.get("passages") or sample["passage"])
            count += 1
        if passages != count * (1 + NEGATIVES):
            raise RuntimeError(f"{passages} passages in {count} groups")
        rates.append(count / took if count > 0 else 0)
        groups += count
    tell("done", rates=rates, groups=groups, readBytes=bytes_read() - read_before)


main()
