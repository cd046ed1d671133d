/** One ROUTER with its pump: sends in turn, hands over what arrives, tells who cannot be reached any more. */
import type { Router, SocketOptions } from "zeromq";
import { MAX_FRAME_BYTES } from "../protocol/codec.js";

/** Who hears of a socket; called one at a time, must not throw. */
export interface ChannelListeners {
  onParts(identity: string, parts: readonly Uint8Array[]): void;
  /** A message could not be handed over: nobody is there. */
  onUnreachable(identity: string): void;
  /** Some connection ended; the socket does not say whose. */
  onDisconnect(): void;
}

/** What every ROUTER of ours is made with. */
export const ROUTER_OPTIONS = {
  mandatory: true,
  linger: 0,
  maxMessageSize: MAX_FRAME_BYTES,
  // No limit on the way out: credits bound what is in flight, and a full peer must not hold up the others.
  sendHighWaterMark: 0,
  // Once its last peer has gone a ROUTER counts as full, and a message would wait for the next one to come.
  sendTimeout: 0,
} as const satisfies SocketOptions<Router>;

/** A bound ROUTER with {@link ROUTER_OPTIONS}, identities as hex. */
export class Channel {
  readonly #socket: Router;
  readonly #listeners: ChannelListeners;
  readonly #outgoing: { readonly identity: string; readonly parts: readonly Uint8Array[] }[] = [];
  readonly #receiving: Promise<void>;
  #isPumping = false;
  #isClosed = false;

  constructor(socket: Router, listeners: ChannelListeners) {
    this.#socket = socket;
    this.#listeners = listeners;
    socket.events.on("disconnect", () => {
      if (!this.#isClosed) listeners.onDisconnect();
    });
    this.#receiving = this.#receive();
  }

  send(identity: string, parts: readonly Uint8Array[]): void {
    this.#outgoing.push({ identity, parts });
    if (!this.#isPumping) void this.#pump();
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket.close();
    await this.#receiving;
  }

  /** The only caller of socket.send: two concurrent sends on one socket fail with EBUSY. */
  async #pump(): Promise<void> {
    this.#isPumping = true;
    for (let next = this.#outgoing.shift(); next !== undefined && !this.#isClosed; next = this.#outgoing.shift()) {
      try {
        await this.#socket.send([Buffer.from(next.identity, "hex"), ...(next.parts as Uint8Array[])]);
      } catch (thrown) {
        // EAGAIN: nobody at all is connected. Anything else is the socket's own end.
        const { code } = thrown as NodeJS.ErrnoException;
        if (code === "EHOSTUNREACH" || code === "EAGAIN") this.#listeners.onUnreachable(next.identity);
      }
    }
    // In the same turn as the last look at the queue: a message queued any later starts a pump of its own. Cleared in a
    // promise's callback instead, one turn later, a message queued in between would wait for ever.
    this.#isPumping = false;
  }

  async #receive(): Promise<void> {
    try {
      for await (const [identity, ...parts] of this.#socket) {
        this.#listeners.onParts(identity?.toString("hex") ?? "", parts);
      }
    } catch (thrown) {
      if (!this.#isClosed) throw thrown;
    }
  }
}
