"""Training as others do it, on the very batches of a Quarry run: one rival a process.

Usage: python rivals.py <loop | tokenised-loop | trainer | sentence-transformers | trove> spec.json
Each reads the same groups (a query, its positive, its negatives) from memory in the same order,
compares each query with all passages of its batch at the same temperature, and lets the gate in its
loss time it. `trove` runs in the peers' environment, the others in Quarry's.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

RIVAL, SPEC = sys.argv[1], json.loads(Path(sys.argv[2]).read_text())
os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", TROVE_LOG_LEVEL="ERROR")
if SPEC["device"] == "cpu":
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

from gate import Gate  # noqa: E402


def read_groups() -> list[dict[str, Any]]:
    with Path(SPEC["groups"]).open() as lines:
        return [json.loads(line) for line in lines]


def arguments(kind: Any, **more: Any) -> Any:
    """TrainingArguments of a kind; equal for all but what a rival needs of its own."""
    return kind(
        output_dir=str(Path(SPEC["folder"]) / "out"),
        max_steps=SPEC["steps"],
        per_device_train_batch_size=SPEC["queries"],
        learning_rate=SPEC["learningRate"],
        lr_scheduler_type="linear",
        optim="adamw_torch_fused",
        bf16=SPEC["bf16"],
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_num_workers=SPEC["loaders"],
        dataloader_persistent_workers=SPEC["loaders"] > 0,
        use_cpu=SPEC["device"] == "cpu",
        **more,
    )


class Tokens:
    """Tokenises a batch of groups as the bare loop and the plain Trainer do."""

    def __init__(self) -> None:
        from transformers import AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(SPEC["model"])

    def __call__(self, groups: list[dict[str, Any]]) -> dict[str, Any]:
        def encode(texts: list[str], length: int) -> Any:
            return self._tokenizer(
                texts, truncation=True, max_length=length, padding=True, return_tensors="pt"
            )

        return {
            "queries": encode([group["query"] for group in groups], SPEC["queryLength"]),
            "passages": encode(
                [text for group in groups for text in group["passages"]], SPEC["passageLength"]
            ),
        }


def contrast(model: Any, batch: dict[str, Any]) -> Any:
    """The loss that all rivals have: mean pooling, cosine, softmax over the batch's passages."""
    import torch
    from torch.nn.functional import cross_entropy, normalize

    def vectors(tokens: Any) -> Any:
        hidden_BTH = model(**tokens).last_hidden_state
        mask_BT1 = tokens["attention_mask"].unsqueeze(-1).float()
        return normalize((hidden_BTH * mask_BT1).sum(1) / mask_BT1.sum(1), dim=-1)

    queries_QD, passages_PD = vectors(batch["queries"]), vectors(batch["passages"])
    scores_QP = queries_QD @ passages_PD.T / SPEC["temperature"]
    step = len(passages_PD) // len(queries_QD)
    return cross_entropy(scores_QP, torch.arange(len(queries_QD), device=scores_QP.device) * step)


def loop(gate: Gate, is_tokenised_before: bool = False) -> None:
    import torch
    from transformers import AutoModel, get_linear_schedule_with_warmup

    tokenize, groups = Tokens(), read_groups()
    model = AutoModel.from_pretrained(SPEC["model"]).to(SPEC["device"]).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=SPEC["learningRate"], weight_decay=0.0, fused=True
    )
    schedule = get_linear_schedule_with_warmup(optimizer, 0, SPEC["steps"])
    size = SPEC["queries"]

    def batch_of(step: int) -> dict[str, Any]:
        return tokenize(groups[step * size : (step + 1) * size])

    batches = map(batch_of, range(SPEC["steps"]))
    for tokens in list(batches) if is_tokenised_before else batches:
        batch = {side: each.to(SPEC["device"]) for side, each in tokens.items()}
        with torch.autocast(SPEC["device"], torch.bfloat16, enabled=SPEC["bf16"]):
            loss = contrast(model, batch)
        gate.tick(loss.item())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()


def tokenised_loop(gate: Gate) -> None:
    """Nothing but computing: what no way of the data can be faster than."""
    loop(gate, is_tokenised_before=True)


def trainer(gate: Gate) -> None:
    from torch import nn
    from transformers import AutoModel, Trainer, TrainingArguments

    class Retriever(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = AutoModel.from_pretrained(SPEC["model"])

        def forward(self, queries: Any, passages: Any) -> dict[str, Any]:
            loss = contrast(self.encoder, {"queries": queries, "passages": passages})
            gate.tick(loss.item())
            return {"loss": loss}

    args = arguments(TrainingArguments, train_sampling_strategy="sequential")
    rows: Any = read_groups()
    Trainer(Retriever(), args, data_collator=Tokens(), train_dataset=rows).train()


def sentence_transformers(gate: Gate) -> None:
    from datasets import Dataset  # pyright: ignore[reportMissingImports]
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.base.sampler import DefaultBatchSampler
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from torch.utils.data import SequentialSampler

    class Gated(MultipleNegativesRankingLoss):
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            loss = super().forward(*args, **kwargs)
            gate.tick(loss.item())
            return loss

    def in_order(dataset: Any, **options: Any) -> Any:
        return DefaultBatchSampler(SequentialSampler(dataset), **options)  # pyright: ignore[reportArgumentType]

    model = SentenceTransformer(SPEC["model"], device=SPEC["device"])
    # Queries are short enough not to need a limit of their own.
    model.max_seq_length = SPEC["passageLength"]
    groups = read_groups()
    names = ["anchor", "positive"]
    names += [f"negative_{number}" for number in range(1, len(groups[0]["passages"]))]
    rows = [dict(zip(names, [group["query"], *group["passages"]], strict=True)) for group in groups]
    SentenceTransformerTrainer(
        model=model,
        args=arguments(SentenceTransformerTrainingArguments, batch_sampler=in_order),
        train_dataset=Dataset.from_list(rows),
        loss=Gated(model, scale=1 / SPEC["temperature"]),
    ).train()


def trove(gate: Gate) -> None:
    os.environ.update(HF_HOME=SPEC["folder"], TROVE_CACHE_DIR=str(Path(SPEC["folder"]) / "trove"))
    import trove  # pyright: ignore[reportMissingImports]
    from torch.utils.data import SequentialSampler
    from transformers import AutoTokenizer
    from trove.modeling.losses import InfoNCELoss  # pyright: ignore[reportMissingImports]

    class GatedLoss(InfoNCELoss):
        _alias = "gated"

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            loss = super().forward(*args, **kwargs)
            gate.tick(loss.item())
            return loss

    class InOrder(trove.RetrievalTrainer):
        def _get_train_sampler(self, *_: Any) -> Any:
            return SequentialSampler(self.train_dataset)

    model_args = trove.ModelArguments(
        model_name_or_path=SPEC["model"],
        encoder_class="default",
        pooling="mean",
        normalize="yes",
        torch_dtype="float32",
        loss="gated",
        temperature=SPEC["temperature"],
    )
    retriever = trove.BiEncoderRetriever.from_model_args(args=model_args)
    data_args = trove.DataArguments(
        query_max_len=SPEC["queryLength"],
        passage_max_len=SPEC["passageLength"],
        pad_to_multiple_of=None,
    )
    collator = trove.RetrievalCollator(
        data_args=data_args,
        tokenizer=AutoTokenizer.from_pretrained(SPEC["model"]),
        append_eos=False,
    )
    rows = [
        {
            "query": group["query"],
            "passage": group["passages"],
            "label": [1, *[0] * (len(group["passages"]) - 1)],
        }
        for group in read_groups()
    ]
    InOrder(
        model=retriever,
        args=arguments(trove.RetrievalTrainingArguments, dataloader_pin_memory=False),
        data_collator=collator,
        train_dataset=rows,
    ).train()


RIVALS = {
    "loop": loop,
    "tokenised-loop": tokenised_loop,
    "trainer": trainer,
    "sentence-transformers": sentence_transformers,
    "trove": trove,
}

if __name__ == "__main__":
    RIVALS[RIVAL](Gate())
