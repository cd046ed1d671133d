"""When a process gives up on its orchestrator; pure, the time is handed in."""

from __future__ import annotations

#: The socket reconnects by itself; an orchestrator that does not come back within this time is gone.
#: Whatever is left of a run ends within 5 s of it, and a process takes a while to end.
RECONNECT_SECONDS = 3.0
#: Over a network a dead host says nothing: neither a word nor the end of a connection.
SILENCE_SECONDS = 30.0
FIRST_CONTACT_SECONDS = 30.0
# A process that was stopped has not listened meanwhile: at most so much of a pause counts.
_MAX_PAUSE_SECONDS = 2.0


class Patience:
    """Counts time while this process was able to listen.

    Args:
        is_remote: Whether silence counts; on one machine the end of a process is never silent.
    """

    def __init__(self, is_remote: bool, now: float) -> None:
        self._is_remote = is_remote
        self._at = now
        self._listened = 0.0
        self._heard = 0.0
        self._lost: float | None = 0.0
        self.has_contact = False

    @property
    def is_connected(self) -> bool:
        return self._lost is None

    def connected(self) -> None:
        self.has_contact = True
        self._lost = None
        self._heard = self._listened

    def lost(self) -> None:
        """The connection broke; told again before it is back, it changes nothing."""
        if self.has_contact and self._lost is None:
            self._lost = self._listened

    def heard(self) -> None:
        self._heard = self._listened

    def tick(self, now: float) -> str | None:
        """Lets time pass; the reason to give up, or None. Call it at least every other second."""
        self._listened += min(max(0.0, now - self._at), _MAX_PAUSE_SECONDS)
        self._at = now
        if not self.has_contact:
            waited = self._listened
            return "nobody answered" if waited > FIRST_CONTACT_SECONDS else None
        if self._lost is not None:
            away = self._listened - self._lost
            return "the orchestrator is gone" if away > RECONNECT_SECONDS else None
        if self._is_remote and self._listened - self._heard > SILENCE_SECONDS:
            return f"the orchestrator was silent for {SILENCE_SECONDS:.0f} s"
        return None
