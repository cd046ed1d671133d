"""What all Python tests share: one tiny model of each kind for the whole session."""

from __future__ import annotations

import gc
import importlib.util
import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes is the machine's affair; and one that is drawn by chance fails by chance.
# The drills draw anew.
settings.register_profile("drills", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("steady", settings.get_profile("drills"), derandomize=True)
settings.load_profile("steady")

# Before anything imports a hub client: tests never reach for a network.
os.environ["HF_HUB_OFFLINE"] = "1"
# Before anything imports torch: layers of 32 numbers gain nothing by a second thread, and wait for it
# on a busy machine, at work all the while.
os.environ["OMP_NUM_THREADS"] = "1"

FIXTURES = Path(__file__).parents[1] / "fixtures"


def pytest_collection_finish() -> None:
    """What collection has imported stays: tests that make many full collections need not look through it each time."""
    gc.collect()
    gc.freeze()


def _write_model(folder: Path, arch: str, **options: Any) -> Path:
    spec = importlib.util.spec_from_file_location("tiny_model", FIXTURES / "tiny_model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.write_model(folder, arch, **options)


@pytest.fixture(scope="session")
def start_code() -> Callable[[str], BaseProcess]:
    """Runs code in a process of its own, forked from one that has imported torch: that takes seconds each time."""
    if sys.platform != "linux":
        context = multiprocessing.get_context("spawn")
    else:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["torch", "pyarrow", "transformers.modeling_utils"])
        forkserver.ensure_running()

    def start(code: str) -> BaseProcess:
        process = context.Process(target=exec, args=(code, {"__name__": "__main__"}))
        process.start()
        return process

    return start


@pytest.fixture
def written_down(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was synced and what was renamed to what, in order: only what is synced survives a power cut."""
    done: list[str] = []
    sync, replace, rename = os.fsync, os.replace, Path.rename

    def synced(number: int) -> None:
        done.append(f"sync {os.readlink(f'/proc/self/fd/{number}')}")
        sync(number)

    def renaming(move: Callable[..., Any]) -> Callable[..., Any]:
        def moved(source: Any, target: Any) -> Any:
            done.append(f"rename {target}")
            return move(source, target)

        return moved

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renaming(replace))
    monkeypatch.setattr(Path, "rename", renaming(rename))
    return done


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a BERT of two layers: mean pooling, right padding, 32 dimensions."""
    return _write_model(tmp_path_factory.mktemp("tiny-bert"), "bert")


@pytest.fixture(scope="session")
def tiny_gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a decoder of two layers: last-token pooling, left padding, 32 dimensions."""
    return _write_model(tmp_path_factory.mktemp("tiny-gpt2"), "gpt2-like")


@pytest.fixture(scope="session")
def tiny_of(
    tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path, tiny_gpt2: Path
) -> Callable[..., Path]:
    """Makes a plain transformers folder with a random model of a type: a tokenizer of bytes without
    any special token for decoders, of letters for encoders, padding as asked."""

    def make(model_type: str, padding_side: str = "right", **options: Any) -> Path:
        import torch
        import transformers

        from quarry_runtime.modeling.resolved import OFFSET_POSITIONS

        is_like_roberta = model_type in OFFSET_POSITIONS
        is_encoder = model_type == "bert" or is_like_roberta
        size = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4}
        size |= {"num_hidden_layers": 2, "max_position_embeddings": 128}
        if model_type == "gpt2":
            size = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
        elif not is_encoder:
            size |= {"num_key_value_heads": 2}
        pads = 1 if is_like_roberta else 0 if is_encoder else 256
        config = transformers.AutoConfig.for_model(
            model_type, vocab_size=2000, pad_token_id=pads, **{**size, **options}
        )
        torch.manual_seed(0)
        folder = tmp_path_factory.mktemp(f"tiny-{model_type}")
        transformers.AutoModel.from_config(config).save_pretrained(folder)
        if is_encoder:
            source, tokens = tiny_bert, {"pad_token": "[PAD]", "sep_token": "[SEP]"}
            tokens |= {"cls_token": "[CLS]", "unk_token": "[UNK]"}
        else:
            source, tokens = tiny_gpt2, {"eos_token": "<|endoftext|>", "pad_token": "<|pad|>"}
        content = json.loads((source / "tokenizer.json").read_text())
        if is_like_roberta:
            vocabulary = content["model"]["vocab"]
            other = next(piece for piece, number in vocabulary.items() if number == 1)
            vocabulary["[PAD]"], vocabulary[other] = 1, 0
            for token in content["added_tokens"]:
                token["id"] = vocabulary[token["content"]]
        elif not is_encoder:
            content["post_processor"] = None
            content["model"]["vocab"]["<|pad|>"] = 256 + 1
            added = {**content["added_tokens"][0], "content": "<|pad|>", "id": 256 + 1}
            content["added_tokens"].append(added)
        (folder / "tokenizer.json").write_text(json.dumps(content))
        settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 120}
        settings |= {**tokens, "padding_side": padding_side}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        return folder

    return make


CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' + (mark or '') }}{% endif %}"
)


@pytest.fixture(scope="session")
def tiny_chat(tiny_of: Callable[..., Path]) -> Callable[..., Path]:
    """Makes a plain folder with a random decoder whose tokenizer has a chat template; with a pooling
    a pipeline that puts each text into it."""

    def make(
        model_type: str = "qwen2",
        chat: str = CHATML,
        padding_side: str = "left",
        pooling: str | None = None,
    ) -> Path:
        import transformers

        folder = tiny_of(model_type, padding_side)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
        tokenizer.chat_template = chat
        tokenizer.save_pretrained(folder)
        if pooling is not None:
            how = {"method": "forward", "method_output_name": "last_hidden_state"}
            kinds = {"": "Transformer", "1_Pooling": "Pooling"}
            files = {
                "modules.json": [
                    {"path": path, "type": f"sentence_transformers.models.{kind}"}
                    | {"idx": number, "name": str(number)}
                    for number, (path, kind) in enumerate(kinds.items())
                ],
                "sentence_bert_config.json": {
                    "modality_config": {"text": how, "message": {**how, "format": "flat"}},
                    "module_output_name": "token_embeddings",
                },
                "1_Pooling/config.json": {"embedding_dimension": 32, "pooling_mode": pooling},
                "config_sentence_transformers.json": {"prompts": {"query": "Find it"}},
            }
            (folder / "1_Pooling").mkdir()
            for name, content in files.items():
                (folder / name).write_text(json.dumps(content))
        return folder

    return make


@pytest.fixture(scope="session")
def tiny_cross(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a folder with a tiny cross-encoder of some labels."""

    def make(labels: int = 1, arch: str = "cross") -> Path:
        return _write_model(tmp_path_factory.mktemp(f"tiny-{arch}"), arch, labels=labels)

    return make


@pytest.fixture(scope="session")
def cross_spec() -> Callable[..., Any]:
    """Makes a CrossEncoderSpec that leaves everything to the checkpoint but what is given."""
    from quarry_runtime.protocol.messages import CrossEncoderSpec

    def make(checkpoint: str | Path, **given: Any) -> CrossEncoderSpec:
        of_texts = ("template", "prompt", "true_token", "false_token")
        nothing: dict[str, Any] = dict.fromkeys(
            ("revision", "max_length", "activation", "label", *of_texts)
        )
        rest = {"trust_remote_code": False, "dtype": "auto", "checkpoint": str(checkpoint)}
        return CrossEncoderSpec(**{**nothing, **rest, **given})

    return make


@pytest.fixture(scope="session")
def model_spec() -> Callable[..., Any]:
    """Makes a ModelSpec that leaves everything to the checkpoint but what is given."""
    import msgspec

    from quarry_runtime.modeling.contract import bare_spec
    from quarry_runtime.protocol.messages import ModelSpec, PluginFile

    def make(checkpoint: str | Path, plugins: Sequence[Any] = (), **given: Any) -> ModelSpec:
        files = [PluginFile(path=str(path), sha256=None) for path in plugins]
        return msgspec.structs.replace(bare_spec(str(checkpoint), plugins=files), **given)

    return make


@pytest.fixture(scope="session")
def search_task() -> Callable[..., Any]:
    """Makes a SearchTask over texts, scored as the given model's contract usually says: cosine."""
    from quarry_runtime.protocol.messages import ModelSpec, Scoring, SearchTask

    def make(model: ModelSpec | None, **given: Any) -> SearchTask:
        scoring = Scoring(similarity="cosine", is_normalizing=True, plugins=[])
        rest: dict[str, Any] = {"vector_dtype": "float32", "tracked_count": 0}
        rest["files"] = []
        return SearchTask(**{**rest, "model": model, "scoring": scoring, **given})

    return make


@pytest.fixture
def leave_no_names() -> Iterator[None]:
    """Takes what a test registers out of the registry again."""
    from quarry_runtime.modeling import registry

    # All of Quarry's own first: their modules register them once in a process.
    before = [(kind, registry.registered(kind)) for kind in registry.KINDS]
    modules = set(sys.modules)
    yield
    # A plugin runs once in a process: the next test that names it has to run it again.
    for name in set(sys.modules) - modules:
        if name.startswith("quarry_plugin_"):
            del sys.modules[name]
    for kind, entries in before:
        registry._REGISTRY[kind] = entries  # type: ignore[index]


@pytest.fixture(scope="session")
def load(model_spec: Callable[..., Any]) -> Callable[..., Any]:
    """Loads an encoder on the CPU."""
    from quarry_runtime.modeling.load import load_encoder

    return lambda checkpoint, **given: load_encoder(model_spec(checkpoint, **given), "cpu")
