"""What counts as a pair: a sentence, and the function it describes without its docstrings."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from quarry_runtime.demo.pairs import Pair, first_sentence, harvest, source_files

BODY = (
    "total = sum(values)\n    count = len(values)\n    return total / count if count else fallback"
)


def tree(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), "utf-8")
    return folder


def pairs(folder: Path, source: str) -> list[Pair]:
    return harvest(tree(folder, module=source))


def function(docstring: str, name: str = "average", body: str = BODY) -> str:
    return f'def {name}(values, fallback):\n    """{docstring}"""\n    {body}\n'


def test_a_function_becomes_its_first_sentence_and_its_source(tmp_path: Path) -> None:
    text = "Return the mean of all values.\n\n    More about it.\n    "
    assert pairs(tmp_path, function(text)) == [
        Pair(
            id="module.average",
            module="module",
            query="Return the mean of all values.",
            passage=f"def average(values, fallback):\n    {BODY}",
        )
    ]


def test_methods_keep_decorators_and_lose_indentation(tmp_path: Path) -> None:
    source = '''
        class Outer:
            class Inner:
                @property
                @cached(
                    size=3)
                async def value(self):
                    """Compute the value that everybody wants.

                    Slowly.
                    """

                    def step(x):
                        """Add one to what is given."""
                        return x + 1
                    return step(self.start) + self.a_long_name_of_an_attribute
    '''
    (pair,) = pairs(tmp_path, source)
    assert pair.id == "module.Outer.Inner.value"
    assert pair.passage == textwrap.dedent(
        """
        @property
        @cached(
            size=3)
        async def value(self):
            def step(x):
                return x + 1
            return step(self.start) + self.a_long_name_of_an_attribute
        """
    ).strip("\n")


def test_a_docstring_on_the_line_of_its_function_is_cut_out(tmp_path: Path) -> None:
    source = (
        "def f(first, second): 'Añade uno a otro número é'; "
        "return first + second + sum(i * i for i in range(10, 200)) - first * 3.14159265358979\n"
    )
    (pair,) = pairs(tmp_path, source)
    assert pair.query == "Añade uno a otro número é"
    assert pair.passage.startswith("def f(first, second): return first + second")


@pytest.mark.parametrize(
    "source",
    [
        function("Return the mean value."),  # four words
        function("average(values, fallback) -> the mean value"),
        function("message-id = local part and domain"),
        function(">>> average([1, 2, 3], 0) and so on"),
        function("Return the mean of all values.", body="pass"),
        function("Return the mean of all values.", body="raise NotImplementedError('later')"),
        function("Return the mean of all values.", body="..."),
        function("Return the mean of all values.", body="return 1"),  # too short to mean much
        function(
            "Return the mean of all values.", body=f"# return the mean of all values.\n    {BODY}"
        ),
        "def average(:\n    'Not a program of this version of Python.'\n",
    ],
)
def test_what_is_no_sentence_or_no_code_is_left_out(source: str, tmp_path: Path) -> None:
    assert pairs(tmp_path, source) == []


def test_of_equal_queries_and_of_equal_passages_the_first_stays(tmp_path: Path) -> None:
    other = BODY.replace("total", "whole")
    source = function("Return the mean of all values.")
    source += function("Return the  MEAN of all values.", body=other)
    source += function("Return something like a mean value.")
    assert [pair.id for pair in pairs(tmp_path, source)] == ["module.average"]


def test_functions_that_share_a_name_get_ids_of_their_own(tmp_path: Path) -> None:
    source = function("Return the mean of all values.")
    source += function("Return the mean of some values.", body=BODY.replace("total", "whole"))
    assert [pair.id for pair in pairs(tmp_path, source)] == ["module.average", "module.average~2"]


def test_tests_and_other_packages_are_left_out_and_the_order_is_stable(tmp_path: Path) -> None:
    names = ["b__x", "a", "test__a", "b__tests__x", "idlelib__idle_test__y", "site-packages__z"]
    found = source_files(tree(tmp_path, **dict.fromkeys(names, "")))
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["a.py", "b/x.py"]


@pytest.mark.parametrize(
    ("docstring", "sentence"),
    [
        ("Read it, e.g. twice.  Then go.", "Read it, e.g. twice."),
        ("Read a file\n    to its end.\n\nMore.", "Read a file to its end."),
        ("Is it there? Yes.", "Is it there?"),
        ("Version 3.11 of it. See PEP 8.", "Version 3.11 of it."),
        ("No full stop\n\nNext.", "No full stop"),
        ("  ", ""),
    ],
)
def test_the_first_sentence_ends_where_a_reader_would_end_it(docstring: str, sentence: str) -> None:
    assert first_sentence(docstring) == sentence
