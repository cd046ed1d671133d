/** The orchestrator's socket: a ROUTER that lets in who has the token, drops who breaks the protocol, and sends in turn. */
import { timingSafeEqual } from "node:crypto";
import { Router } from "zeromq";
import { type QuarryError, toQuarryError } from "../errors.js";
import { type Decoded, decodeUp, encodeMessage, MAX_FRAME_BYTES, VersionMismatch } from "../protocol/codec.js";
import type { DownMessage, UpMessage } from "../protocol/messages.js";
import { protocolError } from "../protocol/scan.js";
import { PROTOCOL_VERSION } from "../protocol/version.js";
import { sweepStaleTickets, writeTicket } from "./ticket.js";

/** Who hears what arrives. Called one at a time; must not throw. */
export interface TransportListeners {
  /** A message of a peer whose hello (always its first message) carried the token. */
  onMessage(peer: string, message: UpMessage, frames: Uint8Array[]): void;
  /** A peer that is dropped: nothing of it is heard any more. `wasAccepted` tells workers from strangers. */
  onViolation(peer: string, error: QuarryError, wasAccepted: boolean): void;
}

/** A socket with its ticket. */
export interface Transport {
  /** File that a worker is given to find its way here. */
  readonly ticketPath: string;
  /** Queues a message; raises PROTOCOL at once when it breaks the protocol. */
  send(peer: string, message: DownMessage, frames?: readonly Uint8Array[]): void;
  /** Stops listening to a peer, e.g. one whose process is dead. */
  forget(peer: string): void;
  /** Waits until everything queued was handed to the socket. */
  flush(): Promise<void>;
  /** Closes the socket and removes its folder. */
  close(): Promise<void>;
}

/**
 * Opens an ipc socket in a folder of its own.
 *
 * @example
 * const transport = await openTransport({ onMessage: console.log, onViolation: console.warn });
 */
export async function openTransport(listeners: TransportListeners): Promise<Transport> {
  await sweepStaleTickets();
  const ticket = writeTicket();
  process.once("exit", ticket.remove);
  // No limit on the way out: credits bound what is in flight, and a full peer must not hold up the others.
  const socket = new Router({ mandatory: true, linger: 0, maxMessageSize: MAX_FRAME_BYTES, sendHighWaterMark: 0 });
  try {
    await socket.bind(ticket.endpoint);
  } catch (thrown) {
    ticket.remove();
    throw toQuarryError(thrown);
  }

  const accepted = new Set<string>();
  const outgoing: { readonly peer: string; readonly parts: readonly Uint8Array[] }[] = [];
  let pumping = Promise.resolve();
  let isPumping = false;
  let isClosed = false;

  /** The only caller of socket.send: two concurrent sends on one socket fail with EBUSY. */
  async function pump(): Promise<void> {
    isPumping = true;
    for (let next = outgoing.shift(); next !== undefined && !isClosed; next = outgoing.shift()) {
      try {
        await socket.send([Buffer.from(next.peer, "hex"), ...(next.parts as Uint8Array[])]);
      } catch {
        // EHOSTUNREACH: gone between two messages; the end of its process tells more. EAGAIN cannot happen without a
        // high-water mark.
      }
    }
    // In the same turn as the last look at the queue: a message queued any later starts a pump of its own. Cleared in a
    // promise's callback instead, one turn later, a message queued in between would wait for ever.
    isPumping = false;
  }

  function send(peer: string, message: DownMessage, frames: readonly Uint8Array[] = []): void {
    outgoing.push({ peer, parts: encodeMessage(message, frames) });
    if (!isPumping) pumping = pump();
  }

  function refuse(peer: string, error: QuarryError): void {
    const { code, message, hint } = error;
    const info = { code, message, hint: hint ?? null, isRetryable: false, rows: [] };
    send(peer, { v: PROTOCOL_VERSION, type: "refuse", error: info });
  }

  function read(peer: string, parts: readonly Uint8Array[]): Decoded<UpMessage> | null {
    const wasAccepted = accepted.has(peer);
    let isAddressee = wasAccepted;
    try {
      const decoded = decodeUp(parts);
      if (wasAccepted) return decoded;
      if (decoded.message.type !== "hello") throw protocolError(`a stranger begins with ${decoded.message.type}`);
      isAddressee = true;
      if (!isEqual(decoded.message.token, ticket.token)) throw protocolError("a hello carries another token");
      accepted.add(peer);
      return decoded;
    } catch (thrown) {
      accepted.delete(peer);
      const error = toQuarryError(thrown);
      // Bytes that were no message at all are not answered.
      if (isAddressee || thrown instanceof VersionMismatch) refuse(peer, error);
      listeners.onViolation(peer, error, wasAccepted);
      return null;
    }
  }

  async function receiveAll(): Promise<void> {
    try {
      for await (const [identity, ...parts] of socket) {
        const peer = identity?.toString("hex") ?? "";
        const decoded = read(peer, parts);
        if (decoded !== null) listeners.onMessage(peer, decoded.message, decoded.frames);
      }
    } catch (thrown) {
      if (!isClosed) throw thrown;
    }
  }
  const receiving = receiveAll();

  return {
    ticketPath: ticket.path,
    send,
    forget: (peer) => {
      accepted.delete(peer);
    },
    flush: async () => {
      while (isPumping) await pumping;
    },
    close: async () => {
      if (isClosed) return;
      isClosed = true;
      socket.close();
      await receiving;
      process.removeListener("exit", ticket.remove);
      ticket.remove();
    },
  };
}

function isEqual(seen: string, token: string): boolean {
  const [left, right] = [Buffer.from(seen), Buffer.from(token)];
  return left.length === right.length && timingSafeEqual(left, right);
}
