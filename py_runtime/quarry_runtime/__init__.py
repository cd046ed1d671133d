"""The Python side of Quarry: worker processes and training ranks that ask for work."""

import sys

__version__ = "0.1.0"

# `python -m` looks for modules in the working folder first: a random.py there, a user's own or that of a
# model's folder, would run in place of the standard library's. Python 3.11 and later have PYTHONSAFEPATH
# against it, which the orchestrator sets; who starts us by hand does not.
if sys.argv[:1] == ["-m"] and not getattr(sys.flags, "safe_path", False):
    del sys.path[0]
