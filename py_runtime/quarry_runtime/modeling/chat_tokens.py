"""Tokenises texts in a checkpoint's chat template, as sentence-transformers does, without Jinja for each text."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

from quarry_runtime.errors import ConfigError
from quarry_runtime.modeling.chat_template import Chat, Rendering
from quarry_runtime.modeling.resolved import Resolved
from quarry_runtime.modeling.template import Template
from quarry_runtime.modeling.tokens import Side, Tokens, copied

# As a template that tells the sides apart is told.
_TASKS: dict[Side, str] = {"query": "query", "passage": "document"}
# Prompts of the data may be many, and each is a template of its own.
_KEPT = 1_024


def make_tokens(
    tokenizer: Any,
    resolved: Resolved,
    prompts: dict[Side, str],
    lengths: dict[Side, int],
    eos: int | None = None,
    is_prompt_pooled: bool = True,
) -> Tokens:
    """Tokenises as a model's files say, in its chat template or without one; arguments as of Tokens.

    Raises:
        ConfigError: see Tokens and ChatTokens.
    """
    is_lower_case = resolved.is_lower_case
    if resolved.chat is None:
        return Tokens(tokenizer, prompts, lengths, is_lower_case, eos, is_prompt_pooled)
    # sentence-transformers pools a prompt that is a message, whatever the pooling says of prompts.
    return ChatTokens(
        tokenizer, prompts, lengths, is_lower_case, resolved.chat, resolved.checkpoint
    )


@dataclasses.dataclass(frozen=True)
class _Frame:
    """What stands around the texts of one side and prompt."""

    template: Template
    #: Tokens that every text ends with, those that are cut too.
    end: list[int]

    def cut(self, ids: list[int], most: int, is_left: bool) -> list[int]:
        """At most so many ids, with the template's end over those that would come last."""
        if len(ids) < most:
            return ids
        kept = ids[-most:] if is_left else ids[:most]
        # The tokens of a text that ends where it is cut are the template's already.
        count = min(len(self.end), most)
        return [*kept[: most - count], *self.end[len(self.end) - count :]]


class ChatTokens(Tokens):
    """Puts each text into the chat template: a user's message, behind the prompt as the system's.

    Args:
        tokenizer: A transformers tokenizer.
        prompts: As of Tokens.
        lengths: Most tokens of a side, the template's included.
        is_lower_case: Whether the checkpoint wants all lower-cased first, the template too.
        chat: What the checkpoint says.
        checkpoint: As the user named it.

    Raises:
        ConfigError: a template that cannot be followed, or lengths that it fills.
    """

    _around = "those of its chat template"

    def __init__(
        self,
        tokenizer: Any,
        prompts: dict[Side, str],
        lengths: dict[Side, int],
        is_lower_case: bool,
        chat: Chat,
        checkpoint: str,
    ) -> None:
        self._rendering = Rendering(
            tokenizer,
            checkpoint,
            chat,
            roles=("user",),
            what="a text",
            hint='Delete "message" from modality_config of sentence_bert_config.json in a copy of the'
            " model: texts are then encoded as they are, and vectors are others than"
            " sentence-transformers gives.",
        )
        self._is_left = tokenizer.truncation_side == "left"
        self._frames: dict[tuple[Side, str], _Frame] = {}
        super().__init__(tokenizer, prompts, lengths, is_lower_case)

    def __call__(
        self, texts: list[str], side: Side, prompts: Sequence[str | None] | None = None
    ) -> list[list[int]]:
        """Token ids of each text, the template's included; see Tokens."""
        if not texts:
            return []
        own, most = self._prompts[side], self._lengths[side]
        said = itertools.repeat(None, len(texts)) if prompts is None else prompts
        frames = [self._frame(side, own if prompt is None else prompt) for prompt in said]
        filled = [frame.template.fill(text)[0] for frame, text in zip(frames, texts, strict=True)]
        rows = self._whole(filled)
        return [
            frame.cut(row, most, self._is_left) for frame, row in zip(frames, rows, strict=True)
        ]

    def _copy(self, backend: Any, is_lower_case: bool) -> None:
        # One for both sides: texts are cut here, around the template's end.
        copy = copied(backend, is_lower_case)
        self._fast = {"query": copy, "passage": copy}

    def _bare(self, side: Side) -> int:
        frame = self._frame(side, self._prompts[side])
        return len(self._whole([frame.template.fill("")[0]])[0])

    def _whole(self, texts: list[str]) -> list[list[int]]:
        """Ids of texts that hold all special tokens themselves."""
        if self._fast:
            encoded = self._fast["passage"].encode_batch_fast(texts, add_special_tokens=False)
            return [encoding.ids for encoding in encoded]
        return self._tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]

    def _frame(self, side: Side, prompt: str) -> _Frame:
        found = self._frames.get((side, prompt))
        if found is None:
            if len(self._frames) >= _KEPT:
                self._frames.clear()
            found = self._frames[side, prompt] = self._made(side, prompt)
        return found

    def _made(self, side: Side, prompt: str) -> _Frame:
        rendering, task = self._rendering, _TASKS[side]
        template = rendering.template(prompt, task=task)
        # A template cannot ask for the date where a word stands in the place of the function.
        try:
            is_dated = rendering.template(prompt, task=task, strftime_now="") != template
        except ConfigError:
            is_dated = True
        if is_dated:
            raise ConfigError(
                f"The chat template of {rendering.checkpoint} writes the date into each text, and"
                " vectors would be others tomorrow.",
                hint="Give it a date in a copy of the model: as a variable (date_string in most"
                " templates) in processing_kwargs.chat_template of sentence_bert_config.json.",
            )
        return _Frame(template, self._end(template) if rendering.chat.keeps_end else [])

    def _end(self, template: Template) -> list[int]:
        """The last tokens that two texts have in common, as sentence-transformers finds them."""
        one, other = self._whole([template.fill(text)[0] for text in ("0", "1 2 3 4")])
        pairs = zip(reversed(one), reversed(other), strict=False)
        count = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
        return one[len(one) - count :] if count < min(len(one), len(other)) else []
