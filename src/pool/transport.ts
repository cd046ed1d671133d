/** The orchestrator's sockets: let in who has the token, drop who breaks the protocol, and look like one to the pool. */
import { timingSafeEqual } from "node:crypto";
import { Router } from "zeromq";
import { QuarryError, toQuarryError } from "../errors.js";
import { onExit } from "../exit.js";
import { type Decoded, decodeUp, encodeMessage, VersionMismatch } from "../protocol/codec.js";
import type { DownMessage, UpMessage } from "../protocol/messages.js";
import { protocolError } from "../protocol/scan.js";
import { PROTOCOL_VERSION } from "../protocol/version.js";
import { Channel, type ChannelListeners, ROUTER_OPTIONS } from "./channel.js";
import { type Gate, openGate } from "./gate.js";
import { sweepStaleTickets, type TicketContent, writeTicket } from "./ticket.js";

/** Who hears what arrives. Called one at a time. */
export interface TransportListeners {
  /** A message of a peer whose hello (always its first message) carried the token; a throw drops the peer. */
  onMessage(peer: string, message: UpMessage, frames: Uint8Array[]): void;
  /** A peer that is dropped: nothing of it is heard any more. PROTOCOL, or whatever `onMessage` threw; must not throw. */
  onViolation(peer: string, error: QuarryError): void;
  /** Some connection ended, and a message to each peer will show whose. */
  onDisconnect?(): void;
  /** A message could not be handed over: the peer is gone. */
  onUnreachable?(peer: string): void;
}

/** What a transport is opened with. */
export interface TransportOptions {
  /** Address for workers on other machines; without one nothing but the ipc socket is opened. */
  readonly listen?: string;
}

/** Sockets with their tickets. */
export interface Transport {
  /** File that a worker on this machine is given to find its way here. */
  readonly ticketPath: string;
  readonly endpoint: string;
  /** Where workers on other machines can join; null when nobody asked for it. */
  readonly gate: Pick<Gate, "address" | "isWildcard"> | null;
  /** A ticket of its own for one more launcher or person; raises INTERNAL without a gate. */
  admit(): TicketContent;
  /** Queues a message; raises PROTOCOL at once when it breaks the protocol. */
  send(peer: string, message: DownMessage, frames?: readonly Uint8Array[]): void;
  /** Stops listening to a peer, e.g. one whose process is dead. */
  forget(peer: string): void;
  /** Whether the peer came over TCP, and so perhaps from another machine. */
  isRemote(peer: string): boolean;
  /** Closes the sockets and removes the folder. */
  close(): Promise<void>;
}

/** In front of the identities of peers that came over TCP: both sockets choose theirs freely. */
const REMOTE = "tcp:";

/**
 * Opens an ipc socket in a folder of its own and, when asked for, one for other machines.
 *
 * @throws QuarryError CONFIG when the address cannot be listened on.
 * @example
 * const transport = await openTransport({ onMessage: console.log, onViolation: console.warn });
 */
export async function openTransport(listeners: TransportListeners, options: TransportOptions = {}): Promise<Transport> {
  await sweepStaleTickets();
  const ticket = writeTicket();
  const leaveExit = onExit(ticket.remove);
  const socket = new Router(ROUTER_OPTIONS);
  let gate: Gate | null = null;
  try {
    await socket.bind(ticket.endpoint);
    const onIntruder = (error: QuarryError): void => listeners.onViolation(REMOTE, error);
    if (options.listen !== undefined) gate = await openGate(options.listen, onIntruder);
  } catch (thrown) {
    socket.close();
    leaveExit();
    ticket.remove();
    throw toQuarryError(thrown);
  }

  const accepted = new Set<string>();
  /** Peers that were let in once: what they still send is no news, and no attack. */
  const forgotten = new Set<string>();
  const local = new Channel(socket, heard(""));
  const remote = gate === null ? null : new Channel(gate.socket, heard(REMOTE));
  let isClosed = false;

  function heard(prefix: string): ChannelListeners {
    return {
      onParts: (identity, parts) => hear(prefix + identity, parts),
      onUnreachable: (identity) => listeners.onUnreachable?.(prefix + identity),
      onDisconnect: () => listeners.onDisconnect?.(),
    };
  }

  function send(peer: string, message: DownMessage, frames: readonly Uint8Array[] = []): void {
    const parts = encodeMessage(message, frames);
    if (peer.startsWith(REMOTE)) remote?.send(peer.slice(REMOTE.length), parts);
    else local.send(peer, parts);
  }

  function refuse(peer: string, error: QuarryError): void {
    const { code, message, hint } = error;
    const info = { code, message, hint: hint ?? null, isRetryable: false, rows: [] };
    send(peer, { v: PROTOCOL_VERSION, type: "refuse", error: info });
  }

  function drop(peer: string, error: QuarryError, isAddressee: boolean): void {
    if (accepted.delete(peer)) forgotten.add(peer);
    if (isAddressee) refuse(peer, error);
    listeners.onViolation(peer, error);
  }

  function hear(peer: string, parts: readonly Uint8Array[]): void {
    const decoded = read(peer, parts);
    if (decoded === null) return;
    try {
      listeners.onMessage(peer, decoded.message, decoded.frames);
    } catch (thrown) {
      // It costs its sender the connection: thrown on, it would leave the socket without a reader.
      drop(peer, toQuarryError(thrown), true);
    }
  }

  function read(peer: string, parts: readonly Uint8Array[]): Decoded<UpMessage> | null {
    const wasAccepted = accepted.has(peer);
    let isAddressee = wasAccepted;
    try {
      const decoded = decodeUp(parts);
      if (wasAccepted) return decoded;
      const { message } = decoded;
      // A connection that came back by itself: its worker beats on until it notices and says hello. The key let it in.
      if (message.type !== "hello" && (forgotten.has(peer) || peer.startsWith(REMOTE))) return null;
      if (message.type !== "hello") throw protocolError(`a stranger begins with ${message.type}`);
      isAddressee = true;
      if (!isEqual(message.token, ticket.token)) throw protocolError("a hello carries another token");
      accepted.add(peer);
      return decoded;
    } catch (thrown) {
      if (!wasAccepted && forgotten.has(peer)) return null;
      // Bytes that were no message at all are not answered.
      drop(peer, toQuarryError(thrown), isAddressee || thrown instanceof VersionMismatch);
      return null;
    }
  }

  return {
    ticketPath: ticket.path,
    endpoint: ticket.endpoint,
    gate,
    admit: () => {
      if (gate === null) throw new QuarryError("INTERNAL", "Nobody asked for a socket that others can join.");
      const { endpoint, ...keys } = gate.admit();
      return { endpoint, token: ticket.token, ...keys };
    },
    send,
    forget: (peer) => {
      if (accepted.delete(peer)) forgotten.add(peer);
    },
    isRemote: (peer) => peer.startsWith(REMOTE),
    close: async () => {
      if (isClosed) return;
      isClosed = true;
      await Promise.all([local.close(), remote?.close()]);
      await gate?.close();
      leaveExit();
      ticket.remove();
    },
  };
}

function isEqual(seen: string, token: string): boolean {
  const [left, right] = [Buffer.from(seen), Buffer.from(token)];
  return left.length === right.length && timingSafeEqual(left, right);
}
