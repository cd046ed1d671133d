"""The bi-encoder: a transformer, pooling, projections and normalisation, as its contract says."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from quarry_runtime.errors import ConfigError
from quarry_runtime.guard.own_state import save_own_state
from quarry_runtime.guard.save import part_of, save_weights
from quarry_runtime.modeling.chat_tokens import make_tokens
from quarry_runtime.modeling.eos import append_eos
from quarry_runtime.modeling.formatting import Extras, format_texts
from quarry_runtime.modeling.head import described
from quarry_runtime.modeling.layout import OWN_STATE
from quarry_runtime.modeling.layout_write import Pipeline, pipeline, root_files, write_files
from quarry_runtime.modeling.pooling import pool
from quarry_runtime.modeling.resolved import Resolved
from quarry_runtime.modeling.tokens import Side, pad
from quarry_runtime.protocol.messages import ModelContract


class Encoder(nn.Module):
    """Texts to vectors; both sides share the transformer and differ in prompt and length.

    Args:
        transformer: Returns `last_hidden_state` [B, T, H].
        tokenizer: The checkpoint's transformers tokenizer.
        resolved: What the checkpoint and the user's wishes come to.
        contract: The same as it travels.
        after_pooling: What comes after the pooling, in order: see modeling/head.py.

    A plugin's subclass may define `format_query(text, extras)` and `format_passage(text, extras)`,
    which make the text that is tokenised (a prompt goes before it), and may override any method;
    `options` holds its parsed options from its `__init__` on. What it learns beside the transformer
    and the modules after the pooling is saved and loaded with them.

    Raises:
        ConfigError: a tokenizer whose token types would be lost.

    Example:
        batch = encoder.collate(encoder.tokenize(["a text"], "query")["input_ids"])
        vectors_BD = encoder(batch, "query")
    """

    options: Any = None

    def __init__(
        self,
        transformer: nn.Module,
        tokenizer: Any,
        resolved: Resolved,
        contract: ModelContract,
        after_pooling: nn.ModuleList | None = None,
    ) -> None:
        super().__init__()
        self.transformer = transformer
        # A name that a plugin's subclass will hardly take for layers of its own.
        self.after_pooling = after_pooling if after_pooling is not None else nn.ModuleList()
        self.tokenizer = tokenizer
        self.contract = contract
        self._resolved = resolved
        eos = append_eos(tokenizer, resolved.checkpoint) if resolved.append_eos else None
        self._tokens = make_tokens(
            tokenizer,
            resolved,
            {"query": contract.query_prompt, "passage": contract.passage_prompt},
            {"query": contract.query_max_length, "passage": contract.passage_max_length},
            eos,
            resolved.is_prompt_pooled,
        )
        if tokenizer.pad_token_id is None and tokenizer.eos_token_id is not None:
            # Saved with it: sentence-transformers refuses batches of a tokenizer without one.
            tokenizer.pad_token = tokenizer.eos_token
        self._pad_id: int = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
        parameters = inspect.signature(transformer.forward).parameters
        if "token_type_ids" in parameters and self._tokens.has_types():
            raise ConfigError(
                f"The tokenizer of {resolved.checkpoint} gives tokens of a text another type than 0,"
                " which Quarry does not follow.",
                hint="Take token_type_ids out of model_input_names in its tokenizer_config.json, if"
                " the model's vectors may do without; a plugin's encoder can do what others do.",
            )
        self._extra: dict[str, Any] = {"use_cache": False} if "use_cache" in parameters else {}
        # With absolute positions a left-padded text would start at a position that depends on its
        # neighbours. RoBERTa's family counts its own, from another number on.
        self._needs_positions = (
            contract.padding_side == "left"
            and "position_ids" in parameters
            and not resolved.has_own_positions
        )
        #: Beginnings of the names of the parameters that the layouts hold: not those of a subclass.
        self.held = tuple(f"{name}." for name, _ in self.named_children())

    def tokenize(
        self,
        texts: list[str],
        side: Side,
        prompts: Sequence[str | None] | None = None,
        extras: Sequence[Extras] | None = None,
    ) -> dict[str, list[list[int]]]:
        """Token ids of each text under `input_ids`, the prompt put in front; safe in any thread.

        Args:
            texts: Titles are joined before: see modeling/text.py.
            side: Whose prompt and length.
            prompts: What the data says stands before each text; None stands for the side's own.
            extras: Further fields of each record, for a subclass's format_query and format_passage.
        """
        return {"input_ids": self._tokens(format_texts(self, texts, side, extras), side, prompts)}

    def collate(self, ids: Sequence[list[int]]) -> dict[str, torch.Tensor]:
        """`input_ids` and `attention_mask`, int64 [B, T] on the CPU, padded to the longest."""
        resolved, side = self._resolved, self.contract.padding_side
        return pad(ids, self._pad_id, side, resolved.pad_to_multiple_of, resolved.position_limit)

    def forward(self, batch: dict[str, torch.Tensor], side: Side = "passage") -> torch.Tensor:  # noqa: ARG002 (other encoders tell the sides apart)
        """Vectors [B, D] in float32: pooled, projected, of length 1 if the contract says so.

        Args:
            batch: As `collate` makes it, on the model's device.
            side: Which side the texts are of; this encoder treats both alike.
        """
        mask_BT = batch["attention_mask"]
        inputs = {**batch, **self._extra}
        counted_BT = inputs.pop("counted_mask", None)
        if self._needs_positions:
            inputs["position_ids"] = (mask_BT.cumsum(1) - 1).clamp_min(0)
        hidden_BTH = self.transformer(**inputs).last_hidden_state
        vectors_BD = pool(hidden_BTH, mask_BT, self.contract.pooling, counted_BT)
        for module in self.after_pooling:
            vectors_BD = module(vectors_BD)
        return vectors_BD.float()

    def base_name(self) -> tuple[str, str | None]:
        """What an adapter of this model calls it: id and commit on the hub, or its folder."""
        resolved = self._resolved
        folder = resolved.transformer
        if resolved.checkpoint.startswith("embedded:"):
            return f"sentence-transformers/{resolved.checkpoint.removeprefix('embedded:')}", None
        is_local = Path(resolved.checkpoint).expanduser().is_dir()
        return (
            (str(folder.absolute()), None)
            if is_local
            else (resolved.checkpoint, self.contract.revision)
        )

    def adapter_folder(self) -> Path | None:
        """Where the adapter lies that came with the checkpoint."""
        return None if self._resolved.adapter is None else self._resolved.adapter.folder

    def save(self, folder: str | Path, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        """Writes safetensors and every layout: transformers or peft, sentence-transformers, Quarry.

        Files are written in place: let a manifest that is written afterwards say that they are
        complete.

        Args:
            folder: Made if it is missing.
            state_dict: This module's whole state, where its own parameters are sharded (FSDP).
        """
        folder = Path(folder)
        written = self.save_modules(folder, state_dict)
        write_files(folder, {**written.files, **self.root_files(written.modules)})

    def save_modules(
        self,
        folder: Path,
        state_dict: dict[str, torch.Tensor] | None = None,
        prefix: str = "",
        max_length: int | None = None,
    ) -> Pipeline:
        """Writes weights and tokenizer; what it returns is yet to be written.

        Args:
            prefix: Put before the names of the modules' folders: see layout_write.pipeline.
            max_length: Most tokens, for sentence-transformers; default: each side's own.
        """
        head = [described(module) for module in self.after_pooling]
        written = pipeline(self._resolved, self.contract, head, prefix, max_length)
        places = [folder / place for _, place in written.modules]
        places[0].mkdir(parents=True, exist_ok=True)
        self.transformer.save_pretrained(places[0], state_dict=part_of(state_dict, "transformer."))  # type: ignore[operator]
        self.tokenizer.save_pretrained(places[0])
        if type(self) is not Encoder:
            whole = self.state_dict() if state_dict is None else state_dict
            save_own_state(places[0] / OWN_STATE, whole, self.held)
        for number, module in enumerate(self.after_pooling):
            state = part_of(state_dict, f"after_pooling.{number}.")
            save_weights(places[number + 2], module, state)
        return written

    def own_settings(self) -> dict[str, Any]:
        """What the queries' encoder has in quarry_encoder.json beside that of the passages."""
        return {"appendEos": self._resolved.append_eos, "pooling": self.contract.pooling}

    def root_files(self, modules: list[tuple[str, str]]) -> dict[str, Any]:
        """The files at the top of a checkpoint with these modules."""
        return root_files(modules, self._resolved, self.contract)
