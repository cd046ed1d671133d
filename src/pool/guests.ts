/** Workers that came by themselves: their names, their connections, and who of them is back after a broken one. */
import type { UpMessage } from "../protocol/messages.js";

type Hello = Extract<UpMessage, { type: "hello" }>;

/** One life of a worker that no seat of this crew started. */
export interface Guest {
  readonly name: string;
  readonly peer: string;
  /** Told apart from others that propose the same name. */
  readonly proposed: string;
  readonly pid: number;
  readonly host: string;
  readonly isRemote: boolean;
  /** Why it is about to go, in words that follow its name. */
  reason: string | null;
}

const MAX_NAME = 64;

/** Guests by name and by connection. */
export class Guests {
  readonly #byName = new Map<string, Guest>();
  readonly #byPeer = new Map<string, Guest>();

  [Symbol.iterator](): Iterator<Guest> {
    return [...this.#byName.values()][Symbol.iterator]();
  }

  get size(): number {
    return this.#byName.size;
  }

  named(name: string): Guest | undefined {
    return this.#byName.get(name);
  }

  at(peer: string): Guest | undefined {
    return this.#byPeer.get(peer);
  }

  /** The same process in an earlier connection, which must be over then. */
  earlier({ name, pid, host }: Hello): Guest | undefined {
    return [...this].find((guest) => guest.proposed === name && guest.pid === pid && guest.host === host);
  }

  /** Takes one in, under a name that nobody else has. */
  add(
    peer: string,
    { name: proposed, pid, host }: Hello,
    isRemote: boolean,
    isTaken: (name: string) => boolean,
  ): Guest {
    const wished = proposed.replace(/[^A-Za-z0-9._-]/g, "-").slice(0, MAX_NAME);
    let name = wished;
    for (let count = 2; isTaken(name) || this.#byName.has(name); count += 1) name = `${wished}-${count}`;
    const guest: Guest = { name, peer, proposed, pid, host, isRemote, reason: null };
    this.#byName.set(name, guest);
    this.#byPeer.set(peer, guest);
    return guest;
  }

  /** Whether it was still here. */
  remove(guest: Guest): boolean {
    this.#byPeer.delete(guest.peer);
    return this.#byName.get(guest.name) === guest && this.#byName.delete(guest.name);
  }
}
