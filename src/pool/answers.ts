/** What workers answer, checked against the job at hand and turned into events. */
import { type QuarryError, toQuarryError } from "../errors.js";
import type { UpMessage } from "../protocol/messages.js";
import type { PoolEvent } from "./actions.js";
import type { Payload } from "./crew.js";
import type { Answer } from "./jobs/index.js";
import type { PoolReport } from "./report.js";
import type { Run } from "./run.js";
import type { PoolState } from "./state.js";

/** What answers need of the pool. */
interface Pool {
  /** The job at hand; null between two. */
  run(): Run | null;
  feed(event: PoolEvent, answer: Answer | null): void;
  kill(worker: string, reason: string): void;
  end(run: Run, error: QuarryError): void;
}

/** Knows which units each worker may still answer, by the names they travel under. */
export class Answers {
  readonly #ids = new Map<string, Map<string, number>>();
  readonly #state: PoolState;
  readonly #report: PoolReport;
  readonly #credits: number;
  readonly #pool: Pool;

  constructor(state: PoolState, report: PoolReport, credits: number, pool: Pool) {
    this.#state = state;
    this.#report = report;
    this.#credits = credits;
    this.#pool = pool;
  }

  /** The worker was configured anew: it has no unit of this job. */
  begin(worker: string): void {
    this.#ids.set(worker, new Map());
  }

  /** A unit was sent to it. */
  await(worker: string, unit: string, index: number): void {
    this.#ids.get(worker)?.set(unit, index);
  }

  forget(worker: string): void {
    this.#ids.delete(worker);
  }

  /** A worker has loaded what it was told to. */
  ready(worker: string, message: Extract<UpMessage, { type: "ready" }>): void {
    const run = this.#pool.run();
    // An earlier job's configuration may be answered first.
    const isLatest = this.#state.workers.get(worker)?.pendingReady === 1;
    if (isLatest && run !== null) {
      try {
        run.accept(worker, message);
      } catch (thrown) {
        const error = toQuarryError(thrown);
        // One that joined must not end the work of the others.
        if (this.#state.workers.get(worker)?.isGuest === true) {
          return this.#pool.kill(worker, `does not fit in: ${error.message.replace(/\.$/, "")},`);
        }
        return this.#pool.end(run, error);
      }
    }
    if (isLatest) this.#report.worker(worker, "ready");
    const credits = Math.min(message.credits, this.#credits);
    this.#pool.feed({ type: "ready", worker, credits }, null);
  }

  /** A worker could not do a unit. */
  refused(worker: string, { unit: id, attempt, error }: Extract<UpMessage, { type: "failed" }>): void {
    const unit = this.#ids.get(worker)?.get(id);
    if (unit === undefined) return;
    const { code, message, isRetryable } = error;
    if (error.rows.length > 0) this.#pool.run()?.broken.set(unit, Int32Array.from(error.rows));
    this.#pool.feed({ type: "failed", worker, unit, attempt, code, message, isRetryable }, null);
  }

  /** A unit was done, or a snapshot covers several. */
  answered(
    worker: string,
    message: Extract<UpMessage, { type: "result" | "probed" | "done" | "snapshot" }>,
    payload: Payload,
  ): void {
    const run = this.#pool.run();
    const phase = this.#state.workers.get(worker)?.phase;
    // Before the last configuration is answered, everything belongs to an earlier job.
    if (run === null || phase !== "ready") return;
    const ids = this.#ids.get(worker);
    if (message.type === "snapshot") {
      const units = message.units.map(({ unit, attempt }) => ({ unit: ids?.get(unit) ?? -1, attempt }));
      const answer = this.#read(run, worker, payload, -1);
      if (answer !== null) this.#pool.feed({ type: "snapshot", worker, units }, answer);
      return;
    }
    const unit = ids?.get(message.unit);
    if (unit === undefined) return;
    const answer = message.type === "done" ? null : this.#read(run, worker, payload, unit);
    if (message.type === "done" ? run.assignment.kind !== "search" : answer === null) {
      return this.#pool.kill(worker, `answered ${message.unit} with what was not asked for`);
    }
    run.mark(performance.now());
    this.#report.answered(worker, run.units.rowCount(unit));
    this.#pool.feed({ type: "answered", worker, unit, attempt: message.attempt, seconds: message.seconds }, answer);
  }

  /** What an answer holds; one of another shape than the work ends the worker, not the job. */
  #read(run: Run, worker: string, payload: Payload, unit: number): Answer | null {
    try {
      return run.read(payload, unit);
    } catch (thrown) {
      this.#pool.kill(worker, `broke the protocol (${toQuarryError(thrown).message})`);
      return null;
    }
  }
}
