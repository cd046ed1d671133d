"""Pairs of a sentence and the code it describes, read from a source tree; nothing of it is run."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Tests describe themselves, and third-party packages differ between machines.
_SKIPPED_FOLDERS = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}
_MIN_WORDS = 5
_MIN_CODE_CHARS = 80
_SENTENCE_END = re.compile(r"(?<!e\.g)(?<!i\.e)(?<!etc)(?<!vs)[.!?](?=\s+[^a-z\s]|$)")

_NOTATION = re.compile(r"->|=>|::=|^>>>|^[\w.]+\(.*\)|^[\w-]+ = ")

_Definition = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_Function = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Pair:
    """A question and its answer.

    Attributes:
        id: module.qualname of the function, unique in a collection.
        module: The top-level module, by which collections are split.
        query: First sentence of the function's docstring.
        passage: The function's source without any docstring.
    """

    id: str
    module: str
    query: str
    passage: str


def harvest(root: Path) -> list[Pair]:
    """All pairs of a source tree in order of path and line; of equal texts the first one stays."""
    pairs: list[Pair] = []
    ids: dict[str, int] = {}
    queries: set[str] = set()
    passages: set[str] = set()
    for path in source_files(root):
        for pair in _pairs_of(path, root):
            query, passage = _folded(pair.query), _folded(pair.passage)
            if query in queries or passage in passages or query in passage:
                continue
            queries.add(query)
            passages.add(passage)
            # A getter and its setter, or the two branches of an if, share their name.
            ids[pair.id] = ids.get(pair.id, 0) + 1
            name = pair.id if ids[pair.id] == 1 else f"{pair.id}~{ids[pair.id]}"
            pairs.append(Pair(name, pair.module, pair.query, pair.passage))
    return pairs


def source_files(root: Path) -> list[Path]:
    """The modules of a tree in a stable order, without tests and third-party packages."""
    found: list[Path] = []
    for path in root.rglob("*.py"):
        parts = path.relative_to(root).with_suffix("").parts
        is_module = all(part.isidentifier() for part in parts)
        if is_module and not _SKIPPED_FOLDERS.intersection(parts):
            found.append(path)
    return sorted(found, key=lambda path: path.relative_to(root).parts)


def first_sentence(docstring: str) -> str:
    """The first sentence of a docstring on one line."""
    paragraph = inspect.cleandoc(docstring).strip().split("\n\n")[0]
    text = " ".join(paragraph.split())
    end = _SENTENCE_END.search(text)
    return text[: end.end()] if end else text


def _pairs_of(path: Path, root: Path) -> Iterator[Pair]:
    try:
        with tokenize.open(path) as file:
            source = file.read()
        tree = ast.parse(source)
    except (SyntaxError, UnicodeDecodeError, ValueError):
        return  # sources for other versions of Python lie in some trees
    parts = path.relative_to(root).with_suffix("").parts
    module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    lines = source.encode().splitlines(keepends=True)
    for name, node in _functions(tree, ""):
        docstring = ast.get_docstring(node, clean=False)
        query = first_sentence(docstring) if docstring else ""
        if not _is_prose(query) or not _says_something(node):
            continue
        passage = _without_docstrings(lines, node)
        if len("".join(passage.split())) >= _MIN_CODE_CHARS:
            yield Pair(f"{module}.{name}", parts[0], query, passage)


def _is_prose(query: str) -> bool:
    """Whether it is a sentence, not a signature ("find(s, t) -> bool"), a grammar or an example."""
    return len(query.split()) >= _MIN_WORDS and not _NOTATION.search(query)


def _functions(
    node: ast.AST, prefix: str
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Functions and methods with qualified names; what is defined in a function belongs to it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _Function):
            yield prefix + child.name, child
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")
        elif not isinstance(child, ast.expr):
            yield from _functions(child, prefix)


def _docstring_of(node: ast.AST) -> ast.Expr | None:
    if not isinstance(node, _Definition) or not node.body:
        return None
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        return first if isinstance(first.value.value, str) else None
    return None


def _says_something(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether more is left than `pass`, `...` and `raise NotImplementedError`."""
    for statement in node.body[1:]:
        if isinstance(statement, ast.Pass):
            continue
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        if isinstance(statement, ast.Raise) and "NotImplementedError" in ast.dump(statement):
            continue
        return True
    return False


def _without_docstrings(lines: list[bytes], node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """The source of a function from its first decorator on; ast counts columns in UTF-8 bytes."""
    start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    kept = {number: lines[number - 1] for number in range(start, (node.end_lineno or start) + 1)}
    for inner in ast.walk(node):
        docstring = _docstring_of(inner)
        if docstring is None or docstring.end_lineno is None or docstring.end_col_offset is None:
            continue
        before = lines[docstring.lineno - 1][: docstring.col_offset]
        after = lines[docstring.end_lineno - 1][docstring.end_col_offset :]
        for number in range(docstring.lineno, docstring.end_lineno + 1):
            del kept[number]
        if not kept.get(docstring.end_lineno + 1, b"-").strip():
            del kept[docstring.end_lineno + 1]
        rest = after.strip().lstrip(b";").lstrip()
        if before.strip() or rest:
            kept[docstring.lineno] = before + rest + b"\n"
    code = b"".join(kept[number] for number in sorted(kept)).decode()
    return textwrap.dedent(code).strip("\n")


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()
