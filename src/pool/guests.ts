/** Workers that came by themselves: named, watched, known to be gone by a ping, turned away, and recognised when they are back. */
import { setTimeout as delay } from "node:timers/promises";
import type { UpMessage } from "../protocol/messages.js";
import type { CrewListeners, Payload } from "./crew.js";
import type { Transport } from "./transport.js";
import type { Vigil } from "./vigil.js";

type Hello = Extract<UpMessage, { type: "hello" }>;

/** One life of a worker that no seat of the crew started. */
interface Guest {
  readonly name: string;
  readonly peer: string;
  /** Random, its process's own. */
  readonly life: string;
  /** Why it is about to go, in words that follow its name. */
  reason: string | null;
}

/** What guests need of the crew. */
interface House {
  readonly vigil: Vigil;
  readonly listeners: CrewListeners;
  readonly isTaken: (name: string) => boolean;
}

const MAX_NAME = 64;
/** A guest hears of this process at least so often; it leaves after a longer silence. */
const SIGN_OF_LIFE_MS = 2_000;
/**
 * Pings after a connection ended: the socket that tells of it may itself take a moment to notice. Not for each of ten
 * thousand connections of a port scanner: a round that is going on begins anew.
 */
const PING_PAUSES_MS = [20, 40, 80, 160];
/** Between the end of a connection and what follows from it: what came last is still in the socket. */
const LAST_WORDS_MS = 20;
/** For a worker that said why it stops, to say bye. */
const STOP_MS = 2_000;

/** Guests by name and by connection. */
export class Guests {
  readonly #byName = new Map<string, Guest>();
  readonly #byPeer = new Map<string, Guest>();
  readonly #transport: Transport;
  readonly #house: House;
  readonly #timer: NodeJS.Timeout;
  #round: NodeJS.Timeout | null = null;
  #isRoundStale = false;
  #isClosing = false;

  constructor(transport: Transport, house: House) {
    this.#transport = transport;
    this.#house = house;
    this.#timer = setInterval(() => this.#ping(), SIGN_OF_LIFE_MS);
  }

  nameAt(peer: string): string | undefined {
    return this.#byPeer.get(peer)?.name;
  }

  peerOf(name: string): string | undefined {
    return this.#byName.get(name)?.peer;
  }

  /** A worker comes, for the first time or after its connection broke. */
  greet(peer: string, payload: Payload, isRemote: boolean): void {
    const hello = payload.message;
    if (hello.type !== "hello" || hello.role !== "worker" || this.#byPeer.has(peer)) return;
    if (this.#isClosing) return this.#refuse(peer, "The run is at its end.", false);
    // The same process in an earlier connection, which must be over then.
    const earlier = [...this.#byName.values()].find(({ life }) => life === hello.life);
    if (earlier !== undefined) this.#bury(earlier, "came back over another connection");
    const { name } = this.#add(peer, hello);
    this.#house.vigil.begin(name);
    this.#house.vigil.expect(name, "idle");
    this.#transport.send(peer, { type: "welcome", name });
    this.#house.listeners.onJoin(name, payload, isRemote);
  }

  /** Its last word. */
  left(peer: string): void {
    const guest = this.#byPeer.get(peer);
    if (guest !== undefined) this.#bury(guest, "left");
  }

  /** Nobody is at the other end any more. */
  lost(peer: string): void {
    const guest = this.#byPeer.get(peer);
    if (guest !== undefined) setTimeout(() => this.#bury(guest, "lost its connection"), LAST_WORDS_MS);
  }

  /** Some connection ended: a ping that fails shows whose. */
  disconnected(): void {
    if (this.#byName.size === 0 || this.#isClosing) return;
    this.#isRoundStale = true;
    if (this.#round === null) this.#pingRound(0);
  }

  /**
   * There is no process to kill: it is told to go, and nothing more is heard of it.
   *
   * @param mayReturn it only came too late: a worker that is as it was would be welcome
   */
  expel(name: string, reason: string, mayReturn = false): void {
    const guest = this.#byName.get(name);
    if (guest === undefined) return;
    // Later, like the death of a process: whoever asks for it is in the middle of something.
    setImmediate(() => this.#bury(guest, `${reason} and was turned away`));
    this.#refuse(guest.peer, `Turned away: ${name} ${reason.replace(/,$/, "")}.`, mayReturn);
    this.#transport.forget(guest.peer);
  }

  /** It said why it stops: give it a moment to do so. */
  excuse(name: string, reason: string): void {
    const guest = this.#byName.get(name);
    if (guest === undefined) return;
    guest.reason ??= reason;
    setTimeout(() => this.#bury(guest, reason), STOP_MS).unref();
  }

  /** Asks all to go; no other is let in. Resolves when they have. */
  async drain(): Promise<void> {
    this.#isClosing = true;
    clearInterval(this.#timer);
    for (const { peer } of this.#byName.values()) this.#transport.send(peer, { type: "drain" });
    while (this.#byName.size > 0) await delay(LAST_WORDS_MS);
    clearTimeout(this.#round ?? undefined);
  }

  expelAll(reason: string): void {
    for (const name of this.#byName.keys()) this.expel(name, reason);
  }

  /** Takes one in, under a name that nobody else has. */
  #add(peer: string, { name: proposed, life }: Hello): Guest {
    const wished = proposed.replace(/[^A-Za-z0-9._-]/g, "-").slice(0, MAX_NAME);
    let name = wished;
    for (let count = 2; this.#house.isTaken(name) || this.#byName.has(name); count += 1) name = `${wished}-${count}`;
    const guest: Guest = { name, peer, life, reason: null };
    this.#byName.set(name, guest);
    this.#byPeer.set(peer, guest);
    return guest;
  }

  #ping(): void {
    for (const { peer } of this.#byName.values()) this.#transport.send(peer, { type: "ping" });
  }

  #pingRound(step: number): void {
    this.#isRoundStale = false;
    this.#ping();
    const pause = PING_PAUSES_MS[step];
    this.#round =
      pause === undefined ? null : setTimeout(() => this.#pingRound(this.#isRoundStale ? 0 : step + 1), pause);
  }

  #refuse(peer: string, message: string, isRetryable: boolean): void {
    const error = { code: "INTERRUPTED" as const, message, hint: null, isRetryable, rows: [] };
    this.#transport.send(peer, { type: "refuse", error });
  }

  #bury(guest: Guest, how: string): void {
    if (this.#byName.get(guest.name) !== guest) return;
    this.#byName.delete(guest.name);
    this.#byPeer.delete(guest.peer);
    this.#transport.forget(guest.peer);
    this.#house.vigil.drop(guest.name);
    if (this.#isClosing) return;
    this.#house.listeners.onDeath(guest.name, { how: guest.reason ?? how, ending: null, mismatch: null });
  }
}
