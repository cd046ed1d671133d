"""Runs a user's Python files, and finds the line of one behind an error."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType

from quarry_runtime import errors
from quarry_runtime.errors import ConfigError, EnvironmentFault, QuarryError
from quarry_runtime.protocol.messages import PluginFile

#: What `origin_of` says outside of plugins.
BUILT_IN = "built-in"

#: Files that were run, as tracebacks name them, each with the SHA-256 of what was run.
_files: dict[str, str] = {}
#: The plugin that is running its first lines, innermost last.
_running: list[str] = []


def load_plugins(plugins: Sequence[str | PluginFile]) -> None:
    """Runs a user's Python files, each once, so that what they register is found by name.

    A plugin is one file: what it imports must be installed, and is not part of a model's
    fingerprint.

    Args:
        plugins: Paths; or files of a run, which must hold what the run began with: it may have been
            edited since, or be another one on this machine.

    Raises:
        EnvironmentFault: a file that is not there.
        ConfigError: a file of another content, or that raises when it runs; its line is in the
            message.
    """
    for plugin in plugins:
        path, wanted = (plugin, None) if isinstance(plugin, str) else (plugin.path, plugin.sha256)
        file = Path(path).resolve()
        name = f"quarry_plugin_{file.stem}_{abs(hash(str(file))):x}"
        if name not in sys.modules:
            _run(path, file, name, wanted)
        elif wanted not in (None, _files[str(file)]):
            raise _another(path)


def _run(path: str, file: Path, name: str, wanted: str | None) -> None:
    if not file.is_file():
        raise EnvironmentFault(f"Plugin {path} is not a file.", hint="Correct `plugins`.")
    if file.suffix != ".py":
        raise ConfigError(f"Plugin {path} is not a Python file.", hint="Name a .py file.")
    code = file.read_bytes()
    found = hashlib.sha256(code).hexdigest()
    if wanted not in (None, found):
        raise _another(path)
    spec = importlib.util.spec_from_file_location(name, file, loader=_Given(name, str(file), code))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    _files[str(file)] = found
    _running.append(str(file))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise _failure(error, f"Plugin {path}") from error
    finally:
        _running.pop()


class _Given(SourceFileLoader):
    """Runs the very bytes whose hash was compared: neither a later edit, nor what was compiled once."""

    def __init__(self, name: str, path: str, code: bytes) -> None:
        super().__init__(name, path)
        self._code = code

    def get_code(self, fullname: str) -> CodeType:
        del fullname
        return self.source_to_code(self._code, self.path)


def _another(path: str) -> ConfigError:
    return ConfigError(
        f"The plugin {path} on {os.uname().nodename} is not the one that this run began with.",
        hint="Put the file back as it was, on every machine that takes part.",
    )


def origin_of(factory: object) -> str:
    """Where a component that is registered at this moment comes from: a file, or BUILT_IN."""
    # A plugin may be the first to import a module of Quarry's, which then registers its own.
    is_ours = (getattr(factory, "__module__", None) or "").startswith("quarry_runtime.")
    return _running[-1] if _running and not is_ours else BUILT_IN


def place_of(error: BaseException) -> str | None:
    """`file:line` of the innermost line of a plugin that an error went through; None without any."""
    if isinstance(error, SyntaxError) and error.filename in _files:
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if frame.filename in _files]
    return f"{inside[-1].filename}:{inside[-1].lineno}" if inside else None


def explained(error: BaseException) -> QuarryError | None:
    """An error that a plugin's code let through, as one of the user's; None where it did not."""
    place = place_of(error)
    if place is None or isinstance(error, QuarryError | MemoryError | KeyboardInterrupt):
        return None
    return ConfigError(
        f"Plugin {place}: {_said(error)}", hint="Mend the plugin; --debug shows the trace."
    )


def _failure(error: Exception, plugin: str) -> ConfigError:
    place = place_of(error)
    named = plugin if place is None else f"Plugin {place}"
    if isinstance(error, QuarryError):
        return ConfigError(f"{named}: {error.message}", hint=error.hint)
    hint = None
    if isinstance(error, ModuleNotFoundError):
        hint = f"A plugin is one file: put the code into it, or install {error.name}."
    return ConfigError(f"{named}: {_said(error)}", hint=hint)


def _said(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {text}"


# Errors that nobody else explains travel as what the plugin did wrong, not as a fault of Quarry.
errors.explain_with(explained)
