"""The error family: the same kinds and exit statuses as src/errors.ts, and how an error travels."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterable
from typing import ClassVar, Literal

from quarry_runtime.lacking import lacking
from quarry_runtime.protocol.messages import EXIT_STATUS, ErrorInfo

__all__ = [
    "EXIT_STATUS",
    "ConfigError",
    "DataError",
    "EnvironmentFault",
    "ErrorCode",
    "IntegrityError",
    "Interrupted",
    "ProtocolError",
    "QuarryError",
    "Reconnected",
    "UnusableBatch",
    "WorkerFault",
    "explain_with",
    "in_a_line",
    "is_out_of_memory",
    "raised_at",
    "to_info",
]

ErrorCode = Literal[
    "INTERNAL",
    "CONFIG",
    "DATA",
    "ENVIRONMENT",
    "WORKER",
    "INTEGRITY",
    "PROTOCOL",
    "INTERRUPTED",
]

# What fits into one message; a library's error may quote a whole tensor.
MAX_TEXT_CHARS = 16_000
MAX_ROWS = 1_000

# As torch's allocators word it, and what takes memory beside them: cuBLAS for its handles and work space,
# cuDNN for its plans, C++ itself, the system, and oneDNN for the code that it writes for each new shape. With
# a "primitive descriptor" oneDNN means something else: an operation that it does not know.
_SIGNS = re.compile(
    "out of memory|can't allocate memory|status_alloc_failed|bad_alloc|cannot allocate memory"
    "|could not (create|execute) a primitive$",
    re.IGNORECASE | re.MULTILINE,
)


class QuarryError(Exception):
    """A failure that a user can act on.

    Attributes:
        code: The kind of failure; decides the exit status.
        message: What failed, where, and what was seen.
        hint: The command or edit that mends it.
        is_retryable: Whether doing the same work again may succeed.
        rows: Row numbers of the texts that caused it, when they are known.
    """

    default_code: ClassVar[ErrorCode] = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        is_retryable: bool = False,
        rows: Iterable[int] = (),
        code: ErrorCode | None = None,
    ) -> None:
        super().__init__(message)
        self.code: ErrorCode = self.default_code if code is None else code
        self.message = message
        self.hint = hint
        self.is_retryable = is_retryable
        self.rows = [int(row) for row in rows]


class ConfigError(QuarryError):
    """An option that cannot be followed."""

    default_code = "CONFIG"


class DataError(QuarryError):
    """A text or table that cannot be used."""

    default_code = "DATA"


class EnvironmentFault(QuarryError):
    """Something of the machine is missing or too small."""

    default_code = "ENVIRONMENT"


class WorkerFault(QuarryError):
    """A worker process could not go on; another one may."""

    default_code = "WORKER"


class UnusableBatch(WorkerFault):
    """A training step whose numbers are not finite.

    `rows` is empty unless these are the texts with broken vectors; the wire takes 100 of each.

    Attributes:
        query_rows: Rows in the training set's query numbering.
        passage_rows: Rows in its passage numbering.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str,
        query_rows: list[int],
        passage_rows: list[int],
        rows: list[int],
    ) -> None:
        super().__init__(message, hint=hint, rows=rows)
        self.query_rows = query_rows
        self.passage_rows = passage_rows


class IntegrityError(QuarryError):
    """Bytes that are not what was written."""

    default_code = "INTEGRITY"


class ProtocolError(QuarryError):
    """A message that breaks the rules of the wire."""

    default_code = "PROTOCOL"


class Interrupted(QuarryError):
    """Stopped on request."""

    default_code = "INTERRUPTED"


class Reconnected(Exception):
    """No failure: the connection was lost and is being made anew; what was in hand is others' now."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that a smaller batch may fit."""
    if isinstance(error, MemoryError):
        return True
    # torch's own kinds of error are RuntimeErrors, and its CPU allocator raises a plain one.
    return isinstance(error, RuntimeError) and _SIGNS.search(str(error)) is not None


def in_a_line(error: BaseException) -> str:
    """The kind of what a library raised, and the first line of what it says, if it says anything."""
    return ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])


def raised_at(error: BaseException) -> str:
    """` at file:line`, to stand behind what is said of an error."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""


_explainers: list[Callable[[BaseException], QuarryError | None]] = []


def explain_with(explain: Callable[[BaseException], QuarryError | None]) -> None:
    """Has exceptions that are none of ours looked at before they travel, e.g. for plugins' lines."""
    _explainers.append(explain)


def _clean(text: str) -> str:
    """What UTF-8 can carry, cut to the length that a message may have."""
    return text[:MAX_TEXT_CHARS].encode("utf-8", "replace").decode("utf-8")


def to_info(exc: BaseException) -> ErrorInfo:
    """Turns any exception into what travels; unknown ones become INTERNAL with their type's name.

    Memory, threads and interrupts keep their meaning: what did not fit into memory is WORKER and may be
    retried, a thread that the system refuses is ENVIRONMENT, KeyboardInterrupt is INTERRUPTED.
    """
    exc = next((told for explain in _explainers if (told := explain(exc)) is not None), exc)
    if isinstance(exc, QuarryError):
        return ErrorInfo(
            code=exc.code,
            message=_clean(exc.message),
            hint=None if exc.hint is None else _clean(exc.hint),
            is_retryable=exc.is_retryable,
            rows=exc.rows[:MAX_ROWS],
        )
    if (told := lacking(exc)) is not None:
        return ErrorInfo(
            code="ENVIRONMENT", message=told[0], hint=told[1], is_retryable=False, rows=[]
        )
    code: ErrorCode = "INTERNAL"
    hint = None
    if isinstance(exc, RuntimeError) and str(exc) == "can't start new thread":
        code = "ENVIRONMENT"
        hint = (
            "This user may start no more: raise `ulimit -u`, or in a container the limit of pids."
        )
    elif is_out_of_memory(exc):
        code = "WORKER"
        hint = "See what else holds the device's memory, or use a smaller batch or model."
    elif isinstance(exc, KeyboardInterrupt):
        code = "INTERRUPTED"
    return ErrorInfo(
        code=code,
        message=_clean(f"{type(exc).__name__}: {exc}"),
        hint=hint,
        is_retryable=code == "WORKER",
        rows=[],
    )
