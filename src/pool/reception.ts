/** Where others meet the pool: the ticket for joining, what a user is told of it, and the commands list and drain. */
import type { DownMessage, Unversioned, UpMessage } from "../protocol/messages.js";
import type { Crew } from "./crew.js";
import { type Rendezvous, writeRendezvous } from "./rendezvous.js";
import type { PoolReport } from "./report.js";
import { canWork, isAlive, type PoolState, type Worker } from "./state.js";
import type { TicketContent } from "./ticket.js";

type Control = Extract<UpMessage, { type: "control" }>;
type Controlled = Unversioned<Extract<DownMessage, { type: "controlled" }>>;
type Hello = Extract<UpMessage, { type: "hello" }>;

/** Workers on other machines that were started with the pool. */
export interface Launched {
  /** Resolves when none of them can bring a worker any more. */
  readonly ended: Promise<void>;
  /** Whether something that was started may still bring a worker; what somebody may start by hand does not count. */
  mayBringMore(): boolean;
  /** Called when the workers have been told to leave; those that have not ended after `leaveMs` are made to. */
  close(leaveMs?: number): Promise<void>;
}

/** How a pool's workers on other machines are started; called once the socket is open. Where it rejects, none of them runs. */
export type Launch = (reception: {
  /** A ticket with a client key of its own, over TCP; raises INTERNAL when the pool does not listen. */
  readonly admit: () => TicketContent;
  /** Ticket for processes on this machine. */
  readonly ticketPath: string;
}) => Promise<Launched>;

/** Workers in one answer: half of what a header has room for, so that the hosts' names may be of any length. */
const LISTED = 500;
/** Workers that an error names. */
const NAMED = 20;

/** Meets whoever comes. */
export class Reception {
  readonly #state: PoolState;
  readonly #report: PoolReport;
  readonly #hosts = new Map<string, { readonly host: string; readonly device: string }>();
  #rendezvous: Rendezvous | null = null;
  #launched: Launched | null = null;
  #isWaitingTold = false;

  constructor(state: PoolState, report: PoolReport) {
    this.#state = state;
    this.#report = report;
  }

  /** Writes the files of the run folder, tells how to join, and starts workers elsewhere; `onEnded` is called when those are gone. */
  async open(
    desk: Crew["reception"],
    runDir: string | undefined,
    launch: Launch | undefined,
    onEnded: () => void,
  ): Promise<void> {
    const { gate, ticketPath } = desk;
    if (runDir !== undefined)
      this.#rendezvous = writeRendezvous(runDir, ticketPath, gate === null ? null : desk.admit());
    if (gate !== null) {
      if (gate.isWildcard) {
        const message = `Workers can join on every network of this machine (${gate.address}).`;
        this.#report.warn(message, "Give workers.listen one address to listen on that network only.");
      }
      this.#report.note(`Workers can join at ${gate.address}.`, this.#howToJoin());
    }
    if (launch === undefined) return;
    this.#launched = await launch({ admit: () => desk.admit(), ticketPath });
    void this.#launched.ended.then(onEnded);
  }

  /** Notes who a worker is, from its hello. */
  met(worker: string, { host, device }: Hello): void {
    this.#hosts.set(worker, { host, device });
    this.#isWaitingTold = false;
  }

  /** Where a worker runs. */
  hostOf(worker: string): string {
    return this.#hosts.get(worker)?.host ?? "-";
  }

  /** Whether what was started elsewhere may still bring a worker. */
  get isAnyoneExpected(): boolean {
    return this.#launched?.mayBringMore() === true;
  }

  /** Tells once that a job stands still because nobody is there. */
  tellWaiting(): void {
    const { job, workers, isOpen } = this.#state;
    if (job === null || !isOpen || this.#isWaitingTold || [...workers.values()].some(isAlive)) return;
    this.#isWaitingTold = true;
    this.#report.note("No worker is here; the work waits until one joins.", this.#howToJoin());
  }

  /**
   * Answers a user's command; `leave` is called for a worker that is to be drained. A list comes in parts, in the order
   * of the names; each is asked for with the last name of the one before.
   */
  control({ action, worker: name }: Control, leave: (worker: string) => void): Controlled {
    const workers = [...this.#state.workers.values()].filter(({ phase }) => phase !== "retired");
    const answer = (isDone: boolean, text: string, listed: readonly Worker[] = []): Controlled => ({
      type: "controlled",
      isDone,
      text,
      workers: listed.map((worker) => this.#line(worker)),
    });
    if (action === "list") {
      const after = workers.filter((each) => name === null || each.name > name);
      return answer(true, "", after.sort((one, other) => (one.name < other.name ? -1 : 1)).slice(0, LISTED));
    }
    const worker = workers.find((each) => each.name === name);
    if (worker === undefined) {
      const names = workers.slice(0, NAMED).map((each) => each.name);
      const more = workers.length > NAMED ? ` and ${workers.length - NAMED} more` : "";
      return answer(false, `No worker is called ${name ?? "so"}; there are: ${names.join(", ") || "none"}${more}.`);
    }
    const others = workers.filter((each) => each !== worker && canWork(each) && !each.isLeaving);
    if (!this.#state.isOpen && others.length === 0) {
      return answer(false, `${worker.name} is the last worker and no other can join: stop the run instead (Ctrl-C).`);
    }
    leave(worker.name);
    return answer(true, `${worker.name} finishes what it has in hand and leaves.`);
  }

  /** From now on nobody finds the pool. */
  close(): void {
    this.#rendezvous?.remove();
  }

  /** Ends what was started elsewhere; its workers have left by now, or been turned away. */
  async end(): Promise<void> {
    await this.#launched?.close();
  }

  #line(worker: Worker): Controlled["workers"][number] {
    const { name, phase, inHand, isLeaving } = worker;
    const { host, device } = this.#hosts.get(name) ?? { host: "-", device: "-" };
    const state = isLeaving ? "leaving" : phase === "ready" && inHand.length > 0 ? "busy" : phase;
    return { name, host, device, state, doneRows: this.#report.doneRows(name) };
  }

  #howToJoin(): string | null {
    const path = this.#rendezvous?.joinPath ?? null;
    return path === null
      ? null
      : `npx quarry join --ticket ${path}; where that file is not, paste its one line into npx quarry join --ticket -`;
  }
}
