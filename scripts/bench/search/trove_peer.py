"""Trove's evaluator as a peer of the encoding part; runs in the peers' environment.

Usage: python trove_peer.py <threads> <model folder> <folder of its own>
Reads a JSON request a line, {"texts": "<JSON list of {_id, title, text}>", "batch": 16}, and answers with the seconds
of RetrievalEvaluator.encode: texts of an opened data set to vectors in its cache file. Opening the file, which it does
through `datasets`, is not counted.
"""

import json
import os
import sys
import time
from itertools import count
from pathlib import Path

THREADS, MODEL, FOLDER = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
MAX_LENGTH = 256
os.environ.update(
    HF_HOME=str(FOLDER),
    TROVE_CACHE_DIR=str(FOLDER / "trove"),
    HF_HUB_OFFLINE="1",
    TROVE_LOG_LEVEL="ERROR",
)

import torch  # noqa: E402
import trove  # noqa: E402  # pyright: ignore[reportMissingImports]
from transformers import AutoTokenizer  # noqa: E402


def evaluator_with(retriever, collator, batch: int):
    arguments = trove.EvaluationArguments(
        output_dir=str(FOLDER / "out"),
        per_device_eval_batch_size=batch,
        use_cpu=True,
        report_to="none",
        pbar_mode="none",
        dataloader_pin_memory=False,
    )
    return trove.RetrievalEvaluator(args=arguments, model=retriever, data_collator=collator)


def main() -> None:
    torch.set_num_threads(THREADS)
    model_args = trove.ModelArguments(
        model_name_or_path=MODEL,
        encoder_class="default",
        pooling="mean",
        normalize="yes",
        torch_dtype="float32",
    )
    retriever = trove.BiEncoderRetriever.from_model_args(args=model_args)
    data_args = trove.DataArguments(query_max_len=MAX_LENGTH, passage_max_len=MAX_LENGTH)
    collator = trove.RetrievalCollator(
        data_args=data_args, tokenizer=AutoTokenizer.from_pretrained(MODEL), append_eos=False
    )
    evaluators = {}
    for number in count():
        line = sys.stdin.readline()
        if not line:
            return
        request = json.loads(line)
        batch = request["batch"]
        if batch not in evaluators:
            evaluators[batch] = evaluator_with(retriever, collator, batch)
        rows = json.loads(Path(request["texts"]).read_text())
        corpus = FOLDER / f"corpus-{number}.jsonl"
        corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
        data = trove.EncodingDataset(
            corpus_path=str(corpus),
            format_passage=retriever.format_passage,
            cache_path=str(FOLDER / f"vectors-{number}.arrow"),
            load_cache_on_init=False,
        )
        begin = time.perf_counter()
        evaluators[batch].encode(encoding_dataset=data)
        print(json.dumps({"seconds": time.perf_counter() - begin}), flush=True)


main()
