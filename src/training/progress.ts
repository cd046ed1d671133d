/** Turns ranks' reports into events, and keeps count over restarts. */
import type { UpMessage } from "../protocol/messages.js";
import type { WorkerState } from "../report/events.js";
import type { TrainJob } from "./job.js";
import type { RankPeer } from "./ranks.js";

type TrainStep = Extract<UpMessage, { type: "trainStep" }>;

/** Steps over which the rate is averaged. */
const RECENT_STEPS = 10;
/** Rows and bars are for eyes: twice a second is enough, while every step goes to the loss curve. */
const ROWS_EVERY_MS = 500;
/** So many first steps without any gradient are no accident. */
const FLAT_STEPS = 3;

/** Counts steps and tells the event stream. */
export class TrainProgress {
  /** Seconds spent in steps, those done twice included. */
  seconds = 0;
  /** Of these, waited for micro-batches by the rank that waited the longest. */
  waitSeconds = 0;
  readonly #job: TrainJob;
  readonly #recent: number[] = [];
  readonly #states = new Map<string, WorkerState>();
  #step: number;
  #lastRows = 0;
  /** First steps without any gradient; null once there was one, or this was told. */
  #flatSteps: number | null = 0;

  constructor(job: TrainJob, firstStep: number) {
    this.#job = job;
    this.#step = firstStep;
    this.#emitProgress();
  }

  /** A rank's row changes. */
  rank(rank: number, device: string | null, state: WorkerState, detail: string | null): void {
    const worker = `rank-${rank}`;
    this.#states.set(worker, state);
    const rate = state === "busy" ? this.#rate() : null;
    this.#job.events.emit({ type: "worker", worker, state, device, done: this.#step, ratePerSecond: rate, detail });
  }

  /** The ranks start over from a checkpoint. */
  restartAt(step: number): void {
    this.#step = step;
    this.#recent.length = 0;
    this.#emitProgress();
  }

  /** A step is done on all ranks. */
  finished(message: TrainStep, ranks: Iterable<RankPeer>): void {
    const { step, loss, learningRate, gradNorm, seconds, waitSeconds } = message;
    this.#step = step;
    this.seconds += seconds;
    this.waitSeconds += waitSeconds;
    this.#recent.push(seconds);
    if (this.#recent.length > RECENT_STEPS) this.#recent.shift();
    const waitShare = seconds > 0 ? Math.min(1, waitSeconds / seconds) : 0;
    const { maxSteps } = this.#job;
    this.#job.events.emit({
      type: "trainStep",
      ...{ step, maxSteps, loss, learningRate, gradNorm, stepsPerSecond: this.#rate(), waitShare },
      // Reports count finished steps from 1, the plan counts from 0.
      ...(this.#job.negativesOf === undefined ? {} : { negatives: this.#job.negativesOf(step - 1) }),
    });
    this.#tellFlat(gradNorm);
    const now = performance.now();
    if (step < maxSteps && now - this.#lastRows < ROWS_EVERY_MS) return;
    this.#lastRows = now;
    this.#emitProgress();
    for (const { rank, device } of ranks) this.rank(rank, device, "busy", null);
  }

  /** Whatever happened, no row may go on looking busy. */
  ended(): void {
    this.#emitProgress();
    for (const [worker, state] of this.#states) {
      if (state === "stopped") continue;
      this.#states.set(worker, "stopped");
      const row = { device: null, done: this.#step, ratePerSecond: null, detail: null };
      this.#job.events.emit({ type: "worker", worker, state: "stopped", ...row });
    }
  }

  /** Training goes to its end also where the loss compares nothing. */
  #tellFlat(gradNorm: number | null): void {
    if (this.#flatSteps === null) return;
    this.#flatSteps = gradNorm === 0 ? this.#flatSteps + 1 : null;
    if (this.#flatSteps === null || this.#flatSteps < Math.min(FLAT_STEPS, this.#job.maxSteps)) return;
    const steps = this.#flatSteps === 1 ? "step" : `${this.#flatSteps} steps`;
    this.#flatSteps = null;
    this.#job.events.emit({
      type: "warning",
      message: `The gradient of the first ${steps} is 0: the model learned nothing.`,
      hint: "Does the loss have anything to compare: negatives, labels that differ? See quarry doctor.",
    });
  }

  #emitProgress(): void {
    const { phase, maxSteps } = this.#job;
    this.#job.events.emit({
      type: "progress",
      ...{ phase, done: this.#step, total: maxSteps, ratePerSecond: this.#rate() },
    });
  }

  #rate(): number | null {
    const total = this.#recent.reduce((sum, seconds) => sum + seconds, 0);
    return total > 0 ? this.#recent.length / total : null;
  }
}
