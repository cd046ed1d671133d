"""When a process gives up: after 3 s of lost connection, 30 s of silence, 30 s without an answer."""

from __future__ import annotations

from quarry_runtime.patience import Patience


def pass_time(patience: Patience, start: float, seconds: float) -> tuple[str | None, float]:
    """Ticks every second; the reason and the moment of giving up."""
    for second in range(1, int(seconds) + 1):
        reason = patience.tick(start + second)
        if reason is not None:
            return reason, second
    return None, seconds


def test_nobody_answers_within_30_seconds() -> None:
    assert pass_time(Patience(True, 0), 0, 60) == ("nobody answered", 31)


def test_a_connection_that_stays_lost_for_3_seconds() -> None:
    patience = Patience(False, 0)
    patience.connected()
    patience.lost()
    assert pass_time(patience, 0, 60) == ("the orchestrator is gone", 4)


def test_a_connection_that_comes_back_in_time() -> None:
    patience = Patience(False, 0)
    patience.connected()
    patience.lost()
    assert pass_time(patience, 0, 2)[0] is None
    patience.lost()  # a try that failed does not begin the time anew
    assert pass_time(patience, 2, 1)[0] is None
    patience.connected()
    assert pass_time(patience, 3, 100)[0] is None


def test_only_a_network_falls_silent() -> None:
    remote, local = Patience(True, 0), Patience(False, 0)
    for patience in (remote, local):
        patience.connected()
    assert pass_time(remote, 0, 29)[0] is None
    remote.heard()
    assert pass_time(remote, 29, 100) == ("the orchestrator was silent for 30 s", 31)
    assert pass_time(local, 0, 100)[0] is None


def test_a_process_that_was_stopped_has_not_listened() -> None:
    patience = Patience(True, 0)
    patience.connected()
    assert patience.tick(3600) is None
