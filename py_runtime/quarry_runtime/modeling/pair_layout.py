"""What sentence-transformers' layout says of a model that scores pairs: its length, its chat template, its tokens."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from quarry_runtime.guard.locate import inside, optional_json, read_json, unfollowed
from quarry_runtime.modeling.chat_template import Chat, read_chat
from quarry_runtime.modeling.transformer_settings import read_settings


@dataclasses.dataclass(frozen=True)
class PairLayout:
    """Of a folder that says nothing: all of it none."""

    max_length: int | None = None
    chat: Chat | None = None
    prompt: str | None = None
    #: Ids of the tokens whose logits say yes and no; None: no LogitScore.
    tokens: tuple[int, int | None] | None = None


def read_pair_layout(folder: Path) -> PairLayout:
    """Reads modules.json and what it points to; a folder without it is plain transformers.

    Raises:
        ConfigError: a module or a setting that Quarry cannot follow, named.
    """
    if not (folder / "modules.json").is_file():
        # sentence-transformers up to 5.3 saves a cross-encoder so.
        return PairLayout(prompt=_prompt(folder))
    transformer, tokens = folder, None
    for number, module in enumerate(read_json(folder / "modules.json")):
        kind, place = str(module["type"]), inside(folder, str(module.get("path", "")))
        name = kind.rsplit(".", 1)[-1] if kind.startswith("sentence_transformers.") else kind
        if name == "Transformer" and number == 0:
            transformer = place
        elif name == "LogitScore" and number == 1:
            config = read_json(place / "config.json")
            no = config.get("false_token_id")
            tokens = int(config["true_token_id"]), None if no is None else int(no)
        else:
            raise unfollowed(folder, kind, number)
    settings = read_settings(transformer, is_of_pairs=True)
    return PairLayout(
        settings.get("max_seq_length"),
        read_chat(transformer, is_of_pairs=True),
        _prompt(folder),
        tokens,
    )


def _prompt(folder: Path) -> str | None:
    general = optional_json(folder / "config_sentence_transformers.json")
    return (general.get("prompts") or {}).get(general.get("default_prompt_name")) or None
