"""Keeps worker processes running: starts them, starts a dead one again, ends all of them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence

from quarry_runtime.errors import EXIT_STATUS
from quarry_runtime.life import Ending, Life, Starter
from quarry_runtime.places import Place

#: How often a worker is started again without one life of this length in between.
_RESTARTS = 3
_LONG_LIFE_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 1.0
# Slurm signals a whole step, and whoever started this process passes the same signal on.
_SAME_SIGNAL_SECONDS = 1.0
#: Worth another try: a crash, a signal, a fault that another process may not meet.
_RETRIED = {EXIT_STATUS["INTERNAL"], EXIT_STATUS["WORKER"]}
_STOPPED = {signal.SIGHUP: 129, signal.SIGINT: 130, signal.SIGTERM: 143}


@dataclasses.dataclass
class _Seat:
    place: Place
    life: Life | None = None
    started: float = 0.0
    restarts: int = 0
    #: When it is started again; None for never.
    due: float | None = 0.0
    status: int = 0


class Supervisor:
    """Runs one process for each place until all have ended for good.

    The first SIGTERM, SIGINT or SIGHUP is passed on as SIGTERM, upon which a worker finishes what
    it has in hand; the second one kills.

    Args:
        starter: How they are started.
        argv: Gives a place's arguments.
        places: The workers.
    """

    def __init__(
        self, starter: Starter, argv: Callable[[Place], Sequence[str]], places: Sequence[Place]
    ) -> None:
        self._starter = starter
        self._argv = argv
        self._seats = [_Seat(place) for place in places]
        self._signals: list[int] = []
        self._stopped_by: int | None = None
        self._stopped_at = 0.0

    def run(self) -> int:
        """Call it in the main thread.

        Returns:
            128 + the signal's number after a signal, else the first bad status of a worker, or 0.
        """
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(wake_write, False)
        for number in _STOPPED:
            signal.signal(number, lambda seen, _: self._signals.append(seen))
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        while True:
            self._take_signals()
            self._bury()
            self._start_due()
            if all(seat.life is None and seat.due is None for seat in self._seats):
                break
            select.select([wake_read, *self._starter.sources()], [], [], self._seconds_to_next())
            with contextlib.suppress(BlockingIOError):
                os.read(wake_read, 4096)
        self._starter.close()
        if self._stopped_by is not None:
            return _STOPPED[signal.Signals(self._stopped_by)]
        return next((seat.status for seat in self._seats if seat.status != 0), 0)

    def _take_signals(self) -> None:
        while self._signals:
            number = self._signals.pop(0)
            now = time.monotonic()
            if self._stopped_by is None:
                self._stopped_by, self._stopped_at = number, now
                self._say(f"{signal.Signals(number).name}: leaving when the work in hand is done")
                for seat in self._seats:
                    seat.due = None
                    if seat.life is not None:
                        seat.life.ask()
            elif number == signal.SIGINT or now - self._stopped_at > _SAME_SIGNAL_SECONDS:
                self._starter.close()

    def _bury(self) -> None:
        self._starter.hear()
        for seat in self._seats:
            if seat.life is not None and seat.life.ending is not None:
                ending, seat.life = seat.life.ending, None
                self._judge(seat, ending)

    def _judge(self, seat: _Seat, ending: Ending) -> None:
        """Decides whether a worker that ended is started again."""
        status, how = ending.status, ending.how
        seat.status = status if status >= 0 else EXIT_STATUS["WORKER"]
        if self._stopped_by is not None or not (status < 0 or status in _RETRIED):
            return
        now = time.monotonic()
        if now - seat.started > _LONG_LIFE_SECONDS:
            seat.restarts = 0
        if seat.restarts == _RESTARTS:
            self._say(f"worker {seat.place.index} {how}; it is not started again")
            return
        seat.due = now + _FIRST_PAUSE_SECONDS * 2**seat.restarts
        seat.restarts += 1
        self._say(f"worker {seat.place.index} {how}; start {seat.restarts} of {_RESTARTS} follows")

    def _start_due(self) -> None:
        for seat in self._seats:
            if seat.life is None and seat.due is not None and seat.due <= time.monotonic():
                seat.due, seat.started = None, time.monotonic()
                seat.life = self._starter.start(self._argv(seat.place))

    def _seconds_to_next(self) -> float | None:
        if any(seat.life is not None and seat.life.ending is not None for seat in self._seats):
            return 0.0  # one that could not be started: nothing else will tell
        due = [seat.due for seat in self._seats if seat.due is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _say(self, text: str) -> None:
        print(f"quarry join: {text}", file=sys.stderr, flush=True)
