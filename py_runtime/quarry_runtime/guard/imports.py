"""Makes the import of transformers shorter by what it does twice, and by what no text model needs.

Seconds count before the first sample. Of the 5.9 s of CPU in which a worker is made ready to fork (a Zen 1),
transformers 5.23 takes 0.55 for reading its 2,500 model files a second time, and 0.5 for scipy.optimize,
which a loss of object detection wants. Where a version of transformers does either otherwise, nothing is changed.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, cast


def shorten_imports() -> None:
    """From now on transformers is imported in less time; does nothing where it has been already."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _list_models_once(execute: Callable[[ModuleType], None], module: ModuleType) -> None:
    execute(module)
    name = "create_import_structure_from_path"
    # transformers keeps what it found by the path's spelling, and spells it in two ways.
    if (search := getattr(module, name, None)) is not None:
        setattr(module, name, functools.cache(search))


def _leave_scipy_for_later(execute: Callable[[ModuleType], None], module: ModuleType) -> None:
    utils = sys.modules["transformers.utils"]
    asked = getattr(utils, "is_scipy_available", lambda: False)
    if not asked():
        execute(module)
        return
    before = set(sys.modules)
    try:
        utils.__dict__["is_scipy_available"] = lambda: False
        execute(module)
    finally:
        utils.__dict__["is_scipy_available"] = asked
    for name in set(sys.modules) - before:
        if name.startswith("transformers.loss."):
            vars(sys.modules[name]).update(
                is_scipy_available=asked, linear_sum_assignment=_linear_sum_assignment
            )


def _linear_sum_assignment(*args: Any, **kwargs: Any) -> Any:
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(*args, **kwargs)


_HOOKS = {
    "transformers.utils.import_utils": _list_models_once,
    "transformers.loss.loss_utils": _leave_scipy_for_later,
}


class _Finder(importlib.abc.MetaPathFinder):
    """Finds what everybody finds, and puts a hook around the execution of two modules."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        hook = _HOOKS.get(fullname)
        if hook is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module
            loader = cast(Any, spec.loader)
            loader.exec_module = functools.partial(hook, execute)
        return spec
