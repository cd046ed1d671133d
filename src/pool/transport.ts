/** The orchestrator's sockets: let in who has the token, drop who breaks the protocol, and look like one to the pool. */
import { Router } from "zeromq";
import { QuarryError, toQuarryError } from "../errors.js";
import { onExit } from "../exit.js";
import { encodeMessage } from "../protocol/codec.js";
import type { DownMessage, Unversioned, UpMessage } from "../protocol/messages.js";
import { Admission, isRemote, REMOTE } from "./admission.js";
import { Channel, type ChannelListeners, ROUTER_OPTIONS } from "./channel.js";
import { type Gate, openGate } from "./gate.js";
import { sweepStaleTickets, type Ticket, type TicketContent, writeTicket } from "./ticket.js";

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
  /** Where workers on other machines can join; null when nobody asked for it. */
  readonly gate: Pick<Gate, "address" | "isWildcard"> | null;
  /** A ticket of its own for one more launcher or person; raises INTERNAL without a gate. */
  admit(): TicketContent;
  /** Queues a message; raises PROTOCOL at once when it breaks the protocol. */
  send(peer: string, message: Unversioned<DownMessage>, frames?: readonly Uint8Array[]): void;
  /** Stops listening to a peer, e.g. one whose process is dead. */
  forget(peer: string): void;
  /** Whether the peer came over TCP, and so perhaps from another machine. */
  isRemote(peer: string): boolean;
  /** Closes the sockets and removes the folder. */
  close(): Promise<void>;
}

interface Sockets {
  readonly ticket: Ticket;
  readonly local: Router;
  readonly gate: Gate | null;
  removeTicket(): void;
}

/** Opens both sockets or none, with the ticket for the first, which goes with this process. */
async function openSockets(listen: string | undefined, onIntruder: (error: QuarryError) => void): Promise<Sockets> {
  await sweepStaleTickets();
  const ticket = writeTicket();
  const leaveExit = onExit(ticket.remove);
  const removeTicket = (): void => {
    leaveExit();
    ticket.remove();
  };
  const local = new Router(ROUTER_OPTIONS);
  try {
    await local.bind(ticket.endpoint);
    return { ticket, local, gate: listen === undefined ? null : await openGate(listen, onIntruder), removeTicket };
  } catch (thrown) {
    local.close();
    removeTicket();
    throw toQuarryError(thrown);
  }
}

/**
 * Opens an ipc socket in a folder of its own and, when asked for, one for other machines.
 *
 * @throws QuarryError CONFIG when the address cannot be listened on.
 * @example
 * const transport = await openTransport({ onMessage: console.log, onViolation: console.warn });
 */
export async function openTransport(listeners: TransportListeners, options: TransportOptions = {}): Promise<Transport> {
  const sockets = await openSockets(options.listen, (error) => listeners.onViolation(REMOTE, error));
  const { ticket, gate } = sockets;
  const admission = new Admission(ticket.token);
  const local = new Channel(sockets.local, heard(""));
  const remote = gate === null ? null : new Channel(gate.socket, heard(REMOTE));
  let isClosed = false;

  function heard(prefix: string): ChannelListeners {
    return {
      onParts: (identity, parts) => hear(prefix + identity, parts),
      onUnreachable: (identity) => listeners.onUnreachable?.(prefix + identity),
      onDisconnect: () => listeners.onDisconnect?.(),
    };
  }

  function hear(peer: string, parts: readonly Uint8Array[]): void {
    const read = admission.read(peer, parts);
    if (read === null) return;
    if ("error" in read) return drop(peer, read.error, read.isTold);
    try {
      listeners.onMessage(peer, read.message, read.frames);
    } catch (thrown) {
      // It costs its sender the connection: thrown on, it would leave the socket without a reader.
      drop(peer, toQuarryError(thrown), true);
    }
  }

  function drop(peer: string, error: QuarryError, isTold: boolean): void {
    admission.forget(peer);
    const { code, message, hint } = error;
    const info = { code, message, hint: hint ?? null, isRetryable: false, rows: [] };
    if (isTold) send(peer, { type: "refuse", error: info });
    listeners.onViolation(peer, error);
  }

  function send(peer: string, message: Unversioned<DownMessage>, frames: readonly Uint8Array[] = []): void {
    const parts = encodeMessage(message, frames);
    if (isRemote(peer)) remote?.send(peer.slice(REMOTE.length), parts);
    else local.send(peer, parts);
  }

  return {
    ticketPath: ticket.path,
    gate,
    admit: () => {
      if (gate === null) throw new QuarryError("INTERNAL", "Nobody asked for a socket that others can join.");
      const { endpoint, ...keys } = gate.admit();
      return { endpoint, token: ticket.token, ...keys };
    },
    send,
    forget: (peer) => admission.forget(peer),
    isRemote,
    close: async () => {
      if (isClosed) return;
      isClosed = true;
      await Promise.all([local.close(), remote?.close()]);
      await gate?.close();
      sockets.removeTicket();
    },
  };
}
