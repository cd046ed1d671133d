"""Any nn.Module as an encoder: Quarry tokenises, pads, saves; the module turns tokens into vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn

from quarry_runtime.errors import ConfigError
from quarry_runtime.guard.locate import optional_json
from quarry_runtime.modeling.chat_tokens import make_tokens
from quarry_runtime.modeling.eos import append_eos
from quarry_runtime.modeling.formatting import Extras, format_texts
from quarry_runtime.modeling.layout import OWN_STATE, QUARRY_FILE
from quarry_runtime.modeling.layout_write import plugin_settings, write_files
from quarry_runtime.modeling.registry import Registered
from quarry_runtime.modeling.resolved import Resolved
from quarry_runtime.modeling.tokens import Side, pad
from quarry_runtime.protocol.messages import ModelContract, ModelSpec


class ModuleEncoder(nn.Module):
    """Wraps a user's module, which is made as `Module(folder, options)`.

    The module needs `forward(batch, side) -> [B, D]`, where `batch` is what `collate` gave. It may
    bring `format_query(text, extras)`, `format_passage(text, extras)`, `tokenize(texts, side,
    prompts, extras) -> {"input_ids": [...]}`, `collate(ids) -> tensors` and `save(folder)` of its
    own. D may differ from what the checkpoint says.

    Args:
        module: The user's.
        tokenizer: The checkpoint's.
        resolved: What the checkpoint and the user's wishes come to.
        contract: The same as it travels.
        name: The registered name, written into checkpoints.
    """

    def __init__(
        self,
        module: nn.Module,
        tokenizer: Any,
        resolved: Resolved,
        contract: ModelContract,
        name: str,
    ) -> None:
        super().__init__()
        self.module = module
        self.tokenizer = tokenizer
        self.contract = contract
        self.name = name
        self._resolved = resolved
        self._tokens = make_tokens(
            tokenizer,
            resolved,
            {"query": contract.query_prompt, "passage": contract.passage_prompt},
            {"query": contract.query_max_length, "passage": contract.passage_max_length},
            append_eos(tokenizer, resolved.checkpoint) if resolved.append_eos else None,
        )
        padding, end = tokenizer.pad_token_id, tokenizer.eos_token_id
        self._pad_id: int = padding if padding is not None else end if end is not None else 0

    def tokenize(
        self,
        texts: list[str],
        side: Side,
        prompts: Sequence[str | None] | None = None,
        extras: Sequence[Extras] | None = None,
    ) -> dict[str, Any]:
        """Token ids of each text under `input_ids`."""
        own: Any = getattr(self.module, "tokenize", None)
        if own is not None:
            return own(texts, side, prompts, extras)
        formatted = format_texts(self.module, texts, side, extras)
        return {"input_ids": self._tokens(formatted, side, prompts)}

    def collate(self, ids: list[list[int]]) -> dict[str, torch.Tensor]:
        """`input_ids` and `attention_mask`, int64 [B, T], or what the module's own makes."""
        own: Any = getattr(self.module, "collate", None)
        if own is not None:
            return own(ids)
        resolved, side = self._resolved, self.contract.padding_side
        return pad(ids, self._pad_id, side, resolved.pad_to_multiple_of, resolved.position_limit)

    def forward(self, batch: dict[str, torch.Tensor], side: Side = "passage") -> torch.Tensor:
        """Vectors [B, D] in float32, of length 1 if the contract says so."""
        vectors_BD = self.module(batch, side).float()
        if self.contract.normalize:
            vectors_BD = nn.functional.normalize(vectors_BD, dim=-1)
        return vectors_BD

    def save(self, folder: str | Path, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        """Writes what the module can be made from again, and what it learned; see Encoder.save."""
        from quarry_runtime.guard.own_state import save_backbone, save_own_state
        from quarry_runtime.guard.save import part_of

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        resolved = self._resolved
        own: Any = getattr(self.module, "save", None)
        if own is not None:
            own(folder)
        else:
            state = part_of(state_dict, "module.") or self.module.state_dict()
            held = save_backbone(self.module, self.tokenizer, resolved.transformer, folder, state)
            save_own_state(folder / OWN_STATE, state, held)
        # A checkpoint that only this plugin can follow must not pass for another model.
        settings = plugin_settings(self.name, resolved, self.contract)
        write_files(folder, {QUARRY_FILE: settings})


def wrap_module(
    entry: Registered, resolved: Resolved, spec: ModelSpec, dtype: str, options: Any
) -> ModuleEncoder:
    """Makes a user's module from a checkpoint's folder and what training saved beside it."""
    from quarry_runtime.guard.load import load_tokenizer
    from quarry_runtime.guard.own_state import backbone_of, load_own_state

    if resolved.query is not None or resolved.adapter is not None:
        what = "two encoders" if resolved.query is not None else "an adapter"
        raise ConfigError(
            f"{resolved.checkpoint} is {what}, and the module {entry.name} reads one whole model.",
            hint="Let the plugin be a subclass of Encoder; or merge the adapter: quarry export"
            " --merge.",
        )
    module = entry.make(resolved.transformer, options)
    if not hasattr(module, "save"):
        found = backbone_of(module)
        held = () if found is None else (f"{found[0]}." if found[0] else "",)
        load_own_state(module, resolved.path / OWN_STATE, held)
    module.to(getattr(torch, dtype))
    tokenizer = load_tokenizer(resolved.transformer, resolved.checkpoint)
    contract = resolved.contract(dtype, spec)
    count = sum(parameter.numel() for parameter in module.parameters())
    contract = msgspec.structs.replace(
        contract, architecture=type(module).__name__, parameter_count=count
    )
    return ModuleEncoder(module, tokenizer, resolved, contract, entry.name)


def refuse_other_encoder(resolved: Resolved, name: str) -> None:
    """A checkpoint that a plugin's module saved is read by that plugin alone.

    Raises:
        ConfigError: it names another encoder.
    """
    for each in [resolved] if resolved.query is None else [resolved, resolved.query]:
        written = optional_json(each.path / QUARRY_FILE).get("encoder")
        if written not in (None, name):
            raise ConfigError(
                f"{each.checkpoint} was saved by the encoder {written}, not by {name}.",
                hint=f'Set model.encoder to "{written}" and name its file in model.plugins.',
            )
