/** Notices ranks that do not start, fall silent, stand still or do not stop; counts ticks, so that tests need no time. */

/** How long each thing may take, in milliseconds. */
export interface WatchLimits {
  /** For all ranks to say hello. */
  readonly startMs: number;
  /** Without a word of a rank, heartbeats included. */
  readonly silenceMs: number;
  /** In which no rank finishes a micro-step, counted from the first step of a generation on. */
  readonly stepMs: number;
  /** From a wish to stop to the end of the step at hand. */
  readonly stopMs: number;
  /** From there to the end of the save. */
  readonly saveMs: number;
}

/** What is over its limit: training may start again, or, asked to stop, has to be ended. */
export type Alarm = { readonly kind: "died"; readonly reason: string } | { readonly kind: "stopped" };

/** A step may take longer than `stopMs` where steps do; it is waited for up to this long. */
const LONGEST_STOP_MS = 60_000;

/** The clock over one launch. Time is counted in calls of {@link tick}: a pause of this process blames nobody. */
export class Watch {
  readonly #limits: WatchLimits;
  #worldSize: number;
  readonly #silentMs = new Map<number, number>();
  readonly #progress = new Map<number, number>();
  #startingMs = 0;
  #stillMs = 0;
  #step: number | null = null;
  /** Of the last step. */
  #stepMs = 0;
  #stopLeftMs: number | null = null;
  #isSaving = false;

  constructor(limits: WatchLimits, worldSize: number) {
    this.#limits = limits;
    this.#worldSize = worldSize;
  }

  /** A new generation of ranks begins; nothing is known of it but how many there are. */
  begin(worldSize: number): void {
    this.#worldSize = worldSize;
    this.#silentMs.clear();
    this.#progress.clear();
    [this.#startingMs, this.#stillMs, this.#step] = [0, 0, null];
  }

  /** A rank said something; with its heartbeat comes its progress. */
  heard(rank: number, progress?: number): void {
    this.#silentMs.set(rank, 0);
    if (progress === undefined || progress === this.#progress.get(rank)) return;
    this.#progress.set(rank, progress);
    this.#stillMs = 0;
  }

  /** What training waits for is not up to its ranks. */
  moved(): void {
    this.#stillMs = 0;
  }

  /** A step is done, and a rank that was asked to stop begins to save. */
  stepped(step: number, seconds: number): void {
    this.#step = step;
    this.#stepMs = seconds * 1_000;
    this.#stillMs = 0;
    if (this.#stopLeftMs !== null) this.#save();
  }

  /** The ranks are asked to stop, or, between two steps, to save at once; further calls change nothing. */
  stop(isBetweenSteps = false): void {
    const { stopMs } = this.#limits;
    this.#stopLeftMs ??= Math.max(stopMs, Math.min(LONGEST_STOP_MS, 2 * this.#stepMs));
    if (isBetweenSteps) this.#save();
  }

  /** Counts time; says what is over its limit. */
  tick(elapsedMs: number): Alarm | null {
    const { startMs, silenceMs, stepMs } = this.#limits;
    if (this.#stopLeftMs !== null) {
      this.#stopLeftMs -= elapsedMs;
      if (this.#stopLeftMs <= 0) return { kind: "stopped" };
    }
    this.#startingMs = this.#silentMs.size === this.#worldSize ? 0 : this.#startingMs + elapsedMs;
    if (this.#startingMs > startMs) return died(`The ranks did not start within ${seconds(startMs)}.`);
    for (const [rank, ms] of this.#silentMs) {
      this.#silentMs.set(rank, ms + elapsedMs);
      if (ms + elapsedMs > silenceMs) return died(`Rank ${rank} was silent for ${seconds(silenceMs)}.`);
    }
    if (this.#step === null) return null;
    this.#stillMs += elapsedMs;
    if (this.#stillMs <= stepMs) return null;
    return died(`Training stood still for ${seconds(stepMs)} after step ${this.#step}: no rank got any further.`);
  }

  #save(): void {
    if (this.#isSaving) return;
    this.#isSaving = true;
    this.#stopLeftMs = this.#limits.saveMs;
  }
}

function died(reason: string): Alarm {
  return { kind: "died", reason };
}

function seconds(ms: number): string {
  return `${ms / 1_000} s`;
}
