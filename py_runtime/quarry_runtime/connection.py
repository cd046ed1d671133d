"""The socket to the orchestrator, in a thread of its own: no kernel stops the heartbeat."""

from __future__ import annotations

import contextlib
import os
import queue
import socket as sockets
import threading
import time
import uuid
import weakref
from collections import deque
from pathlib import Path
from typing import Any, Literal

import zmq

from quarry_runtime.errors import EnvironmentFault, Interrupted, QuarryError, Reconnected
from quarry_runtime.guard.device import Device, describe_device
from quarry_runtime.guard.parent import leave, tie_to_parent
from quarry_runtime.link import LINGER_MS, Link
from quarry_runtime.patience import Patience
from quarry_runtime.protocol.codec import decode_down, encode
from quarry_runtime.protocol.messages import (
    DownMessage,
    Drain,
    Heartbeat,
    Hello,
    Leave,
    Refuse,
    UpMessage,
)
from quarry_runtime.ticket import Ticket, read_ticket

HEARTBEAT_SECONDS = 1.0
_Item = tuple[DownMessage, list[memoryview]] | QuarryError | Reconnected


class Connection:
    """Says hello, then carries messages both ways; ends the process when the orchestrator is gone.

    Over a network a connection that broke is made anew, with a new hello: the orchestrator has
    given away what this process had in hand, so nothing of before is sent or handed out any more.

    Args:
        ticket: Lets a process join; or its file.
        name: Names this process in logs and errors, e.g. "worker-0".
        role: `worker`, or `rank` of a training run (rank and world size come from torchrun's
            environment).
        device: What it computes on; None is the CPU.

    Attributes:
        progress: Counts finished batches or steps; the heartbeat carries it.

    Raises:
        EnvironmentFault: the ticket cannot be read.
    """

    def __init__(
        self,
        ticket: Ticket | str | Path,
        name: str,
        role: Literal["worker", "rank"],
        device: Device | None = None,
    ) -> None:
        tie_to_parent()
        self.progress = 0
        self._ticket = ticket if isinstance(ticket, Ticket) else read_ticket(ticket)
        self._inbox: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._outbox: deque[list[Any]] = deque()
        # Between a loss and the moment that the receiver learns of it, what it sends is of before.
        self._is_stale = False
        self._lock = threading.Lock()
        self._leave_reason: str | None = None
        self._is_leave_sent = False
        self._is_closing = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        # Once nobody can write to it any more: its number may be another file's then.
        weakref.finalize(self, os.close, self._wake_write).atexit = False
        self._hello = encode(_hello(self._ticket.token, name, role, device))
        self._outbox.append(self._hello)
        self._thread = threading.Thread(target=self._run, name="connection", daemon=True)
        self._thread.start()

    def send(self, message: UpMessage, frames: Any = ()) -> None:
        """Queues a message; safe in any thread. Frames are not copied: do not write to them
        afterwards.

        Raises:
            ProtocolError: the message breaks the protocol; nothing is sent.
        """
        parts = encode(message, frames)
        with self._lock:
            if not self._is_stale:
                self._outbox.append(parts)
        self._wake()

    def ask_to_leave(self, reason: str) -> None:
        """Asks for no more work; what is in hand goes on until `drain` comes. Further calls do
        nothing. Safe in a signal handler: it takes no lock.
        """
        self._leave_reason = self._leave_reason or reason
        self._wake()

    def receive(self, timeout: float | None = None) -> tuple[DownMessage, list[memoryview]]:
        """The next message and its binary frames, in the order they were sent.

        Args:
            timeout: Seconds to wait; None waits for ever, 0 looks only.

        Raises:
            TimeoutError: nothing came in time.
            Reconnected: everything before is void; the connection begins anew.
            ProtocolError: what came is no message; nothing later is worth reading.
            EnvironmentFault: nobody was there.
            Interrupted: the connection was closed.
        """
        try:
            item = self._inbox.get(timeout is None or timeout > 0, timeout or None)
        except queue.Empty:
            raise TimeoutError from None
        if isinstance(item, Reconnected):
            with self._lock:
                self._is_stale = False
            raise item
        if isinstance(item, QuarryError):
            # Whoever asks again learns the same.
            self._inbox.put(item)
            raise item
        return item

    def close(self) -> None:
        """Hands over what is queued (for at most 5 s) and closes; further calls do nothing."""
        self._is_closing = True
        self._wake()
        self._thread.join(LINGER_MS / 1000 + 1)

    def _wake(self) -> None:
        # A full pipe holds calls enough already; after its end the thread hears none.
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self._wake_write, b"\0")

    def _run(self) -> None:
        context = zmq.Context()
        link: Link | None = None
        linger_ms = LINGER_MS
        patience = Patience(self._ticket.is_remote, time.monotonic())
        beat_at = time.monotonic()
        is_readable = True
        try:
            link = Link(context, self._ticket)
            while not self._is_closing:
                now = time.monotonic()
                reason = patience.tick(now)
                if reason is not None:
                    if patience.has_contact or not self._ticket.is_remote:
                        leave(reason)
                    raise self._unanswered()
                if now >= beat_at:
                    # After the hello, which is always first in the outbox.
                    beat_at = now + HEARTBEAT_SECONDS
                    self._beat()
                self._flush(link.socket)
                ready = self._wait(link, is_readable, max(0.0, beat_at - now))
                if link.monitor in ready:
                    is_lost = self._notice(link, patience)
                    if is_lost and self._ticket.is_remote:
                        # What libzmq would keep for the next connection may not go before a hello.
                        link.close(0)
                        link, is_readable = Link(context, self._ticket), True
                        self._begin_anew()
                        continue
                if link.socket in ready:
                    patience.heard()
                    is_readable = self._receive(link.socket)
            self._flush(link.socket)
        except QuarryError as error:
            # Nobody is there to take what is queued.
            linger_ms = 0
            self._inbox.put(error)
        except Exception as error:  # Without this thread the process would wait for ever.
            leave(f"its connection broke: {type(error).__name__}: {error}")
        finally:
            self._inbox.put(Interrupted("The connection is closed."))
            if link is not None:
                link.close(linger_ms)
            context.term()
            os.close(self._wake_read)

    def _notice(self, link: Link, patience: Patience) -> bool:
        """Looks at what happened to the connection; whether one that was whole is lost."""
        is_lost = False
        for change in link.changes():
            if change == "refused":
                raise self._refused()
            if change == "connected":
                patience.connected()
            else:
                is_lost = is_lost or patience.is_connected
                patience.lost()
        return is_lost

    def _wait(self, link: Link, is_readable: bool, seconds: float) -> set[Any]:
        poller = zmq.Poller()
        sources = [link.monitor, self._wake_read, *([link.socket] if is_readable else [])]
        for source in sources:
            poller.register(source, zmq.POLLIN)
        ready = {source for source, _ in poller.poll(int(seconds * 1000))}
        if self._wake_read in ready:
            os.read(self._wake_read, 65_536)
        return ready

    def _beat(self) -> None:
        self._outbox.append(encode(Heartbeat(progress=self.progress)))

    def _begin_anew(self) -> None:
        """The receiver is told once; until it has heard it, nothing but this thread's own goes out."""
        with self._lock:
            self._is_stale = True
            self._outbox.clear()
            self._outbox.append(self._hello)
            self._is_leave_sent = False
        last: list[_Item] = []
        with contextlib.suppress(queue.Empty):
            while True:
                item = self._inbox.get_nowait()
                if isinstance(item, tuple) and isinstance(item[0], Drain | Refuse):
                    last.append(item)
        # An orchestrator that closes says so and is gone: its last word still counts.
        for item in (Reconnected(), *last):
            self._inbox.put(item)

    def _flush(self, socket: zmq.Socket[bytes]) -> None:
        if self._leave_reason is not None and not self._is_leave_sent:
            self._outbox.append(encode(Leave(reason=self._leave_reason)))
            self._is_leave_sent = True
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

    def _unanswered(self) -> QuarryError:
        return EnvironmentFault(
            f"Nobody answered at {self._ticket.endpoint}.",
            hint="Is the run still going on, and is its address reached from this machine?"
            " The key of another run's ticket is not answered either.",
        )

    def _refused(self) -> QuarryError:
        return EnvironmentFault(
            f"The orchestrator at {self._ticket.endpoint} does not know this ticket.",
            hint="Take the ticket of the run that goes on now; each run has its own.",
        )


def _hello(token: str, name: str, role: Literal["worker", "rank"], device: Device | None) -> Hello:
    facts = device or describe_device("cpu")
    is_rank = role == "rank"
    return Hello(
        role=role,
        name=name,
        token=token,
        life=str(uuid.uuid4()),
        pid=os.getpid(),
        host=sockets.gethostname()[:256] or "localhost",
        device=facts.name,
        device_name=facts.description,
        rank=int(os.environ.get("RANK", "0")) if is_rank else 0,
        world_size=int(os.environ.get("WORLD_SIZE", "1")) if is_rank else 1,
    )
