"""Encoders of their own for queries and passages, as sentence-transformers' Router lays them out."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from quarry_runtime.errors import ConfigError
from quarry_runtime.guard.locate import ROUTER_FILE, optional_json, read_json, read_router
from quarry_runtime.modeling.layout import QUARRY_FILE, Modules, read_pipeline

_ROUTER = "sentence_transformers.base.modules.router.Router"
_PACKAGE = "sentence_transformers.models"


@dataclasses.dataclass(frozen=True)
class Towers:
    """Both pipelines, and where their transformers lie in the checkpoint."""

    query: Modules
    query_transformer: str
    passage: Modules
    passage_transformer: str

    @property
    def is_shared(self) -> bool:
        """Whether both routes lead through the very same modules."""
        is_same = self.query_transformer == self.passage_transformer
        return is_same and self.query == self.passage


def read_towers(folder: Path) -> Towers | None:
    """Reads router_config.json; None for a checkpoint whose sides share one encoder.

    Raises:
        ConfigError: other routes than query and document, or modules that Quarry cannot follow.
    """
    router = read_router(folder)
    if router is None:
        return None
    structure, types = router.get("structure", {}), router.get("types", {})
    if sorted(structure) != ["document", "query"]:
        raise ConfigError(
            f"{folder / ROUTER_FILE} routes to {', '.join(map(str, structure)) or 'nothing'}.",
            hint="Quarry follows a Router with the routes query and document.",
        )
    modules = read_json(folder / "modules.json")
    after = [(str(module["type"]), str(module.get("path", ""))) for module in modules[1:]]
    own = optional_json(folder / QUARRY_FILE)
    general = optional_json(folder / "config_sentence_transformers.json")

    def side(name: str) -> Modules:
        listed = [(str(types.get(each)), str(each)) for each in structure[name]]
        return read_pipeline(folder, [*listed, *after], {**own, **own.get(name, {})}, general)

    return Towers(
        query=side("query"),
        query_transformer=str(structure["query"][0]),
        passage=side("document"),
        passage_transformer=str(structure["document"][0]),
    )


def router_files(query: list[tuple[str, str]], passage: list[tuple[str, str]]) -> dict[str, Any]:
    """modules.json and router_config.json of two pipelines, each of kinds and folders."""
    routes = {"query": query, "document": passage}
    return {
        "modules.json": [{"idx": 0, "name": "0", "path": "", "type": _ROUTER}],
        ROUTER_FILE: {
            "types": {
                place: f"{_PACKAGE}.{kind}"
                for modules in routes.values()
                for kind, place in modules
            },
            "structure": {
                route: [place for _, place in modules] for route, modules in routes.items()
            },
            "parameters": {
                "default_route": "document",
                "allow_empty_key": True,
                "route_mappings": {},
            },
        },
    }
