"""What kind of model a checkpoint that scores pairs is, and what the decoder of one begins with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from quarry_runtime.errors import ConfigError
from quarry_runtime.guard.locate import optional_json

#: A classifier has a label's logit; a language model says how well a pair fits by the logits of two
#: words that may come next: behind the pair, or first of what a decoder writes about it.
Kind = Literal["classifier", "causal", "encoder-decoder"]
#: What loads each with its head.
AUTO_MODELS: dict[Kind, str] = {
    "classifier": "AutoModelForSequenceClassification",
    "causal": "AutoModelForCausalLM",
    "encoder-decoder": "AutoModelForSeq2SeqLM",
}
_CLASSIFIER = "ForSequenceClassification"
_CAUSAL = ("ForCausalLM", "LMHeadModel")
# Models of other things that are read and written have such names too, and are no encoder-decoders:
# those of images, say.
_WRITING = ("ForConditionalGeneration", "WithLMHeadModel", "MTModel", "EncoderDecoderModel")


def kind_of(checkpoint: str, config: Mapping[str, Any], architecture: str) -> Kind:
    """The kind of a checkpoint, by its config.json.

    Raises:
        ConfigError: it scores no pairs.
    """
    is_writing = config.get("is_encoder_decoder") is True and architecture.endswith(_WRITING)
    # T5's old checkpoints are of a T5WithLMHeadModel.
    if architecture.endswith(_CAUSAL) and not is_writing:
        return "causal"
    is_mapped = f"AutoModel{_CLASSIFIER}" in (config.get("auto_map") or {})
    if is_scoring_pairs(architecture) or is_mapped:
        return "classifier"
    if is_writing:
        return "encoder-decoder"
    raise ConfigError(
        f"{checkpoint} is a {architecture}, not a cross-encoder.",
        hint=f"Use a checkpoint of sequence classification, whose architecture ends in {_CLASSIFIER},"
        f" or a language model that ranks: {_CAUSAL[0]}, or {_WRITING[0]} of an encoder-decoder.",
    )


def is_scoring_pairs(architecture: str) -> bool:
    """Whether a checkpoint is one of sequence classification, by its name alone."""
    return architecture.endswith(_CLASSIFIER)


def first_token(checkpoint: str, transformer: Path, config: Mapping[str, Any]) -> int:
    """Id of the token that an encoder-decoder's decoder begins with, where transformers' generate finds it.

    Raises:
        ConfigError: nobody says.
    """
    stated = (
        optional_json(transformer / "generation_config.json"),
        config,
        config.get("decoder") or {},
    )
    for name in ("decoder_start_token_id", "bos_token_id"):
        for each in stated:
            found = each.get(name)
            if isinstance(found, int):
                return found
    raise ConfigError(
        f"{checkpoint} is an encoder-decoder, and names no token that its decoder begins with.",
        hint="Write decoder_start_token_id into the config.json of a copy; in T5's family it is 0, the id of"
        " <pad>.",
    )
