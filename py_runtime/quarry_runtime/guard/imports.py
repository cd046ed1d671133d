"""Makes the import of transformers shorter by what it does twice, and by what few models need; and torchrun's start.
Says why torch cannot be imported.

Seconds count before the first sample. transformers 5.23 reads its 2,500 model files twice, and imports
scipy.optimize for a loss of object detection; peft imports bitsandbytes, where it is installed, for weights
in 8 or 4 bits, and that compiles. CPU time of a Zen 1 beside other work, without and with this: 7.3 and
6.0 s until a worker can be forked, 9.7 and 7.1 s for a rank. torchrun's agent looks for the module of each
frame below it, among the thousands that are imported, to name events that nobody listens to: 0.5 of the
0.6 s that it takes for a short training. What a version of these packages does otherwise is left as it is.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import importlib.util
import os
import socket
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, cast


def shorten_imports() -> None:
    """From now on transformers is imported in less time; does nothing where it has been already."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _tell_why_not(execute: Callable[[ModuleType], None], module: ModuleType) -> None:
    """Whoever asks for torch again is told the first reason, as of TORCH_LOGS=nonsense: torch leaves half
    of itself behind, and a second import fails of that, with words of its own.
    """
    if _TORCH_FAILED:
        raise _TORCH_FAILED[0]
    try:
        execute(module)
    except ModuleNotFoundError:
        raise
    except Exception as error:
        from quarry_runtime.errors import EnvironmentFault

        said = next((line for line in str(error).splitlines() if line.strip()), "")
        named = sorted(name for name in os.environ if name.startswith("TORCH_"))
        hint = (
            f"Unset {' and '.join(named)}, or give what torch knows."
            if named
            else f"It lies at {module.__file__}: if that is not torch, take it off PYTHONPATH;"
            " else delete the environment and run `npx quarry setup`."
        )
        fault = EnvironmentFault(
            f"torch cannot be imported: {type(error).__name__}: {said}", hint=hint
        )
        _TORCH_FAILED.append(fault)
        raise fault from error


_TORCH_FAILED: list[Exception] = []


def _list_models_once(execute: Callable[[ModuleType], None], module: ModuleType) -> None:
    execute(module)
    name = "create_import_structure_from_path"
    # transformers keeps what it found by the path's spelling, and spells it in two ways.
    if (search := getattr(module, name, None)) is not None:
        setattr(module, name, functools.cache(search))


def _name_methods_by_their_frames(
    execute: Callable[[ModuleType], None], module: ModuleType
) -> None:
    execute(module)
    if hasattr(module, "get_method_name"):
        vars(module)["get_method_name"] = _method_name


def _method_name(depth: int = 2) -> str:
    return sys._getframe(depth).f_code.co_name


def _ask_nobody_for_the_host(execute: Callable[[ModuleType], None], module: ModuleType) -> None:
    execute(module)
    # For the same events. It fails where the name has 64 characters, of which Linux and not DNS allows
    # so many, and waits for a name server that does not answer.
    if hasattr(module, "_get_fq_hostname"):
        vars(module)["_get_fq_hostname"] = socket.gethostname


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


def _leave_bitsandbytes_for_later(
    execute: Callable[[ModuleType], None], module: ModuleType
) -> None:
    name = "bitsandbytes"
    if name in sys.modules or (spec := importlib.util.find_spec(name)) is None:
        execute(module)
        return
    later = _Later(name)
    later.__spec__ = spec
    sys.modules[name] = later
    try:
        execute(module)
    finally:
        # Only this module keeps it: whoever else asks gets the real one, and its errors.
        del sys.modules[name]


class _Later(ModuleType):
    """Stands for a module until something is looked up in it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


_HOOKS = {
    "torch": _tell_why_not,
    "peft.helpers": _leave_bitsandbytes_for_later,
    "torch.distributed.elastic.agent.server.api": _ask_nobody_for_the_host,
    "torch.distributed.elastic.rendezvous.dynamic_rendezvous": _name_methods_by_their_frames,
    "transformers.utils.import_utils": _list_models_once,
    "transformers.loss.loss_utils": _leave_scipy_for_later,
}


class _Finder(importlib.abc.MetaPathFinder):
    """Finds what everybody finds, and puts a hook around the execution of some modules."""

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
