/** One ROUTER with its pump: sends in turn, hands over what arrives, tells who cannot be reached any more. */
import type { Router } from "zeromq";

/** Who hears of a socket; called one at a time, must not throw. */
export interface ChannelListeners {
  onParts(identity: string, parts: readonly Uint8Array[]): void;
  /** A message could not be handed over: nobody is there. */
  onUnreachable(identity: string): void;
  /** Some connection ended; the socket does not say whose. */
  onDisconnect(): void;
}

/** A bound ROUTER (mandatory), identities as hex. */
export class Channel {
  readonly #socket: Router;
  readonly #listeners: ChannelListeners;
  readonly #outgoing: { readonly identity: string; readonly parts: readonly Uint8Array[] }[] = [];
  readonly #receiving: Promise<void>;
  #pumping = Promise.resolve();
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
    if (!this.#isPumping) this.#pumping = this.#pump();
  }

  /** Waits until everything queued was handed to the socket. */
  async flush(): Promise<void> {
    while (this.#isPumping) await this.#pumping;
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
        // EAGAIN cannot happen without a high-water mark; anything else is the socket's own end.
        if ((thrown as NodeJS.ErrnoException).code === "EHOSTUNREACH") this.#listeners.onUnreachable(next.identity);
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
