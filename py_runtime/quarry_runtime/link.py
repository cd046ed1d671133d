"""One socket to the orchestrator and the monitor of its life; a lost one is replaced, not mended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import zmq
from zmq.utils.monitor import recv_monitor_message

from quarry_runtime.errors import ConfigError
from quarry_runtime.protocol.codec import MAX_FRAME_BYTES
from quarry_runtime.ticket import Ticket

# libzmq pings an idle peer, so that a host that vanished without a word counts as a lost
# connection.
_PING_MS, _SILENCE_MS = 5_000, 30_000
LINGER_MS = 5_000

Change = Literal["connected", "lost", "refused"]
_CHANGES: dict[int, Change] = {
    zmq.EVENT_HANDSHAKE_SUCCEEDED: "connected",
    zmq.EVENT_DISCONNECTED: "lost",
    # The key on the ticket is not one that the orchestrator knows.
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: "refused",
}


class Link:
    """A DEALER that connects by itself; over a network both ends prove who they are by CURVE.

    Attributes:
        socket: For the thread that made the link, and no other.
        monitor: Readable when there are changes.

    Raises:
        ConfigError: libzmq refuses the address.
    """

    def __init__(self, context: zmq.Context[Any], ticket: Ticket) -> None:
        self.socket: zmq.Socket[bytes] = context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, LINGER_MS)
        self.socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
        # Credits bound what is in flight; a send that blocks would stop the heartbeat.
        self.socket.setsockopt(zmq.SNDHWM, 0)
        self.socket.setsockopt(zmq.HEARTBEAT_IVL, _PING_MS)
        self.socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, _SILENCE_MS)
        self.socket.setsockopt(zmq.RECONNECT_IVL, 100)
        self.socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1_000)
        if ticket.is_remote:
            self.socket.setsockopt(zmq.IPV6, 1)
        if ticket.keys is not None:
            self.socket.curve_serverkey = ticket.keys.server.encode("ascii")
            self.socket.curve_publickey = ticket.keys.public.encode("ascii")
            self.socket.curve_secretkey = ticket.keys.secret.encode("ascii")
        events = 0
        for event in _CHANGES:
            events |= event
        self.monitor = self.socket.get_monitor_socket(events)
        try:
            self.socket.connect(ticket.endpoint)
        except zmq.ZMQError as error:
            self.close(0)  # Left open, the sockets would hold up context.term for ever.
            raise ConfigError(
                f"{ticket.endpoint} cannot be connected to: {error.strerror}.",
                hint="Write host:port, e.g. 10.0.0.5:5555.",
            ) from error

    def changes(self) -> Iterator[Change]:
        """What happened to the connection since the last look, in order."""
        while self.monitor.poll(0):
            event = recv_monitor_message(self.monitor)["event"]
            if event in _CHANGES:
                yield _CHANGES[event]

    def close(self, linger_ms: int) -> None:
        """Closes both sockets; what is queued has so long to leave."""
        self.socket.disable_monitor()
        self.monitor.close(0)  # Left open, it would hold up context.term for ever.
        self.socket.close(linger_ms)
