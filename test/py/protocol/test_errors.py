"""Errors travel with their kind, hint and rows, whatever an exception's text holds."""

from __future__ import annotations

import msgspec
import pytest
import torch

from quarry_runtime.errors import (
    ConfigError,
    DataError,
    EnvironmentFault,
    IntegrityError,
    Interrupted,
    ProtocolError,
    QuarryError,
    WorkerFault,
    in_a_line,
    to_info,
)
from quarry_runtime.protocol.codec import decode_up, encode
from quarry_runtime.protocol.messages import Fatal


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (QuarryError, "INTERNAL"),
        (ConfigError, "CONFIG"),
        (DataError, "DATA"),
        (EnvironmentFault, "ENVIRONMENT"),
        (WorkerFault, "WORKER"),
        (IntegrityError, "INTEGRITY"),
        (ProtocolError, "PROTOCOL"),
        (Interrupted, "INTERRUPTED"),
    ],
)
def test_each_kind_has_its_code(kind: type[QuarryError], code: str) -> None:
    error = kind("no such file", hint="look again", is_retryable=True, rows=[3, 1])
    assert msgspec.to_builtins(to_info(error)) == {
        "code": code,
        "message": "no such file",
        "hint": "look again",
        "isRetryable": True,
        "rows": [3, 1],
    }


def test_of_what_a_library_says_the_first_line_is_told() -> None:
    assert in_a_line(ValueError("\n no such layer\nTraceback: …")) == "ValueError: no such layer"
    assert in_a_line(TimeoutError()) == "TimeoutError"


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(h)`"),
            True,
        ),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("could not execute a primitive"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("unable to mmap 96 bytes from file <x>: Cannot allocate memory (12)"), True),
        (RuntimeError("could not create a primitive descriptor for a matmul primitive"), False),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_did_not_fit_into_memory_may_be_retried(error: Exception, is_memory: bool) -> None:
    told = to_info(error)
    assert (told.code, told.is_retryable) == (
        ("WORKER", True) if is_memory else ("INTERNAL", False)
    )
    assert ("smaller" in (told.hint or "")) is is_memory


def test_threads_that_the_system_refuses_are_the_environments_fault() -> None:
    told = to_info(RuntimeError("can't start new thread"))
    assert (told.code, told.is_retryable) == ("ENVIRONMENT", False)
    assert "ulimit -u" in (told.hint or "")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("\ud800 and " + "x" * 200_000),
        MemoryError(),
        KeyboardInterrupt(),
        DataError("rows", rows=range(50_000)),
    ],
)
def test_any_exception_fits_into_a_message(error: BaseException) -> None:
    message, _ = decode_up(encode(Fatal(error=to_info(error), query_rows=[], passage_rows=[])))
    assert isinstance(message, Fatal)
    assert message.error.message
