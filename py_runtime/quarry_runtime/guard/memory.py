"""Running out of memory: how to tell it from other errors, and how much this process held."""

from __future__ import annotations

# As torch's allocators word it, and the libraries that take memory beside them: cuBLAS for its handles and
# work space, cuDNN for its plans.
_SIGNS = ("out of memory", "can't allocate memory", "status_alloc_failed")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that a smaller batch may fit."""
    if isinstance(error, MemoryError):
        return True
    # torch's own kinds of error are RuntimeErrors, and its CPU allocator raises a plain one.
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)


def peak_bytes() -> int:
    """The most memory this process ever held: on its GPU where it used one, else in RAM; 0 where unknown."""
    import sys

    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.max_memory_reserved() > 0:
        return int(torch.cuda.max_memory_reserved())
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as stream:
            line = next(line for line in stream if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError, StopIteration):
        return 0
