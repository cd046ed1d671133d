"""Prints the fields of the installed transformers' TrainingArguments as JSON.

The source is read, not run: importing transformers takes ten seconds, parsing two files none.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import json
from pathlib import Path


def main() -> None:
    spec = importlib.util.find_spec("transformers")
    if spec is None or spec.origin is None:
        raise SystemExit("transformers is not installed; run npm run setup")
    folder = Path(spec.origin).parent
    tree = ast.parse((folder / "training_args.py").read_text("utf8"))
    enums = _enums(tree) | _enums(ast.parse((folder / "trainer_utils.py").read_text("utf8")))
    # What the type of a log level leaves open stands in its metadata.
    logging = ast.parse((folder / "utils" / "logging.py").read_text("utf8"))
    levels = {"trainer_log_levels": [*_keys(logging, "log_levels"), "passive"]}
    (arguments,) = [
        node
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name == "TrainingArguments"
    ]
    fields = [
        _field(node, enums, levels) for node in arguments.body if isinstance(node, ast.AnnAssign)
    ]
    print(json.dumps({"version": importlib.metadata.version("transformers"), "fields": fields}))


def _field(
    node: ast.AnnAssign, enums: dict[str, list[str]], tables: dict[str, list[str]]
) -> dict[str, object]:
    assert isinstance(node.target, ast.Name)
    types = [ast.unparse(member) for member in _members(node.annotation)]
    choices = [value for name in types for value in enums.get(name, [])]
    written = "" if node.value is None else ast.unparse(node.value)
    choices += [
        key for table, keys in tables.items() if f"{table}.keys()" in written for key in keys
    ]
    return {
        "name": node.target.id,
        "types": [name for name in types if name not in enums and name != "None"],
        "choices": choices,
        "default": _default(node.value),
    }


def _keys(tree: ast.Module, table: str) -> list[str]:
    """The keys of a dictionary that a module writes down."""
    (found,) = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == table
    ]
    assert isinstance(found, ast.Dict)
    return [ast.literal_eval(key) for key in found.keys if key is not None]


def _members(annotation: ast.expr) -> list[ast.expr]:
    if isinstance(annotation, ast.BinOp):
        return [*_members(annotation.left), *_members(annotation.right)]
    return [annotation]


def _default(value: ast.expr | None) -> object:
    """The literal default; None also where it is computed."""
    keywords = value.keywords if isinstance(value, ast.Call) else []
    for keyword in keywords:
        if keyword.arg == "default":
            try:
                return ast.literal_eval(keyword.value)
            except ValueError:
                return None
    return None


def _enums(tree: ast.Module) -> dict[str, list[str]]:
    return {
        node.name: [
            ast.literal_eval(member.value) for member in node.body if isinstance(member, ast.Assign)
        ]
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id == "ExplicitEnum" for base in node.bases)
    }


if __name__ == "__main__":
    main()
