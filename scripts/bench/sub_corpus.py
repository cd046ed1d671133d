"""How far estimates from a part of a corpus are off: many samples of one size, each compared with the full search.

    PYTHONPATH=py_runtime .python/bin/python scripts/bench/sub_corpus.py <BEIR folder> --passages 1000 --trials 40

Scores are those of TF-IDF (scikit-learn), or of vectors as `quarry encode` writes them: --queries q.npy q.json
--corpus c.npy c.json, rows in the order of the ids beside them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from quarry_runtime.measuring.scores import measure
from quarry_runtime.measuring.subcorpus import Part, estimate

NAMES = ["nDCG@10", "RR@10", "R@100", "AP@100", "P@5", "Success@1"]
DEPTH = 100


def tf_idf(folder: Path, queries: list[str]) -> tuple[list[str], Any]:
    """Ids of the corpus, and the scores of the queries, [Q, N]."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    corpus = [json.loads(line) for line in (folder / "corpus.jsonl").open()]
    texts = {
        each["_id"]: each["text"] for each in map(json.loads, (folder / "queries.jsonl").open())
    }
    vectorizer = TfidfVectorizer(sublinear_tf=True)
    passages = vectorizer.fit_transform(
        [f"{each.get('title', '')} {each['text']}" for each in corpus]
    )
    scores = vectorizer.transform([texts[query] for query in queries]) @ passages.T
    return [each["_id"] for each in corpus], np.asarray(scores.todense(), dtype=np.float32)


def by_vectors(args: argparse.Namespace, queries: list[str]) -> tuple[list[str], Any]:
    """The same from stored vectors."""
    row = {query: at for at, query in enumerate(json.loads(Path(args.queries[1]).read_text()))}
    vectors = np.load(args.queries[0])[[row[query] for query in queries]]
    return json.loads(Path(args.corpus[1]).read_text()), vectors @ np.load(args.corpus[0]).T


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--qrels", default="qrels/test.tsv")
    parser.add_argument("--passages", type=int, default=1000)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--queries", nargs=2)
    parser.add_argument("--corpus", nargs=2)
    args = parser.parse_args()
    rows = [line.split("\t") for line in (args.folder / args.qrels).read_text().splitlines()[1:]]
    queries = list(dict.fromkeys(query for query, _, _ in rows))
    ids, scores = by_vectors(args, queries) if args.queries else tf_idf(args.folder, queries)
    judged = {passage for _, passage, _ in rows}
    fixed = [at for at, passage in enumerate(ids) if passage in judged]
    others = [at for at, passage in enumerate(ids) if passage not in judged]
    sampled = args.passages - len(fixed)
    with tempfile.TemporaryDirectory() as temporary:
        run, qrels = Path(temporary, "run"), Path(temporary, "qrels")
        qrels.write_text(
            "".join(f"{query} 0 {passage} {score}\n" for query, passage, score in rows)
        )

        def search(part: list[int]) -> None:
            own = scores[:, part]
            with run.open("w") as file:
                for query, best in zip(
                    queries, np.argsort(-own, axis=1, kind="stable")[:, :DEPTH], strict=True
                ):
                    for at in best:
                        score = own[queries.index(query), at]
                        file.write(f"{query} Q0 {ids[part[at]]} 0 {score:.7f} t\n")

        search(list(range(len(ids))))
        truth = measure(run, qrels, NAMES)["mean"]
        found = []
        for seed in range(args.trials):
            sample = np.random.default_rng(seed).choice(others, sampled, replace=False)
            search(sorted([*fixed, *sample.tolist()]))
            part = Part(len(others), sampled, DEPTH)
            found.append(estimate(run, qrels, NAMES, part, seed=seed)["measures"])
    print(
        f"{args.passages} of {len(ids)} passages, {len(fixed)} of them judged; {args.trials} samples"
    )
    for name in NAMES:
        figures = {
            key: np.array([each[name][key] for each in found])
            for key in ("measured", "estimate", "low", "high")
        }
        held = (figures["low"] <= truth[name]) & (truth[name] <= figures["high"])
        print(
            f"{name:10} full {truth[name]:.4f}  part {figures['measured'].mean():.4f}"
            f"  estimate {figures['estimate'].mean():.4f} ± {figures['estimate'].std():.4f}"
            f"  width {(figures['high'] - figures['low']).mean():.4f}  held {held.sum()} of {len(held)}"
        )


if __name__ == "__main__":
    main()
