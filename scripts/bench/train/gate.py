"""The clock of the training benchmark: it stands in each rival's loss, so that all are timed alike.

The time from one loss to the next is one whole step: backward, optimiser, the next batch, forward.
A rival waits at its gate until it may go on, so that rivals take turns in steps.
"""

import json
import os
import socket
import time


class Gate:
    """Connects to the socket that QUARRY_BENCH_GATE names.

    It tells the first loss and when it was there; then each order {"steps": n} is answered with the
    seconds and losses of n further steps. {"steps": -1} opens the gate for good.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(os.environ["QUARRY_BENCH_GATE"])
        self._lines = self._socket.makefile("r")
        self._left = 0
        self._is_open = False
        self._seconds: list[float] = []
        self._losses: list[float] = []
        self._began: float | None = None

    def tick(self, loss: float) -> None:
        """Called with each step's loss, once it is computed."""
        if self._is_open:
            return
        now = time.perf_counter()
        if self._began is None:
            self._tell({"at": time.time() * 1000, "loss": loss})
        else:
            self._seconds.append(now - self._began)
            self._losses.append(loss)
            self._left -= 1
            if self._left == 0:
                self._tell({"seconds": self._seconds, "losses": self._losses})
                self._seconds, self._losses = [], []
        if self._left == 0:
            self._wait()
        self._began = time.perf_counter()

    def _tell(self, answer: dict[str, object]) -> None:
        self._socket.sendall(json.dumps(answer).encode() + b"\n")

    def _wait(self) -> None:
        line = self._lines.readline()
        # Nobody measures any more: the rival may run to its end.
        steps = json.loads(line)["steps"] if line else -1
        self._is_open, self._left = steps < 0, steps
