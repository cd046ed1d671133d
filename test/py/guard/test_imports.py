"""transformers and peft are imported in less time, torchrun meets in less, and all are the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

RUNTIME = str(Path(__file__).parents[3] / "py_runtime")
LOOK = """
import json, os, sys
from quarry_runtime.guard.imports import shorten_imports
shorten_imports()
shorten_imports()
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
import transformers, transformers.models
import transformers.modeling_utils
import peft
hasBitsandbytes = "bitsandbytes" in sys.modules
readings = sum(path.endswith(os.sep + "modeling_bert.py") for path in opened)
hasScipy = "scipy.optimize" in sys.modules
from transformers.loss import loss_for_object_detection as losses
rows, columns = losses.linear_sum_assignment([[4, 1, 3], [2, 0, 5], [3, 2, 2]])
from transformers.utils import import_utils
search = import_utils.create_import_structure_from_path
found = search(os.path.dirname(transformers.models.__file__))
import_utils.create_import_structure_from_path = search.__wrapped__
from torch.distributed.elastic.rendezvous import dynamic_rendezvous
def join():
    return record()
def record():
    return dynamic_rendezvous.get_method_name()
from torch.distributed.elastic.agent.server import api
def fail(name):
    raise UnicodeError("label too long")
import socket
socket.getfqdn, socket.gethostname = fail, lambda: "h" * 64
# Bound before; what counts is that nobody asks for the full name.
host = api._get_fq_hostname()
# Whoever walks through modules for a name fails.
dynamic_rendezvous.inspect = None
print(json.dumps({
    "recorded": join(),
    "isHost": bool(host),
    "readings": readings,
    "isSame": found == search.__wrapped__(os.path.dirname(transformers.models.__file__)),
    "hasBert": issubclass(transformers.BertModel, transformers.PreTrainedModel),
    "hasScipy": hasScipy,
    "hasBitsandbytes": hasBitsandbytes,
    "dequantizes": callable(peft.helpers.bnb.functional.dequantize_4bit),
    "assigned": [int(column) for column in columns],
    "saysScipy": losses.is_scipy_available(),
}))
"""


def test_models_are_listed_once_and_what_few_models_need_waits_until_it_is_used() -> None:
    environment = {**os.environ, "PYTHONPATH": RUNTIME}
    command = [sys.executable, "-c", LOOK]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "recorded": "join",
        "isHost": True,
        "readings": 1,
        "isSame": True,
        "hasBert": True,
        "hasScipy": False,
        "hasBitsandbytes": False,
        "dequantizes": True,
        "assigned": [1, 0, 2],
        "saysScipy": True,
    }


def test_a_torch_that_cannot_be_imported_says_why_each_time_it_is_asked_for(tmp_path: Path) -> None:
    package = tmp_path / "torch"
    package.mkdir()
    # As torch does with TORCH_LOGS=nonsense: the second import fails of what the first one left.
    (package / "__init__.py").write_text(
        "import sys\n"
        "seen = sys.__dict__.setdefault('seen', [])\n"
        "seen.append(1)\n"
        "raise ValueError('\\nInvalid log settings: nonsense\\nValid: all') if len(seen) == 1 "
        "else RuntimeError('registered twice')\n"
    )
    script = """
from quarry_runtime.guard.imports import shorten_imports
from quarry_runtime.errors import to_info
shorten_imports()
for _ in range(2):
    try:
        import torch
    except Exception as error:
        print(to_info(error).code, to_info(error).message, to_info(error).hint)
"""
    path = os.pathsep.join([str(tmp_path), RUNTIME])
    environment = {**os.environ, "PYTHONPATH": path, "TORCH_LOGS": "nonsense"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    one, other = done.stdout.splitlines()
    assert one == other
    assert one.startswith(
        "ENVIRONMENT torch cannot be imported: ValueError: Invalid log settings: nonsense Unset "
    )
    assert "TORCH_LOGS" in one
