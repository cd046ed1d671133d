"""The texts that a tokenizer sees, as they come over the wire: titles joined, prompts apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from quarry_runtime.protocol.table import table_in

_EXTRAS = msgspec.json.Decoder(dict[str, Any])


@dataclasses.dataclass(frozen=True)
class Texts:
    """Rows of a table; `rows` and `ranks` are int32 [N]."""

    rows: NDArray[np.int32]
    ranks: NDArray[np.int32]
    #: Titles are joined already.
    texts: list[str]
    #: What stands before each text; an entry of None, or no list, means the model's own prompt.
    prompts: list[str | None] | None
    #: Further fields of each record, as its source's `extras` ask for them; None without any.
    extras: list[Mapping[str, Any]] | None = None


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Pairs for a cross-encoder; `rows` are the numbers of the pairs, int32 [N]."""

    rows: NDArray[np.int32]
    queries: list[str]
    #: Titles are joined already.
    passages: list[str]


def join_titles(titles: Sequence[str | None], texts: Sequence[str]) -> list[str]:
    """`title + " " + text` where there is a title, else the text, as the BEIR benchmark has it."""
    return [f"{title} {text}" if title else text for title, text in zip(titles, texts, strict=True)]


def read_arrow(frame: memoryview) -> Texts:
    """Reads an Arrow IPC stream with row:int32, idRank:int32, title:utf8, text:utf8 and perhaps
    prompt:utf8 and extras:utf8, a JSON object or null.

    Raises:
        ProtocolError: the stream is cut, or has other columns.
    """
    with table_in(frame, "texts") as table:
        # Copies, for the row numbers outlive the frame.
        rows = np.array(table.column("row").to_numpy(), dtype=np.int32)
        ranks = np.array(table.column("idRank").to_numpy(), dtype=np.int32)
        if table.column("text").null_count > 0:
            raise ValueError("a text is null")
        texts = join_titles(table.column("title").to_pylist(), table.column("text").to_pylist())
        has_prompts = "prompt" in table.column_names
        prompts = table.column("prompt").to_pylist() if has_prompts else None
        has_extras = "extras" in table.column_names
        extras = _read_extras(table.column("extras").to_pylist()) if has_extras else None
    return Texts(rows, ranks, texts, prompts, extras)


def _read_extras(written: Sequence[str | None]) -> list[Mapping[str, Any]]:
    return [{} if each is None else _EXTRAS.decode(each) for each in written]


def read_pairs(frame: memoryview) -> Pairs:
    """Reads an Arrow IPC stream with row:int32, query:utf8, title:utf8 and text:utf8.

    Raises:
        ProtocolError: the stream is cut, or has other columns.
    """
    with table_in(frame, "pairs") as table:
        rows = np.array(table.column("row").to_numpy(), dtype=np.int32)
        for name in ("query", "text"):
            if table.column(name).null_count > 0:
                raise ValueError(f"a {name} is null")
        queries = table.column("query").to_pylist()
        passages = join_titles(table.column("title").to_pylist(), table.column("text").to_pylist())
    return Pairs(rows, queries, passages)
