"""The connection over a network: CURVE, a new hello after a loss, and what of before is void."""

from __future__ import annotations

import dataclasses
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from zmq.auth.thread import ThreadAuthenticator

from quarry_runtime.connection import Connection
from quarry_runtime.errors import ConfigError, EnvironmentFault, Reconnected
from quarry_runtime.protocol.codec import decode_up, encode
from quarry_runtime.protocol.messages import (
    Bye,
    Drain,
    Heartbeat,
    Hello,
    Leave,
    Ping,
    Welcome,
)
from quarry_runtime.ticket import Keys, Ticket

RUNTIME = Path(__file__).parents[3] / "py_runtime"


class Orchestrator:
    """A ROUTER with CURVE that knows one client's key."""

    def __init__(self) -> None:
        self.public, self.secret = zmq.curve_keypair()
        self.client_public, self.client_secret = zmq.curve_keypair()
        self.context: zmq.Context[Any] = zmq.Context()
        self.authenticator = ThreadAuthenticator(self.context)
        self.authenticator.start()
        known = {self.client_public}

        class Known:
            def callback(self, domain: str, key: bytes) -> bool:
                del domain
                return key in known

        self.authenticator.configure_curve_callback(credentials_provider=Known())
        self.port = 0
        self.open()

    def open(self) -> None:
        self.socket = self.context.socket(zmq.ROUTER)
        self.socket.curve_server = True
        self.socket.curve_secretkey = self.secret
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RCVTIMEO, 100_000)
        if self.port == 0:
            # Above those that the system gives to outgoing connections: whoever connects again and again
            # while nobody listens would meet itself there, and nobody could listen any more.
            self.port = self.socket.bind_to_random_port("tcp://127.0.0.1", min_port=61_000)
            return
        # libzmq closes the old listener in its own time.
        end = time.monotonic() + 60
        while True:
            try:
                self.socket.bind(f"tcp://127.0.0.1:{self.port}")
                return
            except zmq.ZMQError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def ticket(self, **changed: bytes) -> Ticket:
        keys = {
            "server": self.public,
            "public": self.client_public,
            "secret": self.client_secret,
            **changed,
        }
        texts = {name: value.decode() for name, value in keys.items()}
        return Ticket(f"tcp://127.0.0.1:{self.port}", "a-token", Keys(**texts))

    def next(self, *, beats: bool = False) -> tuple[bytes, Any]:
        while True:
            peer, *parts = self.socket.recv_multipart()
            message, _ = decode_up(parts)
            if beats or not isinstance(message, Heartbeat):
                return peer, message

    def send(self, peer: bytes, message: Any) -> None:
        self.socket.send_multipart([peer, *encode(message)])

    def close(self) -> None:
        self.socket.close()
        self.authenticator.stop()
        self.context.term()


@pytest.fixture
def orchestrator() -> Iterator[Orchestrator]:
    made = Orchestrator()
    yield made
    made.close()


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Ticket], Connection]]:
    # This process is the test's own: its parent and its stdin are nobody's life line.
    monkeypatch.setattr("quarry_runtime.connection.tie_to_parent", lambda: None)
    # Who gives up ends this process: however long a busy machine takes, these do not.
    monkeypatch.setattr("quarry_runtime.patience.RECONNECT_SECONDS", 600.0)
    monkeypatch.setattr("quarry_runtime.patience.FIRST_CONTACT_SECONDS", 600.0)
    made: list[Connection] = []

    def open_one(ticket: Ticket) -> Connection:
        made.append(Connection(ticket, "node.0", "worker"))
        return made[-1]

    yield open_one
    for connection in made:
        connection.close()


Connect = Callable[[Ticket], Connection]


def test_a_known_key_gets_in(orchestrator: Orchestrator, connect: Connect) -> None:
    connection = connect(orchestrator.ticket())
    peer, hello = orchestrator.next()
    assert (hello.token, hello.name) == ("a-token", "node.0")
    orchestrator.send(peer, Welcome(name="node.0"))
    assert connection.receive(100) == (Welcome(name="node.0"), [])


def test_an_unknown_key_is_told_so(orchestrator: Orchestrator, connect: Connect) -> None:
    public, secret = zmq.curve_keypair()
    connection = connect(orchestrator.ticket(public=public, secret=secret))
    with pytest.raises(EnvironmentFault, match="does not know this ticket"):
        connection.receive(100)


def test_nobody_there_is_told_so(
    orchestrator: Orchestrator, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quarry_runtime.patience.FIRST_CONTACT_SECONDS", 1.0)
    # The server proves its key too: a wrong one is as if nobody were there.
    connection = connect(orchestrator.ticket(server=zmq.curve_keypair()[0]))
    with pytest.raises(EnvironmentFault, match="Nobody answered at tcp://127"):
        connection.receive(100)


def test_after_a_loss_it_says_hello_first_and_nothing_of_before(
    orchestrator: Orchestrator, connect: Connect
) -> None:
    connection = connect(orchestrator.ticket())
    first, hello = orchestrator.next()
    orchestrator.send(first, Ping())
    assert connection.receive(100) == (Ping(), [])
    orchestrator.send(first, Ping())
    orchestrator.socket.close()
    while not connection._is_stale:
        time.sleep(0.02)
    # The receiver has not heard of it yet: this belongs to before.
    connection.send(Bye(reason="of before"))
    orchestrator.open()
    with pytest.raises(Reconnected):
        connection.receive(100)
    connection.send(Bye(reason="of now"))
    second, message = orchestrator.next(beats=True)
    assert message == hello
    assert second != first
    assert orchestrator.next()[1] == Bye(reason="of now")


def test_the_last_word_of_an_orchestrator_that_closes_still_counts(
    orchestrator: Orchestrator, connect: Connect
) -> None:
    connection = connect(orchestrator.ticket())
    peer, _ = orchestrator.next()
    orchestrator.send(peer, Drain())
    while connection._inbox.empty():
        time.sleep(0.02)
    orchestrator.socket.close()
    while not connection._is_stale:
        time.sleep(0.02)
    with pytest.raises(Reconnected):
        connection.receive(100)
    assert connection.receive(100) == (Drain(), [])
    orchestrator.open()


def test_it_asks_to_leave_once_and_again_after_a_loss(
    orchestrator: Orchestrator, connect: Connect
) -> None:
    connection = connect(orchestrator.ticket())
    orchestrator.next()
    connection.ask_to_leave("the machine is wanted")
    connection.ask_to_leave("again")
    assert orchestrator.next()[1] == Leave(reason="the machine is wanted")
    orchestrator.socket.close()
    orchestrator.open()
    assert isinstance(orchestrator.next()[1], Hello)
    assert orchestrator.next()[1] == Leave(reason="the machine is wanted")


def join(
    ticket: Ticket, *extra: str, stdin: bytes | None = None, **env: str
) -> subprocess.Popen[bytes]:
    """A real `join` with a real worker, its ticket on stdin."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "quarry_runtime",
            "join",
            "--ticket",
            "-",
            "--device",
            "cpu",
            *extra,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(RUNTIME), **env},
    )
    assert process.stdin is not None
    process.stdin.write(stdin or ticket.line().encode() + b"\n")
    process.stdin.close()
    process.stdin = None
    return process


def test_join_brings_a_worker_that_leaves_when_it_is_asked_to(orchestrator: Orchestrator) -> None:
    with join(orchestrator.ticket(), "--name", "far", "--threads", "1") as process:
        peer, hello = orchestrator.next()
        assert (hello.name, hello.role) == ("far.0", "worker")
        assert b"--threads\0001\0" in Path(f"/proc/{hello.pid}/cmdline").read_bytes()
        orchestrator.send(peer, Welcome(name="far.0"))
        process.send_signal(signal.SIGTERM)
        assert isinstance(orchestrator.next()[1], Leave)
        orchestrator.send(peer, Drain())
        assert orchestrator.next()[1] == Bye(reason="drained")
        assert process.stdout is not None
        told = process.stdout.read().decode()
        assert process.wait(100) == 143
    assert "joined as far.0" in told
    assert orchestrator.client_secret.decode() not in told


def test_join_ends_with_its_orchestrator(orchestrator: Orchestrator) -> None:
    with join(orchestrator.ticket(), "--threads", "1") as process:
        orchestrator.next()
        orchestrator.socket.close()
        assert process.wait(100) == 130
        assert process.stdout is not None
        assert b"the orchestrator is gone" in process.stdout.read()


def test_join_starts_a_killed_worker_again(orchestrator: Orchestrator) -> None:
    with join(orchestrator.ticket(), "--threads", "1") as process:
        _, first = orchestrator.next()
        os.kill(first.pid, signal.SIGKILL)
        peer, second = orchestrator.next()
        assert second.name == first.name
        assert second.pid != first.pid
        orchestrator.send(peer, Drain())
        process.communicate(timeout=100)
        assert process.returncode == 0


def test_of_several_workers_a_killed_one_comes_back_and_no_secret_is_in_sight(
    orchestrator: Orchestrator,
) -> None:
    with join(
        orchestrator.ticket(), "--workers", "2", "--threads", "1", "--name", "far"
    ) as process:
        hellos = dict([orchestrator.next(), orchestrator.next()])
        assert sorted(hello.name for hello in hellos.values()) == ["far.0", "far.1"]
        for pid in (process.pid, *(hello.pid for hello in hellos.values())):
            for entry in ("cmdline", "environ"):
                seen = Path(f"/proc/{pid}/{entry}").read_text()
                assert "quarry1." not in seen
                assert orchestrator.client_secret.decode() not in seen
        victim, other = hellos
        os.kill(hellos.pop(victim).pid, signal.SIGKILL)
        again, hello = orchestrator.next()
        assert hello.pid not in [known.pid for known in hellos.values()]
        for peer in (again, other):
            orchestrator.send(peer, Drain())
        said, _ = process.communicate(timeout=100)
        assert process.returncode == 0
        assert b"worker 0 was killed by signal 9" in said or b"worker 1 was killed by" in said


def test_join_explains_what_it_cannot_use(orchestrator: Orchestrator) -> None:
    with join(orchestrator.ticket(), stdin=b"nonsense\n") as process:
        out, _ = process.communicate(timeout=100)
        assert process.returncode == 4
    assert b"What stdin holds is no ticket" in out
    assert b"Traceback" not in out


def test_as_many_connections_as_evaluations_leave_no_descriptor_open(
    orchestrator: Orchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quarry_runtime.connection.tie_to_parent", lambda: None)

    def evaluate() -> None:
        connection = Connection(orchestrator.ticket(), "rank-0", "worker")
        orchestrator.next()
        connection.close()

    def open_files() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    evaluate()
    first = open_files()
    for _ in range(8):
        evaluate()
    # The orchestrator's side closes in its own time.
    end = time.monotonic() + 60
    while open_files() > first and time.monotonic() < end:
        time.sleep(0.05)
    assert open_files() <= first


def test_an_address_that_libzmq_refuses_is_told_and_nobody_waits(
    orchestrator: Orchestrator, connect: Connect
) -> None:
    ticket = dataclasses.replace(orchestrator.ticket(), endpoint="tcp://user@127.0.0.1:4555")
    connection = connect(ticket)
    with pytest.raises(ConfigError, match=r"user@127\.0\.0\.1:4555 cannot be connected to"):
        connection.receive(100)


def test_closing_while_nobody_is_there_takes_no_time(
    orchestrator: Orchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quarry_runtime.connection.tie_to_parent", lambda: None)
    monkeypatch.setattr("quarry_runtime.connection.LINGER_MS", 100)
    ticket = orchestrator.ticket(server=zmq.curve_keypair()[0])
    connection = Connection(ticket, "node.0", "worker")
    connection.close()
    connection._thread.join(60)
    assert not connection._thread.is_alive()
