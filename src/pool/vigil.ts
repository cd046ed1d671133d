/** Notices workers that fell silent or stopped advancing; knows how late this process itself was. */

/** What a worker is doing, as far as patience goes. */
export type Watch = "starting" | "loading" | "idle" | "working";

/** Milliseconds of patience. */
export interface VigilLimits {
  readonly heartbeatTimeoutMs: number;
  readonly unitTimeoutMs: number;
  /** From the start of the process to its hello: interpreter and imports. */
  readonly startTimeoutMs: number;
  /** Time between two calls of `tick`. */
  readonly intervalMs: number;
}

interface Watched {
  watch: Watch;
  seenMs: number;
  advancedMs: number;
  progress: number;
  /** Milliseconds for an answer that travels, during which nothing else is heard. */
  travelMs: number;
}

/** Bytes a millisecond, 8 Mbit/s: on a slower link answers must be small, or the patience great. */
const SLOW_LINK = 1_000;

/** Building a model may hold Python's lock, and with it the heartbeat, for longer than any batch does. */
const LOADING_PATIENCE = 4;

/**
 * Counts time only while this process was able to listen: when the event loop was blocked, or the whole process stopped,
 * at most two intervals count, so that what waits in the socket is heard before anyone is called silent.
 */
export class Vigil {
  readonly #limits: VigilLimits;
  readonly #workers = new Map<string, Watched>();
  #listenedMs = 0;
  #lastTickMs: number | null = null;

  constructor(limits: VigilLimits) {
    this.#limits = limits;
  }

  /** A process was started. */
  begin(worker: string): void {
    const now = this.#listenedMs;
    this.#workers.set(worker, { watch: "starting", seenMs: now, advancedMs: now, progress: -1, travelMs: 0 });
  }

  /** Something arrived; `progress` is what a heartbeat carries, null stands for an answer. */
  heard(worker: string, progress: number | null): void {
    const watched = this.#workers.get(worker);
    if (watched === undefined) return;
    watched.seenMs = this.#listenedMs;
    if (progress === null || progress > watched.progress) watched.advancedMs = this.#listenedMs;
    watched.progress = Math.max(watched.progress, progress ?? 0);
  }

  /**
   * What the worker does from now on; a change starts its time anew.
   *
   * @param answerBytes of the largest answer over a network: it holds up the heartbeats behind it
   */
  expect(worker: string, watch: Watch, answerBytes = 0): void {
    const watched = this.#workers.get(worker);
    if (watched === undefined) return;
    watched.travelMs = answerBytes / SLOW_LINK;
    if (watched.watch === watch) return;
    watched.watch = watch;
    watched.seenMs = this.#listenedMs;
    watched.advancedMs = this.#listenedMs;
  }

  /** The worker is gone. */
  drop(worker: string): void {
    this.#workers.delete(worker);
  }

  /** Workers whose time is up, with the reason in words; each is told once. */
  tick(nowMs: number): { readonly worker: string; readonly reason: string }[] {
    const elapsed = this.#lastTickMs === null ? 0 : nowMs - this.#lastTickMs;
    this.#lastTickMs = nowMs;
    this.#listenedMs += Math.max(0, Math.min(elapsed, 2 * this.#limits.intervalMs));
    const late: { worker: string; reason: string }[] = [];
    for (const [worker, watched] of this.#workers) {
      const reason = this.#complaint(watched);
      if (reason === null) continue;
      late.push({ worker, reason });
      this.#workers.delete(worker);
    }
    return late;
  }

  #complaint({ watch, seenMs, advancedMs, travelMs }: Watched): string | null {
    const { heartbeatTimeoutMs, unitTimeoutMs, startTimeoutMs } = this.#limits;
    const silence = this.#listenedMs - seenMs;
    const standstill = this.#listenedMs - advancedMs;
    if (watch === "starting") return silence > startTimeoutMs ? `did not report within ${seconds(silence)}` : null;
    const patience = watch === "loading" ? heartbeatTimeoutMs * LOADING_PATIENCE : heartbeatTimeoutMs;
    if (silence > patience + travelMs) return `was silent for ${seconds(silence)}`;
    if (watch !== "idle" && standstill > unitTimeoutMs) return `made no progress for ${seconds(standstill)}`;
    return null;
  }
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1_000).toFixed(1)} s`;
}
