"""Arrow tables in binary frames."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from quarry_runtime.errors import ProtocolError


@contextlib.contextmanager
def table_in(frame: memoryview, what: str) -> Iterator[Any]:
    """The pyarrow table of an IPC stream; its columns lie in the frame's memory.

    Args:
        what: What the rows are, for the message.

    Raises:
        ProtocolError: a stream that is cut, or a column that the block misses or wants of another type.

    Example:
        with table_in(frame, "texts") as table:
            texts = table["text"].to_pylist()
    """
    import pyarrow as pa

    try:
        with pa.ipc.open_stream(pa.py_buffer(frame)) as reader:
            yield reader.read_all()
    # A stream that is cut within a batch raises OSError.
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProtocolError(f"A frame holds no table of {what}: {error}") from error
