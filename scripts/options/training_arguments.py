"""Prints the fields of the installed transformers' TrainingArguments, and its schedules, as JSON.

The source is read, not run: importing transformers takes ten seconds, parsing a few files none.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import json
from pathlib import Path

#: What transformers itself gives a schedule.
_GIVEN = ("optimizer", "num_warmup_steps", "num_training_steps", "last_epoch")


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
    schedules = _schedules(
        ast.parse((folder / "optimization.py").read_text("utf8")), enums["SchedulerType"]
    )
    version = importlib.metadata.version("transformers")
    print(json.dumps({"version": version, "fields": fields, "schedules": schedules}))


def _field(
    node: ast.AnnAssign, enums: dict[str, dict[str, str]], tables: dict[str, list[str]]
) -> dict[str, object]:
    assert isinstance(node.target, ast.Name)
    types = [ast.unparse(member) for member in _members(node.annotation)]
    choices = [value for name in types for value in enums.get(name, {}).values()]
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


def _schedules(tree: ast.Module, types: dict[str, str]) -> dict[str, list[str]]:
    """The keywords that are each schedule's own."""
    functions = {node.name: node.args for node in tree.body if isinstance(node, ast.FunctionDef)}
    table = _dictionary(tree, "TYPE_TO_SCHEDULER_FUNCTION")
    own: dict[str, list[str]] = {}
    for key, function in zip(table.keys, table.values, strict=True):
        assert isinstance(key, ast.Attribute)
        taken = functions[ast.unparse(function)]
        names = [argument.arg for argument in [*taken.args, *taken.kwonlyargs]]
        own[types[key.attr]] = [name for name in names if name not in _GIVEN]
    return own


def _keys(tree: ast.Module, table: str) -> list[str]:
    """The keys of a dictionary that a module writes down."""
    return [ast.literal_eval(key) for key in _dictionary(tree, table).keys if key is not None]


def _dictionary(tree: ast.Module, name: str) -> ast.Dict:
    (found,) = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
    ]
    assert isinstance(found, ast.Dict)
    return found


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


def _enums(tree: ast.Module) -> dict[str, dict[str, str]]:
    """Names and values of each enumeration's members."""
    return {
        node.name: {
            ast.unparse(member.targets[0]): ast.literal_eval(member.value)
            for member in node.body
            if isinstance(member, ast.Assign)
        }
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id == "ExplicitEnum" for base in node.bases)
    }


if __name__ == "__main__":
    main()
