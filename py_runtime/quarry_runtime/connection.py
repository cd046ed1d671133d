"""The socket to the orchestrator, in a thread of its own: no kernel stops the heartbeat."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import socket as sockets
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any, Literal

import zmq
from zmq.utils.monitor import recv_monitor_message

from quarry_runtime.errors import EnvironmentFault, Interrupted, QuarryError
from quarry_runtime.guard.device import Device, usable_cores
from quarry_runtime.guard.memory import resident_bytes
from quarry_runtime.guard.parent import leave, tie_to_parent
from quarry_runtime.protocol.codec import MAX_FRAME_BYTES, decode_down, encode
from quarry_runtime.protocol.messages import DownMessage, Heartbeat, Hello, UpMessage
from quarry_runtime.versions import versions

HEARTBEAT_SECONDS = 1.0
# The socket reconnects by itself; an orchestrator that does not come back within this time is gone.
_RECONNECT_SECONDS = 5.0
# libzmq pings an idle peer, so that a host that vanished without a word counts as a lost
# connection.
_PING_MS, _SILENCE_MS = 5_000, 30_000
_FIRST_CONTACT_SECONDS = 30.0
_LINGER_MS = 5_000


class Connection:
    """Says hello, then carries messages both ways; ends the process when the orchestrator is gone.

    Args:
        ticket: JSON file {"endpoint", "token"} that lets a process join.
        name: Names this process in logs and errors, e.g. "worker-0".
        role: `worker`, or `rank` of a training run (rank and world size come from torchrun's
            environment).
        device: What it computes on; None is the CPU.
        threads: CPU threads it may use; None is every core it may run on.

    Attributes:
        progress: Counts finished batches or steps; the heartbeat carries it.
        unit: The unit in hand, or None; the heartbeat carries it.

    Raises:
        EnvironmentFault: the ticket cannot be read.
    """

    def __init__(
        self,
        ticket: str | Path,
        name: str,
        role: Literal["worker", "rank"],
        device: Device | None = None,
        threads: int | None = None,
    ) -> None:
        tie_to_parent()
        self.progress = 0
        self.unit: str | None = None
        endpoint, token = _read_ticket(ticket)
        self._inbox: queue.SimpleQueue[tuple[DownMessage, list[memoryview]] | QuarryError] = (
            queue.SimpleQueue()
        )
        self._outbox: deque[list[Any]] = deque()
        self._is_closing = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._outbox.append(encode(_hello(token, name, role, device, threads)))
        self._thread = threading.Thread(
            target=self._run, args=(endpoint,), name="connection", daemon=True
        )
        self._thread.start()

    def send(self, message: UpMessage, frames: Any = ()) -> None:
        """Queues a message; safe in any thread. Frames are not copied: do not write to them
        afterwards.

        Raises:
            ProtocolError: the message breaks the protocol; nothing is sent.
        """
        self._outbox.append(encode(message, frames))
        self._wake()

    def receive(self, timeout: float | None = None) -> tuple[DownMessage, list[memoryview]]:
        """The next message and its binary frames, in the order they were sent.

        Args:
            timeout: Seconds to wait; None waits for ever, 0 looks only.

        Raises:
            TimeoutError: nothing came in time.
            ProtocolError: what came is no message; nothing later is worth reading.
            Interrupted: the connection was closed.
        """
        try:
            item = self._inbox.get(timeout is None or timeout > 0, timeout or None)
        except queue.Empty:
            raise TimeoutError from None
        if isinstance(item, QuarryError):
            # Whoever asks again learns the same.
            self._inbox.put(item)
            raise item
        return item

    def close(self) -> None:
        """Hands over what is queued (for at most 5 s) and closes; further calls do nothing."""
        self._is_closing = True
        self._wake()
        self._thread.join(_LINGER_MS / 1000 + 1)

    def _wake(self) -> None:
        # A full pipe holds calls enough already.
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"\0")

    def _run(self, endpoint: str) -> None:
        context = zmq.Context()
        socket = _open(context, endpoint)
        monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED)
        poller = zmq.Poller()
        for source in (socket, monitor, self._wake_read):
            poller.register(source, zmq.POLLIN)
        lost_at: float | None = time.monotonic() + _FIRST_CONTACT_SECONDS - _RECONNECT_SECONDS
        beat_at = time.monotonic()
        try:
            while not self._is_closing:
                now = time.monotonic()
                if lost_at is not None and now - lost_at > _RECONNECT_SECONDS:
                    leave("the orchestrator is gone")
                if now >= beat_at:
                    # After the hello, which is always first in the outbox.
                    beat_at = now + HEARTBEAT_SECONDS
                    beat = Heartbeat(
                        unit=self.unit, progress=self.progress, rss_bytes=resident_bytes()
                    )
                    self._outbox.append(encode(beat))
                self._flush(socket)
                ready = dict(poller.poll(max(0, int((beat_at - now) * 1000))))
                if self._wake_read in ready:
                    os.read(self._wake_read, 65_536)
                if monitor in ready:
                    event = recv_monitor_message(monitor)["event"]
                    lost_at = time.monotonic() if event == zmq.EVENT_DISCONNECTED else None
                if socket in ready and not self._receive(socket):
                    poller.unregister(socket)
            self._flush(socket)
        except Exception as error:  # Without this thread the process would wait for ever.
            leave(f"its connection broke: {type(error).__name__}: {error}")
        finally:
            self._inbox.put(Interrupted("The connection is closed."))
            socket.disable_monitor()
            monitor.close(0)  # Left open, it would hold up context.term for ever.
            socket.close(_LINGER_MS)
            context.term()
            os.close(self._wake_read)

    def _flush(self, socket: zmq.Socket[bytes]) -> None:
        while self._outbox:
            socket.send_multipart(self._outbox.popleft(), copy=False)

    def _receive(self, socket: zmq.Socket[bytes]) -> bool:
        """Takes everything that is there; False after bytes that are no message."""
        while True:
            try:
                parts = socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return True
            try:
                self._inbox.put(decode_down([part.buffer for part in parts]))
            except QuarryError as error:
                self._inbox.put(error)
                return False


def _open(context: zmq.Context[Any], endpoint: str) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, _LINGER_MS)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
    # Credits bound what is in flight; a send that blocks would stop the heartbeat.
    socket.setsockopt(zmq.SNDHWM, 0)
    socket.setsockopt(zmq.HEARTBEAT_IVL, _PING_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, _SILENCE_MS)
    socket.setsockopt(zmq.RECONNECT_IVL, 100)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1_000)
    socket.connect(endpoint)
    return socket


def _read_ticket(ticket: str | Path) -> tuple[str, str]:
    try:
        content = json.loads(Path(ticket).read_text(encoding="utf-8"))
        return str(content["endpoint"]), str(content["token"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EnvironmentFault(
            f"The ticket {ticket} cannot be read: {error}",
            hint="Start workers through Quarry; a ticket lives one run.",
        ) from error


def _hello(
    token: str,
    name: str,
    role: Literal["worker", "rank"],
    device: Device | None,
    threads: int | None,
) -> Hello:
    from quarry_runtime.guard.device import describe_device

    facts = device or describe_device("cpu")
    is_rank = role == "rank"
    return Hello(
        role=role,
        name=name,
        token=token,
        pid=os.getpid(),
        host=sockets.gethostname()[:256] or "localhost",
        device=facts.name,
        device_name=facts.description,
        memory_bytes=facts.memory_bytes,
        threads=threads or usable_cores(),
        dtypes=list(facts.dtypes),
        versions=versions(),
        rank=int(os.environ.get("RANK", "0")) if is_rank else 0,
        world_size=int(os.environ.get("WORLD_SIZE", "1")) if is_rank else 1,
    )
