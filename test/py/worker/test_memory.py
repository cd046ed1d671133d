"""A process whose memory really ends halves its batches and gives the same vectors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

RUNTIME = Path(__file__).parents[3] / "py_runtime"
#: Room beyond what the process has when its model is loaded.
ROOM_BYTES = 300 << 20
#: A process of its own, because a limit on memory cannot be taken back.
SCRIPT = """
import re, resource, sys
from pathlib import Path
import numpy as np, torch
from quarry_runtime.handlers.encode import EncodeHandler
from quarry_runtime.handlers.units import Batch, Prepared
from quarry_runtime.modeling.load import load_encoder
from quarry_runtime.protocol.messages import EncodeTask, ModelSpec

folder, room, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
torch.set_num_threads(1)
nothing = dict.fromkeys(("revision", "pooling", "normalize", "similarity", "query_prompt",
                         "passage_prompt", "query_max_length", "passage_max_length", "append_eos",
                         "pad_to_multiple_of", "towers", "query_checkpoint", "query_revision",
                         "adapter", "quantization"))
spec = ModelSpec(checkpoint=folder, trust_remote_code=False, encoder="auto", encoder_options={},
                 plugins=[], dtype="float32", **nothing)
encoder = load_encoder(spec, "cpu")
task = EncodeTask(model=spec, side="passage", batch_size=4096, vector_dtype="float32")
handler = EncodeHandler(task, encoder, torch.device("cpu"))

def unit(count):
    ids = [[1 + (row + at) % 20 for at in range(96)] for row in range(count)]
    rows = np.arange(count, dtype=np.int32)
    batch = Batch(rows.astype(np.int64), ids, encoder.collate(ids))
    return Prepared(rows, rows, [batch])

big = unit(4096)
handler.compute(unit(8), lambda: None)
virtual = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
if room:
    resource.setrlimit(resource.RLIMIT_AS, (virtual + room, virtual + room))
vectors = handler.compute(big, lambda: None)
peak = int(re.search(r"VmPeak:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
np.save(out, vectors)
print(peak - virtual, handler._forward.too_many_tokens)
"""


def encoded(folder: Path, room: int, out: Path) -> tuple[np.ndarray, int, str]:
    """Vectors, the memory that they took beyond what the process had, the batch that was too big."""
    environment = {**os.environ, "PYTHONPATH": str(RUNTIME)}
    command = [sys.executable, "-c", SCRIPT, str(folder), str(room), str(out)]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    taken, too_many = answer.stdout.split()
    return np.load(out), int(taken), too_many


def test_out_of_memory_halves_the_batch_and_the_vectors_are_the_same(
    tiny_bert: Path, tmp_path: Path
) -> None:
    whole, needed, none = encoded(tiny_bert, 0, tmp_path / "whole.npy")
    assert none == "None"
    assert needed > ROOM_BYTES
    halved, taken, too_many = encoded(tiny_bert, ROOM_BYTES, tmp_path / "halved.npy")
    assert taken <= ROOM_BYTES
    # At most three halvings: 4,096 texts of 96 tokens, 2,048, 1,024.
    assert int(too_many) >= 1_024 * 96
    np.testing.assert_allclose(halved, whole, atol=1e-5)
