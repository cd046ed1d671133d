/** The workers: started here or come by themselves, connected, watched, ended. Knows nothing of jobs. */
import { setTimeout as delay } from "node:timers/promises";
import { QuarryError } from "../errors.js";
import { VersionMismatch } from "../protocol/codec.js";
import type { DownMessage, Unversioned, UpMessage } from "../protocol/messages.js";
import type { PythonEnvironment } from "../python/environment.js";
import { Guests } from "./guests.js";
import { launchFork } from "./launch/fork-server.js";
import { endsWithin } from "./launch/gone.js";
import { type Ending, type LocalProcess, launchLocal } from "./launch/local.js";
import { type Place, threadEnvironment } from "./resources.js";
import { openTransport, type Transport } from "./transport.js";
import { Vigil, type Watch } from "./vigil.js";

/** What a crew needs. */
export interface CrewOptions {
  readonly places: readonly Place[];
  readonly python: PythonEnvironment;
  readonly logDir: string;
  /** Program and first arguments of a worker; without them it is a fork. */
  readonly command?: readonly string[];
  readonly heartbeatTimeoutMs: number;
  readonly unitTimeoutMs: number;
  readonly startTimeoutMs: number;
  /** Address where workers on other machines can join. */
  readonly listen?: string;
}

/** A message as it came off the socket. */
export interface Payload {
  readonly message: UpMessage;
  readonly frames: readonly Uint8Array[];
}

/** The end of one life of a worker. */
export interface Death {
  /** Words that follow the worker's name. */
  readonly how: string;
  /** Of its process, where that was started here. */
  readonly ending: Ending | null;
  /** Set when its process spoke another protocol version. */
  readonly mismatch: VersionMismatch | null;
}

/** Who hears of the crew; called one at a time, must not throw. */
export interface CrewListeners {
  onMessage(worker: string, payload: Payload): void;
  onDeath(worker: string, death: Death): void;
  /** A worker came by itself; the payload is its hello. It was not known, or its earlier death has been told. */
  onJoin(worker: string, payload: Payload, isRemote: boolean): void;
  /** A user's command. */
  onControl(message: Extract<UpMessage, { type: "control" }>): Unversioned<DownMessage>;
  /** Somebody without the token, or without a clue. Told once. */
  onStranger(error: QuarryError): void;
}

interface Seat {
  readonly place: Place;
  process: LocalProcess | null;
  /** Connection that said hello from this process. */
  peer: string | null;
  /** Why the process was or will be ended, in words that follow the worker's name. */
  reason: string | null;
  /** Set when the process said hello in another protocol version. */
  mismatch: VersionMismatch | null;
}

/** How often silence is looked for. */
const TICK_MS = 200;
/** Between a process's end and what follows from it: what it sent last is still in the socket. */
const LAST_WORDS_MS = 20;
/** On closing: for workers to leave by themselves (in haste: when work was cut off), then after SIGTERM. */
const DRAIN_MS = 5_000;
const HASTY_DRAIN_MS = 1_000;
const TERMINATE_MS = 2_000;
/** For a worker with nothing in hand to leave when told to. */
const DISMISS_MS = 15_000;
/** Workers by name, each in its seat. */
export class Crew {
  readonly #options: CrewOptions;
  readonly #listeners: CrewListeners;
  readonly #seats: ReadonlyMap<string, Seat>;
  readonly #byPeer = new Map<string, Seat>();
  private readonly guests: Guests;
  readonly #controllers = new Set<string>();
  readonly #vigil: Vigil;
  readonly #transport: Transport;
  readonly #timer: NodeJS.Timeout;
  #strangerCount = 0;
  #isClosing = false;

  /** Opens the sockets; no process is started. */
  static async open(options: CrewOptions, listeners: CrewListeners): Promise<Crew> {
    let crew: Crew | null = null;
    const transport = await openTransport(
      {
        onMessage: (peer, message, frames) => crew?.hear(peer, { message, frames }),
        onViolation: (peer, error) => crew?.violated(peer, error),
        onDisconnect: () => crew?.guests.disconnected(),
        onUnreachable: (peer) => crew?.guests.lost(peer),
      },
      options.listen === undefined ? {} : { listen: options.listen },
    );
    crew = new Crew(options, listeners, transport);
    return crew;
  }

  private constructor(options: CrewOptions, listeners: CrewListeners, transport: Transport) {
    const { heartbeatTimeoutMs, unitTimeoutMs, startTimeoutMs } = options;
    const intervalMs = Math.min(TICK_MS, Math.ceil(heartbeatTimeoutMs / 4));
    this.#options = options;
    this.#listeners = listeners;
    this.#transport = transport;
    this.#seats = new Map(
      options.places.map((place) => [place.name, { place, process: null, peer: null, reason: null, mismatch: null }]),
    );
    this.#vigil = new Vigil({ heartbeatTimeoutMs, unitTimeoutMs, startTimeoutMs, intervalMs });
    const isTaken = (name: string): boolean => this.#seats.has(name);
    this.guests = new Guests(transport, { vigil: this.#vigil, listeners, isTaken });
    this.#timer = setInterval(() => {
      for (const { worker, reason } of this.#vigil.tick(performance.now())) this.kill(worker, reason, true);
    }, intervalMs);
  }

  /** Where workers can join, and the tickets for it. */
  get reception(): Pick<Transport, "ticketPath" | "gate" | "admit"> {
    return this.#transport;
  }

  /** Starts the process of a seat that is empty. */
  launch(worker: string): void {
    const seat = this.#seat(worker);
    const { device, threads } = seat.place;
    const { python, logDir, command } = this.#options;
    const argv = ["--ticket", this.#transport.ticketPath, "--name", worker];
    argv.push("--device", device, "--threads", String(threads));
    const common = { name: worker, python, logDir, env: threadEnvironment(threads) };
    const process =
      command === undefined
        ? launchFork({ ...common, argv: ["worker", ...argv] })
        : launchLocal({ ...common, command: [...command, ...argv] });
    Object.assign(seat, { process, peer: null, reason: null, mismatch: null });
    this.#vigil.begin(worker);
    void process.ended.then(async (ending) => {
      await delay(LAST_WORDS_MS);
      this.#buried(seat, ending);
    });
  }

  /** Connections and messages of strangers so far; only the first was told. */
  get strangerCount(): number {
    return this.#strangerCount;
  }

  /** Sends to a worker that has said hello; otherwise its death is on the way and nothing is lost. */
  send(worker: string, message: Unversioned<DownMessage>, frames: readonly Uint8Array[] = []): void {
    const peer = this.#peerOf(worker);
    if (peer !== null) this.#transport.send(peer, message, frames);
  }

  /** Lets a worker go that has nothing in hand. */
  dismiss(worker: string): void {
    this.send(worker, { type: "drain" });
    const peer = this.#peerOf(worker);
    setTimeout(() => {
      if (peer !== null && this.#peerOf(worker) === peer) this.kill(worker, "was let go, did not leave");
    }, DISMISS_MS).unref();
  }

  /** Says what a worker does from now on, for the watch over it. */
  expect(worker: string, watch: Watch, answerBytes: number): void {
    this.#vigil.expect(worker, watch, answerBytes);
  }

  /** Ends a process at once; nothing more is heard of it. `reason` follows its name: "was silent for 15.0 s". */
  kill(worker: string, reason: string, mayReturn = false): void {
    const seat = this.#seats.get(worker);
    if (seat === undefined) return this.guests.expel(worker, reason, mayReturn);
    if (seat.process === null) return;
    // The first reason counts; what follows from it is no news.
    seat.reason ??= `${reason} and was killed`;
    this.#unseat(seat);
    seat.process.signal("SIGKILL");
  }

  /** A worker said why it leaves: give it a moment to do so. */
  excuse(worker: string, reason: string): void {
    const seat = this.#seats.get(worker);
    if (seat === undefined) return this.guests.excuse(worker, reason);
    seat.reason ??= reason;
    const { process } = seat;
    setTimeout(() => process?.signal("SIGKILL"), TERMINATE_MS).unref();
  }

  /** Drain, then SIGTERM, then SIGKILL; when the promise resolves no process and no file is left. */
  async close(isHasty: boolean): Promise<void> {
    this.#isClosing = true;
    clearInterval(this.#timer);
    const processes: LocalProcess[] = [];
    for (const { place, peer, process } of this.#seats.values()) {
      if (process === null) continue;
      processes.push(process);
      if (peer !== null) this.send(place.name, { type: "drain" });
      else process.signal("SIGTERM");
    }
    const ended = Promise.all([...processes.map((process) => process.ended), this.guests.drain()]);
    if (!(await endsWithin(ended, isHasty ? HASTY_DRAIN_MS : DRAIN_MS))) {
      for (const process of processes) process.signal("SIGTERM");
      this.guests.expelAll("did not leave");
      if (!(await endsWithin(ended, TERMINATE_MS))) for (const process of processes) process.signal("SIGKILL");
    }
    await ended;
    await this.#transport.close();
  }

  private hear(peer: string, payload: Payload): void {
    const { message } = payload;
    if (message.type === "hello") return this.#greet(peer, payload);
    if (message.type === "control" && this.#controllers.has(peer)) {
      return this.#transport.send(peer, this.#listeners.onControl(message));
    }
    const worker = this.#nameAt(peer);
    if (worker === undefined) return this.#transport.forget(peer);
    if (message.type === "heartbeat") return this.#vigil.heard(worker, message.progress);
    this.#vigil.heard(worker, message.type === "log" ? 0 : null);
    this.#listeners.onMessage(worker, payload);
    // Its last word; the end of a process that was started here tells more.
    if (message.type === "bye") this.guests.left(peer);
  }

  #greet(peer: string, payload: Payload): void {
    const hello = payload.message;
    if (hello.type !== "hello") return;
    const isRemote = this.#transport.isRemote(peer);
    if (hello.role === "control") {
      // Whoever may open the folder of the ipc socket is the user; a ticket for workers gives no say over others.
      if (isRemote) this.#transport.forget(peer);
      else this.#controllers.add(peer);
      return;
    }
    if (isRemote || !this.#seats.has(hello.name)) return this.guests.greet(peer, payload, isRemote);
    const seat = this.#seats.get(hello.name);
    // The pid tells this life from an earlier one whose hello was read late.
    if (seat === undefined || seat.peer !== null || seat.process?.pid !== hello.pid)
      return this.#transport.forget(peer);
    seat.peer = peer;
    this.#byPeer.set(peer, seat);
    this.#vigil.expect(hello.name, "idle");
    this.#listeners.onMessage(hello.name, payload);
  }

  private violated(peer: string, error: QuarryError): void {
    const worker = this.#nameAt(peer);
    if (worker !== undefined) {
      const what = error.code === "PROTOCOL" ? "broke the protocol" : "could not be answered";
      return this.kill(worker, `${what} (${error.message})`);
    }
    // A user's command: whoever gave it has been told.
    if (this.#controllers.delete(peer)) return;
    // Of a process of ours only: a command of another release that asks about the run says nothing of its workers.
    if (error instanceof VersionMismatch && !this.#transport.isRemote(peer)) {
      const seat = [...this.#seats.values()].find(({ process }) => process !== null && process.pid === error.pid);
      if (seat !== undefined) seat.mismatch = error;
    }
    // Once: ten thousand connections of a port scanner must not become ten thousand warnings.
    if (this.#strangerCount === 0) this.#listeners.onStranger(error);
    this.#strangerCount += 1;
  }

  #buried(seat: Seat, ending: Ending): void {
    const { place, mismatch } = seat;
    const { name } = place;
    const how = seat.reason ?? (ending.signal === null ? ending.how : `was ${ending.how}`);
    this.#unseat(seat);
    this.#vigil.drop(name);
    seat.process = null;
    if (!this.#isClosing) this.#listeners.onDeath(name, { how, ending, mismatch });
  }

  /** Takes the connection away; the process may live on for a moment. */
  #unseat(seat: Seat): void {
    if (seat.peer === null) return;
    this.#transport.forget(seat.peer);
    this.#byPeer.delete(seat.peer);
    seat.peer = null;
  }

  #nameAt(peer: string): string | undefined {
    return this.#byPeer.get(peer)?.place.name ?? this.guests.nameAt(peer);
  }

  #peerOf(worker: string): string | null {
    return this.guests.peerOf(worker) ?? this.#seats.get(worker)?.peer ?? null;
  }

  #seat(worker: string): Seat {
    const seat = this.#seats.get(worker);
    if (seat === undefined) throw new QuarryError("INTERNAL", `No worker is called ${worker}.`);
    return seat;
  }
}
