"""Chat templates of bi-encoders: what is refused by name, what the fingerprint covers, what is told of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quarry_runtime.errors import ConfigError
from quarry_runtime.inspect import model_contract
from quarry_runtime.modeling.contract import resolve

CHATML = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"

# As Gemma's.
NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('Not here') }}{% endif %}"
    "{{ messages[0].content }}"
)


def edit(file: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("chat", "message"),
    [
        (CHATML.replace("m.content", "m.content | upper"), "changes the texts"),
        (CHATML.replace("m.content", "m.content[:500]"), "changes the texts"),
        (CHATML.replace("m.content", "m.content.lstrip()"), "changes the texts"),
        ("{{ messages[0].role }}", "has no place for a text"),
        (NO_SYSTEM, r"has no place for a text behind a system's message, the prompt: .*Not here"),
        (CHATML + "{{ strftime_now('%d %b %Y') }}", "writes the date into each text"),
    ],
)
def test_a_template_that_cannot_be_followed_is_refused_by_name(
    chat: str,
    message: str,
    tiny_chat: Callable[..., Path],
    load: Callable[..., Any],
) -> None:
    folder = tiny_chat(chat=chat, pooling="mean")
    with pytest.raises(ConfigError, match=rf"chat template of {folder} {message}") as caught:
        load(folder)
    assert caught.value.hint is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda it: it["modality_config"].update(image=it["modality_config"]["text"]),
            "takes image as well",
        ),
        (
            lambda it: it["modality_config"]["message"].update(method="get_text_features"),
            "pools last_hidden_state of get_text_features",
        ),
        (
            lambda it: it.update(processing_kwargs={"chat_template": {"max_length": 9}}),
            r"sets processing_kwargs\.chat_template\.max_length",
        ),
        (
            lambda it: it["modality_config"].update(message="flat"),
            r"modality_config.*: Expected `object`",
        ),
    ],
    ids=["pictures", "another method", "a length", "another shape"],
)
def test_what_a_layout_asks_that_cannot_be_followed_is_named(
    change: Callable[[dict[str, Any]], Any],
    message: str,
    tiny_chat: Callable[..., Path],
    model_spec: Callable[..., Any],
) -> None:
    folder = tiny_chat(pooling="mean")
    edit(folder / "sentence_bert_config.json", change)
    with pytest.raises(ConfigError, match=rf"sentence_bert_config\.json.*{message}"):
        resolve(model_spec(folder))


def test_lengths_that_the_template_fills_are_refused(
    tiny_chat: Callable[..., Path], load: Callable[..., Any]
) -> None:
    folder = tiny_chat(pooling="mean")
    encoder = load(folder)
    least = len(encoder.tokenize([""], "query")["input_ids"][0]) + 1
    around = rf"those of its chat template alone are {least - 1}: "
    with pytest.raises(ConfigError, match=around) as caught:
        load(folder, query_max_length=least - 1)
    assert caught.value.hint == f"Set model.queryMaxLength to {least} or more."
    [ids] = load(folder, query_max_length=least).tokenize(["abc"], "query")["input_ids"]
    assert len(ids) == least


def test_the_fingerprint_follows_the_template_and_its_variables(
    tiny_chat: Callable[..., Path], model_spec: Callable[..., Any]
) -> None:
    saved = tiny_chat(pooling="mean")
    config, template = saved / "sentence_bert_config.json", saved / "chat_template.jinja"

    def fingerprint() -> str:
        spec = model_spec(saved)
        return resolve(spec).contract("float32", spec).fingerprint

    seen = [fingerprint()]
    template.write_text(CHATML + " ")
    seen.append(fingerprint())
    edit(config, lambda it: it.update(processing_kwargs={"chat_template": {"mark": "?"}}))
    seen.append(fingerprint())
    edit(config, lambda it: it["processing_kwargs"]["chat_template"].update(restore_suffix=False))
    seen.append(fingerprint())
    edit(config, lambda it: it["modality_config"]["message"].update(format="structured"))
    seen.append(fingerprint())
    edit(config, lambda it: it["modality_config"].pop("message"))
    seen.append(fingerprint())
    assert len(set(seen)) == len(seen)
    # Nobody reads it any more.
    template.unlink()
    assert fingerprint() == seen[-1]


def test_inspecting_says_that_texts_are_put_into_the_template(
    tiny_chat: Callable[..., Path],
) -> None:
    assert model_contract(str(tiny_chat(pooling="mean")))["chatTemplate"] is True
    # A plain folder does not ask for it.
    assert model_contract(str(tiny_chat()))["chatTemplate"] is False


def test_an_end_token_behind_a_template_is_refused(
    tiny_chat: Callable[..., Path], model_spec: Callable[..., Any]
) -> None:
    with pytest.raises(ConfigError, match="its chat template, which says what ends it"):
        resolve(model_spec(tiny_chat(pooling="mean"), append_eos=True))


def test_a_template_that_is_asked_for_and_not_there_is_named(
    tiny_chat: Callable[..., Path], load: Callable[..., Any]
) -> None:
    folder = tiny_chat(pooling="mean")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ConfigError, match=r"has no place for a text .*chat_template is not set"):
        load(folder)
