"""Chat templates: what a checkpoint says of its own, and what one puts before, between and behind texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from quarry_runtime.errors import ConfigError, in_a_line
from quarry_runtime.guard.locate import read_json
from quarry_runtime.modeling.template import Template
from quarry_runtime.modeling.transformer_settings import settings_file

# Private characters, which no template spells out, in the places of the texts.
_MARKS = ("\ue000", "\ue001")
# What templates do to texts shows in one of these: strip them, escape, shorten, or change their case.
_PROBES = (" a b \n", "\n c d ", "E & <f>\n\n\n{{ g }} \"h\" 'i'\\n", "long " * 400)
# What a chat template is called with that is no variable of its own.
_OF_THE_CALL = {
    "truncation", "max_length", "padding", "tokenize", "return_tensors", "return_dict",
    "tokenizer_kwargs", "chat_template", "sanitize_control_tokens", "return_assistant_tokens_mask",
}  # fmt: skip
# How sentence-transformers calls a model whose tokens' vectors are pooled.
_CALL = {"method": "forward", "method_output_name": "last_hidden_state"}


@dataclasses.dataclass(frozen=True)
class Chat:
    """How texts are put into the tokenizer's chat template."""

    #: Whether a message holds a text or a list of parts; None: what the template takes.
    content: Literal["flat", "structured"] | None
    options: Mapping[str, Any]
    #: Whether what stands behind a text is put back where a long one is cut.
    keeps_end: bool = True


def read_chat(transformer: Path, is_of_pairs: bool = False) -> Chat | None:
    """What sentence-transformers' settings of a transformer say; None for texts as they are.

    Raises:
        ConfigError: see `chat_in`.
    """
    file = settings_file(transformer)
    return None if file is None else chat_in(read_json(file), file, is_of_pairs)


def chat_in(written: Mapping[str, Any], file: Path, is_of_pairs: bool = False) -> Chat | None:
    """As `read_chat`, from a file's content.

    Raises:
        ConfigError: variables that are none of the template's, or a model that takes more than
            texts, whose processor tokenises in ways of its own.
    """
    modalities = written.get("modality_config") or {}
    message = modalities.get("message")
    if message is None:
        return None
    if not is_of_pairs:
        others = sorted(set(modalities) - {"text", "message"})
        called = {name: message.get(name) for name in _CALL}
        if others or called != _CALL:
            name, output = called.values()
            seen = f"takes {', '.join(others)} as well" if others else f"pools {output} of {name}"
            raise ConfigError(
                f"{file}: this model puts each text into its chat template and {seen}, which Quarry"
                " does not follow.",
                hint='Delete "message" from modality_config in a copy of the model; its vectors are'
                " then others than sentence-transformers gives.",
            )
    options = dict((written.get("processing_kwargs") or {}).get("chat_template") or {})
    keeps_end = bool(options.pop("restore_suffix", True))
    for name in options:
        if name in _OF_THE_CALL:
            raise ConfigError(
                f"{file} sets processing_kwargs.chat_template.{name}, which Quarry does not follow.",
                hint="Delete it from a copy of the model; lengths are options of Quarry's.",
            )
    content = message.get("format")
    return Chat(content if content in ("flat", "structured") else None, options, keeps_end)


def written_chat(chat: Chat) -> dict[str, Any]:
    """What `chat_in` reads, in sentence-transformers' words."""
    content = {} if chat.content is None else {"format": chat.content}
    variables = {**chat.options, **({} if chat.keeps_end else {"restore_suffix": False})}
    return {
        "modality_config": {"text": _CALL, "message": {**_CALL, **content}},
        # Asked for wherever there is a modality_config.
        "module_output_name": "token_embeddings",
        **({"processing_kwargs": {"chat_template": variables}} if variables else {}),
    }


@dataclasses.dataclass(frozen=True)
class Rendering:
    """A tokenizer's chat template, called with a message of each role behind a system's, if there is one.

    Attributes:
        tokenizer: The checkpoint's transformers tokenizer.
        checkpoint: As the user named it.
        chat: What the checkpoint says.
        roles: Of the messages.
        what: The messages in a sentence.
        hint: What to do about a template that cannot be followed.
    """

    tokenizer: Any
    checkpoint: str
    chat: Chat
    roles: Sequence[str]
    what: str
    hint: str

    def template(self, prompt: str | None, **variables: Any) -> Template:
        """What the template makes of texts, rendered once with marks in their places.

        Args:
            prompt: The system's message.
            variables: Of the template; the checkpoint's own go before them.

        Raises:
            ConfigError: a template without room for the texts, or one that changes them.
        """
        marks, failure = _MARKS[: len(self.roles)], ""
        content = self.chat.content
        for kind in ("flat", "structured") if content is None else (content,):
            try:
                rendered = self.render(marks, prompt, kind, **variables)
            # Whatever a template raises: it is a program of the checkpoint's.
            except Exception as error:
                failure = f": {in_a_line(error)}"
                continue
            if all(rendered.count(mark) == 1 for mark in marks):
                return self._followed(Template.split(rendered, marks), prompt, kind, variables)
        said = " behind a system's message, the prompt" if prompt else ""
        raise ConfigError(
            f"The chat template of {self.checkpoint} has no place for {self.what}{said}{failure}.",
            hint=f"Try it with an empty prompt. {self.hint}" if prompt else self.hint,
        )

    def render(self, texts: Sequence[str], prompt: str | None, kind: str, **variables: Any) -> str:
        """What the template itself makes of texts."""
        said = [("system", prompt)] if prompt else []
        messages = [
            {"role": role, "content": [{"type": "text", "text": text}] if kind == "structured" else text}
            for role, text in (*said, *zip(self.roles, texts, strict=True))
        ]  # fmt: skip
        named = {**variables, **self.chat.options}
        return self.tokenizer.apply_chat_template(messages, tokenize=False, **named)

    def _followed(
        self, found: Template, prompt: str | None, kind: str, variables: Mapping[str, Any]
    ) -> Template:
        count = len(self.roles)
        probes = [(_PROBES[place:] + _PROBES)[:count] for place in range(len(_PROBES))]
        rendered = [self.render(texts, prompt, kind, **variables) for texts in probes]
        for template in (found, dataclasses.replace(found, is_stripping=True)):
            if rendered == [template.fill(*texts)[0] for texts in probes]:
                return (
                    template if count > 1 else self._with_empty(template, prompt, kind, variables)
                )
        raise ConfigError(
            f"The chat template of {self.checkpoint} changes the texts that it is given.",
            hint=self.hint,
        )

    def _with_empty(
        self, template: Template, prompt: str | None, kind: str, variables: Mapping[str, Any]
    ) -> Template:
        """The template with what it makes of an empty text, which it may leave out with all around it."""
        try:
            empty = self.render([""], prompt, kind, **variables)
        except Exception:
            # It refuses one, and so would sentence-transformers; data with such a text goes on here.
            return template
        is_usual = empty == template.fill("")[0]
        return template if is_usual else dataclasses.replace(template, empty=empty)
