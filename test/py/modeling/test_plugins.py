"""Plugins: the three levels, what their errors name, and what their encoders are held against."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from quarry_runtime.errors import ConfigError, IntegrityError, to_info
from quarry_runtime.export_model import export_model
from quarry_runtime.guard.hashes import sha256_of
from quarry_runtime.inspect import model_contract
from quarry_runtime.modeling import registry
from quarry_runtime.modeling.load import load_encoder
from quarry_runtime.modeling.loss_check import checked_loss
from quarry_runtime.protocol.messages import PluginFile

pytestmark = pytest.mark.usefixtures("leave_no_names")

TEXTS = ["amber river", "a stone under the bridge", "violet"]


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[[str], str]:
    """Writes a plugin that imports what its code may need; its first own line is line 6."""
    head = (
        "import torch\n"
        "from torch import nn\n"
        "from transformers import AutoModel\n"
        "from quarry_runtime.modeling.encoder import Encoder\n"
        "from quarry_runtime.modeling.registry import *\n"
    )
    count = iter(range(100))

    def write(code: str) -> str:
        file = tmp_path / f"plugin_{next(count)}.py"
        file.write_text(head + code)
        return str(file)

    return write


def vectors_of(encoder: Any, side: str = "query", **more: Any) -> torch.Tensor:
    with torch.no_grad():
        return encoder(encoder.collate(encoder.tokenize(TEXTS, side, **more)["input_ids"]), side)


FORMATTING = """
@register_encoder("instructed")
class Instructed(Encoder):
    def format_query(self, text, extras):
        return f"{extras.get('instruction', 'find')}: {text}"
"""


def test_a_subclass_overrides_how_the_texts_of_one_side_are_formatted(
    tiny_bert: Path, load: Callable, plugin: Callable
) -> None:
    plain, own = (
        load(tiny_bert),
        load(tiny_bert, encoder="instructed", plugins=[plugin(FORMATTING)]),
    )
    given = [{"instruction": "answer"}, {}, {"instruction": "name"}]
    wanted = [
        f"{word}: {text}" for word, text in zip(("answer", "find", "name"), TEXTS, strict=True)
    ]
    assert own.tokenize(TEXTS, "query", extras=given) == plain.tokenize(wanted, "query")
    assert own.tokenize(TEXTS, "passage", extras=given) == plain.tokenize(TEXTS, "passage")
    # A prompt stands before what the plugin makes.
    prompted = own.tokenize(TEXTS[:1], "query", prompts=["p "])
    assert prompted == plain.tokenize([f"p find: {TEXTS[0]}"], "query")


HEAD = """
import msgspec
class Size(msgspec.Struct):
    size: int = 8

@register_encoder("headed", Size)
class Headed(Encoder):
    def __init__(self, *args):
        super().__init__(*args)
        self.head = nn.Linear(self.contract.dimension, self.options.size)
    def forward(self, batch, side="passage"):
        return self.head(super().forward(batch, side))
"""


def test_layers_of_a_subclass_take_its_options_and_survive_saving(
    tiny_bert: Path, load: Callable, plugin: Callable, tmp_path: Path
) -> None:
    given = {"encoder": "headed", "encoder_options": {"size": 5}, "plugins": [plugin(HEAD)]}
    encoder = load(tiny_bert, **given)
    assert encoder.contract.dimension == 5
    # Every worker draws the same numbers for what no checkpoint holds.
    assert torch.equal(vectors_of(load(tiny_bert, **given)), vectors_of(encoder))
    encoder.head.weight.data.fill_(0.5)
    encoder.save(tmp_path / "saved")
    again = load(tmp_path / "saved", **given)
    assert torch.equal(vectors_of(again), vectors_of(encoder))
    assert again.contract.fingerprint != encoder.contract.fingerprint
    with pytest.raises(IntegrityError, match="does not fit the plugin"):
        load(tmp_path / "saved", **{**given, "encoder_options": {"size": 6}})


MODULE = """
@register_encoder("first_token")
class FirstToken(nn.Module):
    def __init__(self, folder, options):
        super().__init__()
        self.model = AutoModel.from_pretrained(folder)
        self.scale = nn.Parameter(torch.ones(()))
    def format_passage(self, text, extras):
        return text.upper()
    def forward(self, batch, side):
        return self.scale * self.model(**batch).last_hidden_state[:, 0]
"""


@pytest.mark.parametrize("name", ["model", "module"])
def test_any_module_is_an_encoder_and_survives_saving(
    tiny_bert: Path, load: Callable, plugin: Callable, tmp_path: Path, name: str
) -> None:
    code = MODULE.replace("self.model", f"self.{name}")
    given = {"encoder": "first_token", "plugins": [plugin(code)], "normalize": False}
    encoder = load(tiny_bert, **given)
    by_pooling = load(tiny_bert, pooling="cls", normalize=False)
    torch.testing.assert_close(vectors_of(encoder), vectors_of(by_pooling))
    shouted = by_pooling.tokenize([text.upper() for text in TEXTS], "passage")
    assert encoder.tokenize(TEXTS, "passage") == shouted
    encoder.module.scale.data.fill_(3.0)
    encoder.save(tmp_path / "saved")
    again = load(tmp_path / "saved", **given)
    assert torch.equal(vectors_of(again), vectors_of(encoder))
    with pytest.raises(ConfigError, match="was saved by the encoder first_token, not by auto"):
        load(tmp_path / "saved")


def test_what_a_module_is_used_with_is_saved_with_it(
    tiny_bert: Path, load: Callable, plugin: Callable, tmp_path: Path
) -> None:
    given = {"encoder": "first_token", "plugins": [plugin(MODULE)]}
    wishes: dict[str, Any] = {"query_prompt": "ask: ", "passage_prompt": "read: "}
    wishes |= {"query_max_length": 8, "passage_max_length": 16}
    wishes |= {"normalize": False, "similarity": "dot", "pooling": "cls"}
    base = Path(shutil.copytree(tiny_bert, tmp_path / "cased"))
    lengths = base / "sentence_bert_config.json"
    settings = json.loads(lengths.read_text())
    lengths.write_text(json.dumps({**settings, "do_lower_case": True}))
    tokenizer = (base / "tokenizer.json").read_text()
    (base / "tokenizer.json").write_text(
        tokenizer.replace('"lowercase": true', '"lowercase": false')
    )
    encoder = load(base, **given, **wishes)
    encoder.save(tmp_path / "saved")
    again = load(tmp_path / "saved", **given)
    changing = {"checkpoint": "", "fingerprint": ""}
    one, other = (msgspec.structs.replace(each.contract, **changing) for each in (encoder, again))
    assert one == other
    for side in ("query", "passage"):
        assert again.tokenize(["AMBER"], side) == encoder.tokenize(["amber"], side)
        assert torch.equal(vectors_of(again, side), vectors_of(encoder, side))


def test_a_module_is_exported_with_a_card_that_names_its_plugin(
    tiny_bert: Path, load: Callable, model_spec: Callable, plugin: Callable, tmp_path: Path
) -> None:
    given = {"encoder": "first_token", "plugins": [plugin(MODULE)]}
    load(tiny_bert, query_prompt="ask: ", **given).save(tmp_path / "saved")
    facts: dict[str, Any] = {"name": "mine", "title": "mine", "license": None, "base": None}
    facts |= {"experiment": None, "data": {}, "measures": {}, "step": None, "versions": {}}
    out = tmp_path / "out"
    export_model(model_spec(tmp_path / "saved", **given), out, facts, True, "bfloat16")
    again, before = (load(folder, dtype="float32", **given) for folder in (out, tmp_path / "saved"))
    assert again.contract.query_prompt == "ask: "
    torch.testing.assert_close(vectors_of(again), vectors_of(before), atol=0.05, rtol=0)
    card = (out / "README.md").read_text()
    assert "plugin_0.py" in card
    assert '"encoder": "first_token"' in card
    assert "sentence-transformers" not in card


def test_a_registered_pooling_is_used_saved_and_refused_by_others(
    tiny_bert: Path, load: Callable, plugin: Callable, tmp_path: Path
) -> None:
    code = (
        "@register_pooling('first_two')\n"
        "def first_two(hidden, mask):\n"
        "    return torch.cat([hidden[:, 0], hidden[:, 1]], dim=1)\n"
    )
    given = {"plugins": [plugin(code)], "pooling": "first_two"}
    encoder = load(tiny_bert, **given)
    assert encoder.contract.dimension == 64
    encoder.save(tmp_path / "saved")
    assert (
        model_contract(str(tmp_path / "saved"), plugins=given["plugins"])["pooling"] == "first_two"
    )
    again = load(tmp_path / "saved", **{**given, "pooling": None})
    assert torch.equal(vectors_of(again), vectors_of(encoder))
    from sentence_transformers import SentenceTransformer

    with pytest.raises(Exception, match="first_two"):
        SentenceTransformer(str(tmp_path / "saved"), device="cpu")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return self.model(**batch).last_hidden_state", r"shape \[2, \d+, 32\], not \[2, D\]"),
        ("return [1.0]", "gives for two query texts list, not a tensor"),
        ("return batch['input_ids'][:, :2]", "vectors of torch.int64"),
        ("return self.model(**batch).pooler_output.detach()", "without gradient"),
        ("return batch['nothing']", r"plugin_0\.py:12: KeyError: 'nothing'"),
        (
            "return torch.ones(2, 3 if side == 'query' else 4, requires_grad=True)",
            "3 and passages of 4",
        ),
    ],
)
def test_an_encoder_that_breaks_its_contract_is_refused_before_any_work(
    tiny_bert: Path, model_spec: Callable, plugin: Callable, body: str, words: str
) -> None:
    code = (
        "@register_encoder('odd')\n"
        "class Odd(Encoder):\n"
        "    @property\n"
        "    def model(self):\n"
        "        return self.transformer\n"
        "    def forward(self, batch, side='passage'):\n"
    )
    file = plugin(code + f"        {body}\n")
    with pytest.raises(ConfigError, match=words):
        load_encoder(model_spec(tiny_bert, encoder="odd", plugins=[file]), "cpu", for_training=True)


def test_the_line_of_a_plugin_is_named_whatever_it_does_wrong(
    tiny_bert: Path, load: Callable, plugin: Callable
) -> None:
    with pytest.raises(ConfigError, match=r"plugin_0\.py:6: ZeroDivisionError"):
        registry.load_plugins([plugin("1 / 0\n")])
    with pytest.raises(ConfigError, match=r"plugin_1\.py:7: SyntaxError: invalid syntax"):
        registry.load_plugins([plugin("\ndef broken(:\n")])
    with pytest.raises(ConfigError, match=r"plugin_2\.py:6: ModuleNotFoundError") as caught:
        registry.load_plugins([plugin("import beside_me\n")])
    assert caught.value.hint == "A plugin is one file: put the code into it, or install beside_me."
    code = "@register_encoder('e')\ndef make(resolved, spec, dtype, options):\n    return options.size\n"
    with pytest.raises(ConfigError, match=r"plugin_3\.py:8: AttributeError"):
        load(tiny_bert, encoder="e", plugins=[plugin(code)])
    code = "@register_encoder('few')\ndef make(resolved):\n    return None\n"
    with pytest.raises(
        ConfigError, match=r"plugin_4\.py: the encoder few cannot be made: .*takes 1"
    ):
        load(tiny_bert, encoder="few", plugins=[plugin(code)])
    file = plugin("def fail():\n    raise ValueError('no')\nregister_loss('failing')(fail)\n")
    registry.load_plugins([file])
    try:
        registry.find("loss", "failing").factory()
    except ValueError as error:
        info = to_info(error)
    assert (info.code, info.message) == ("CONFIG", f"Plugin {file}:7: ValueError: no")


def test_a_file_of_another_content_than_the_run_began_with_is_refused_before_it_runs_and_after(
    tiny_bert: Path, model_spec: Callable, plugin: Callable
) -> None:
    path = plugin("register_loss('first')(object)\n")
    begun = PluginFile(path=path, sha256=sha256_of(Path(path)))
    edited = Path(path).read_text().replace("'first'", "'other'")
    # As long as before, and maybe written in the same second: what was compiled once must not count.
    Path(path).write_text(edited)
    refused = rf"The plugin {path} on \S+ is not the one that this run began with\."
    with pytest.raises(ConfigError, match=refused):
        registry.load_plugins([begun])
    assert not {"first", "other"} & set(registry.registered("loss"))
    registry.load_plugins([PluginFile(path=path, sha256=None)])
    assert "other" in registry.registered("loss")
    with pytest.raises(ConfigError, match=refused):
        load_encoder(msgspec.structs.replace(model_spec(tiny_bert), plugins=[begun]), "cpu")


def test_what_ran_is_what_counts_once_the_file_is_edited(
    tiny_bert: Path, model_spec: Callable, plugin: Callable
) -> None:
    path = plugin("@register_encoder('steady')\nclass Steady(Encoder): ...\n")
    spec = msgspec.structs.replace(
        model_spec(tiny_bert, encoder="steady"),
        plugins=[PluginFile(path=path, sha256=sha256_of(Path(path)))],
    )
    before = load_encoder(spec, "cpu").contract.fingerprint
    Path(path).write_text("1 / 0\n")
    assert load_encoder(spec, "cpu").contract.fingerprint == before


def test_an_unknown_name_is_answered_with_what_is_registered_and_from_where(
    plugin: Callable,
) -> None:
    file = plugin("register_loss('my_loss')(object)\n")
    registry.load_plugins([file])
    with pytest.raises(ConfigError) as caught:
        registry.find("loss", "my_los")
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("Did you mean my_loss? Registered are: ")
    assert "infonce (built-in)" in caught.value.hint
    assert f"my_loss ({file})" in caught.value.hint
    with pytest.raises(ConfigError) as caught:
        registry.find("retriever", "whole")
    assert caught.value.hint == (
        "Nothing registers a retriever: name the Python file that does in model.plugins."
    )
    other = plugin("register_loss('my_loss')(int)\n")
    with pytest.raises(
        ConfigError, match=r"one is from .*plugin_0\.py, the other from .*plugin_1\.py"
    ):
        registry.load_plugins([other])


@pytest.mark.parametrize("kind", registry.KINDS)
def test_no_plugin_takes_the_name_of_what_comes_with_quarry(
    kind: registry.Kind, plugin: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {each.name for each in registry.registered(kind).values() if not each.is_plugin}
    assert registry.BUILT_IN_NAMES[kind] == own
    # As in a process that has imported none of them yet.
    monkeypatch.setattr(registry, "_REGISTRY", {each: {} for each in registry.KINDS})
    for name in own:
        file = plugin(f"register_{kind}({name!r})(object)\n")
        with pytest.raises(ConfigError, match=rf"called '{name}': one is built-in, the other from"):
            registry.load_plugins([file])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1.0, "gave float, not a tensor"),
        (torch.ones(3, requires_grad=True), r"shape \[3\], not a scalar"),
        (torch.tensor(1), "a number of torch.int64"),
        (torch.tensor(1.0), "without gradient"),
    ],
)
def test_a_loss_that_gives_no_differentiable_number_is_told_so(value: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        checked_loss(value, object())
