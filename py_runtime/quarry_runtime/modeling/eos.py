"""Lets a tokenizer end every text with one end token."""

from __future__ import annotations

import json
from typing import Any

from quarry_runtime.errors import ConfigError


def append_eos(tokenizer: Any, checkpoint: str) -> int:
    """Makes the tokenizer add its end token to each text, unless it does so by itself.

    What is changed is saved with the tokenizer, so that other libraries do the same; only a text
    that ends with the token gets a second one there (special tokens are told apart before anything
    that a tokenizer can be given sees the text), where `end_once` leaves one.

    Args:
        tokenizer: A transformers tokenizer.
        checkpoint: For the message.

    Returns:
        The end token's id.

    Raises:
        ConfigError: there is no end token.
    """
    token, identity = tokenizer.eos_token, tokenizer.eos_token_id
    if identity is None:
        raise ConfigError(
            f"The tokenizer of {checkpoint} has no end token to append.",
            hint="Leave model.appendEos out: BERT's family ends each text with [SEP] or </s>.",
        )
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or tokenizer("a")["input_ids"][-1:] == [identity]:
        return identity
    if {"add_bos_token", "add_eos_token"} & set(tokenizer.init_kwargs):
        # Loading such a tokenizer again makes a new template of these two.
        tokenizer.add_eos_token = True
        tokenizer.init_kwargs["add_eos_token"] = True
        return identity
    backend.post_processor = _ending(backend.post_processor, token, identity)
    return identity


def _ending(processor: Any, token: str, identity: int) -> Any:
    """The processor with an end token behind each text.

    A template is extended: of two in a sequence the second would take what the first put in front
    for a text of its own.
    """
    from tokenizers import Tokenizer, models

    earlier = None if processor is None else json.loads(processor.__getstate__())
    steps = [] if earlier is None else earlier.get("processors", [earlier])
    if not any(step["type"] == "TemplateProcessing" for step in steps):
        a, b = ({"Sequence": {"id": name, "type_id": n}} for n, name in enumerate("AB"))
        steps.append(
            {"type": "TemplateProcessing", "single": [a], "pair": [a, b], "special_tokens": {}}
        )
    for step in steps:
        if step["type"] == "TemplateProcessing":
            step["single"] = _with(step["single"], token)
            step["pair"] = _with(step["pair"], token)
            step["special_tokens"][token] = {"id": token, "ids": [identity], "tokens": [token]}
    # Only a whole tokenizer can be read from JSON.
    whole = json.loads(Tokenizer(models.WordLevel({"a": 0}, "a")).to_str())
    whole["post_processor"] = {"type": "Sequence", "processors": steps}
    return Tokenizer.from_str(json.dumps(whole)).post_processor


def _with(pieces: list[dict[str, Any]], token: str) -> list[dict[str, Any]]:
    """The end token behind each text of a template, and behind whatever follows the text there."""
    types = [next(iter(piece.values()))["type_id"] for piece in pieces]
    found: list[dict[str, Any]] = []
    for piece, type_id, following in zip(pieces, types, [*types[1:], None], strict=True):
        found.append(piece)
        if following != type_id:
            found.append({"SpecialToken": {"id": token, "type_id": type_id}})
    return found


def end_once(ids: list[int], eos: int, most: int) -> list[int]:
    """The ids with exactly one `eos` at the end, at most `most` of them.

    A text may spell out the end token itself, and a tokenizer without a template adds none.
    """
    kept = len(ids)
    while kept > 0 and ids[kept - 1] == eos:
        kept -= 1
    return [*ids[: min(kept, most - 1)], eos]
