"""A process whose memory really ends halves its batches and gives the same vectors."""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np

#: Room beyond what the process has when its model is loaded.
ROOM_BYTES = 150 << 20
#: A process of its own, because a limit on memory cannot be taken back.
SCRIPT = """
import re, resource
from pathlib import Path
import msgspec, numpy as np, torch
from quarry_runtime.handlers.encode import EncodeHandler
from quarry_runtime.handlers.units import Batch, Prepared
from quarry_runtime.modeling.contract import bare_spec
from quarry_runtime.modeling.load import load_encoder
from quarry_runtime.protocol.messages import EncodeTask

folder, room, out = {arguments!r}
torch.set_num_threads(1)
spec = msgspec.structs.replace(bare_spec(folder), dtype="float32")
encoder = load_encoder(spec, "cpu")
task = EncodeTask(model=spec, side="passage", batch_size=2048, vector_dtype="float32")
handler = EncodeHandler(task, encoder, torch.device("cpu"))

def unit(count):
    ids = [[1 + (row + at) % 20 for at in range(96)] for row in range(count)]
    rows = np.arange(count, dtype=np.int32)
    batch = Batch(rows.astype(np.int64), ids, encoder.collate(ids))
    return Prepared(rows, rows, [batch])

big = unit(2048)
handler.compute(unit(8), lambda: None)
virtual = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
if room:
    resource.setrlimit(resource.RLIMIT_AS, (virtual + room, virtual + room))
vectors = handler.compute(big, lambda: None)
peak = int(re.search(r"VmPeak:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
np.save(out, vectors)
Path(out + ".txt").write_text(f"{{peak - virtual}} {{handler._forward.too_many_tokens}}")
"""


def test_out_of_memory_halves_the_batch_and_the_vectors_are_the_same(
    start_code: Callable[[str], BaseProcess], tiny_bert: Path, tmp_path: Path
) -> None:
    def encoded(room: int, out: Path) -> tuple[np.ndarray, int, str]:
        """Vectors, the memory that they took beyond what the process had, the batch that was too big."""
        process = start_code(SCRIPT.format(arguments=(str(tiny_bert), room, str(out))))
        process.join()
        assert process.exitcode == 0
        taken, too_many = Path(f"{out}.txt").read_text().split()
        return np.load(out), int(taken), too_many

    whole, needed, none = encoded(0, tmp_path / "whole.npy")
    assert none == "None"
    assert needed > ROOM_BYTES
    halved, taken, too_many = encoded(ROOM_BYTES, tmp_path / "halved.npy")
    assert taken <= ROOM_BYTES
    # At most three halvings: 2,048 texts of 96 tokens, 1,024, 512.
    assert int(too_many) >= 512 * 96
    np.testing.assert_allclose(halved, whole, atol=1e-5)


#: Without any room left, oneDNN cannot write code for a new shape while small tensors still find a place.
FULL = """
import resource
from pathlib import Path
import torch
from quarry_runtime.errors import is_out_of_memory

torch.set_num_threads(1)
texts = torch.randn(300, 64)
kept = [torch.empty(1000) for _ in range(2000)]
del kept[::2]
virtual = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
before = resource.getrlimit(resource.RLIMIT_AS)
full = virtual, before[1]
errors = []
for count in range(1, 300):
    resource.setrlimit(resource.RLIMIT_AS, full)
    try:
        torch.nn.functional.gelu(texts[:count])
    except Exception as error:
        # What Python keeps takes memory, too.
        resource.setrlimit(resource.RLIMIT_AS, before)
        errors.append(error)
resource.setrlimit(resource.RLIMIT_AS, before)
assert errors
assert not [error for error in errors if not is_out_of_memory(error)]
"""


def test_whatever_ends_for_want_of_memory_is_known_as_that(
    start_code: Callable[[str], BaseProcess],
) -> None:
    process = start_code(FULL)
    process.join()
    assert process.exitcode == 0
