/** The shell around the pool's logic: feeds events in, carries actions out. */
import { randomBytes } from "node:crypto";
import { QuarryError, toQuarryError } from "../errors.js";
import type { WorkersConfig } from "../experiment/schema.js";
import type { CrossEncoderContract, ErrorInfo, ModelContract, ModelSpec, UpMessage } from "../protocol/messages.js";
import { PROTOCOL_VERSION } from "../protocol/version.js";
import type { PythonEnvironment } from "../python/environment.js";
import type { EventStream } from "../report/events.js";
import { Crew, type Death, type Payload } from "./crew.js";
import { advance, type PoolAction, type PoolEvent } from "./reducer.js";
import { PoolReport } from "./report.js";
import { coreCount, countGpus, type Place, planPlaces } from "./resources.js";
import { type Answer, type Assignment, interrupted, Run } from "./run.js";
import { emptyPool, type PoolState } from "./state.js";
import type { EncodeJob, JobOutcome, ScoreJob, SearchJob, WorkerPool } from "./types.js";

/** What a pool needs. */
export interface PoolOptions {
  readonly workers: WorkersConfig;
  readonly python: PythonEnvironment;
  /** Each worker's output goes to `<logDir>/<worker>.log`. */
  readonly logDir: string;
  readonly events: EventStream;
  /** Stops the job at hand; `close` still has to be called. */
  readonly signal?: AbortSignal;
  /** Program and first arguments of a worker in place of `python -m quarry_runtime worker`. */
  readonly workerCommand?: readonly string[];
  /** Patience from the start of a worker's process to its hello. */
  readonly startTimeoutMs?: number;
}

/** How often counts and rates are looked at. */
const TICK_MS = 200;
/** After a stop on request: for units in hand and snapshots to come in. */
const STOP_GRACE_MS = 5_000;
/** Interpreter and imports on a slow disk. */
const START_TIMEOUT_MS = 120_000;

/**
 * Opens a pool; its processes start with the first job.
 *
 * @example
 * const pool = await openPool({ workers, python: await findPython(), logDir: "logs", events: new EventStream() });
 * try {
 *   await pool.encode(job);
 * } finally {
 *   await pool.close();
 * }
 */
export async function openPool(options: PoolOptions): Promise<WorkerPool> {
  const { workers, python, logDir } = options;
  const isGpuWanted = workers.device === "auto" || workers.device === "cuda" || workers.count === "auto";
  const gpuCount = isGpuWanted && workers.device !== "cpu" ? await countGpus(python) : 0;
  const places = planPlaces(workers, gpuCount, coreCount());
  const command = options.workerCommand ?? [python.executable, "-m", "quarry_runtime", "worker"];
  const { heartbeatTimeoutMs, unitTimeoutMs } = workers;
  const startTimeoutMs = options.startTimeoutMs ?? Math.max(START_TIMEOUT_MS, heartbeatTimeoutMs);
  const limits = { heartbeatTimeoutMs, unitTimeoutMs, startTimeoutMs };
  return LocalPool.open(options, places, (listeners) =>
    Crew.open({ places, python, logDir, command, ...limits }, listeners),
  );
}

class LocalPool implements WorkerPool {
  readonly #options: PoolOptions;
  readonly #places: ReadonlyMap<string, Place>;
  readonly #state: PoolState;
  readonly #report: PoolReport;
  readonly #timer: NodeJS.Timeout;
  /** Units that each worker may still answer, by the names they travel under. */
  readonly #ids = new Map<string, Map<string, number>>();
  readonly #deaths = new Map<string, Death>();
  #crew!: Crew;
  #run: Run | null = null;
  #queue: Promise<unknown> = Promise.resolve();
  #fatal: QuarryError | null = null;
  #closing: Promise<void> | null = null;

  static async open(
    options: PoolOptions,
    places: readonly Place[],
    hire: (listeners: Parameters<typeof Crew.open>[1]) => Promise<Crew>,
  ): Promise<LocalPool> {
    const pool = new LocalPool(options, places);
    try {
      pool.#crew = await hire({
        onMessage: (worker, payload) => pool.#hear(worker, payload),
        onDeath: (worker, death) => pool.#died(worker, death),
        onStranger: (error) => pool.#report.warn(`A stranger was turned away. ${error.message}`),
      });
    } catch (thrown) {
      clearInterval(pool.#timer);
      throw thrown;
    }
    return pool;
  }

  private constructor(options: PoolOptions, places: readonly Place[]) {
    this.#options = options;
    this.#places = new Map(places.map((place) => [place.name, place]));
    this.#state = emptyPool(randomBytes(4).toString("hex"), [...this.#places.keys()]);
    this.#report = new PoolReport(options.events);
    this.#timer = setInterval(() => this.#counts(false), TICK_MS);
  }

  get size(): number {
    return this.#places.size;
  }

  async describe(model: ModelSpec): Promise<ModelContract> {
    return (await this.#enqueue({ kind: "describe", model })).contract;
  }

  encode(job: EncodeJob): Promise<JobOutcome> {
    return this.#enqueue({ kind: "encode", ...job });
  }

  search(job: SearchJob): Promise<JobOutcome> {
    return this.#enqueue({ kind: "search", ...job });
  }

  async describeCrossEncoder(model: ScoreJob["model"]): Promise<CrossEncoderContract> {
    return (await this.#enqueue<CrossEncoderContract>({ kind: "describeCross", model })).contract;
  }

  score(job: ScoreJob): Promise<JobOutcome<CrossEncoderContract>> {
    return this.#enqueue({ kind: "score", ...job });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** One job at a time: two would only take each other's workers. A job's kind decides what its contract is. */
  #enqueue<Contract = ModelContract>(assignment: Assignment): Promise<JobOutcome<Contract>> {
    const outcome = this.#queue.then(() => this.#work(assignment)) as Promise<JobOutcome<Contract>>;
    this.#queue = outcome.catch(() => {});
    return outcome;
  }

  async #work(assignment: Assignment): Promise<Awaited<Run["outcome"]>> {
    const own = "signal" in assignment ? assignment.signal : undefined;
    const signals = [own, this.#options.signal].filter((signal) => signal !== undefined);
    if (this.#closing !== null || signals.some(({ aborted }) => aborted)) throw interrupted();
    const run = new Run(assignment, this.#options.workers.batchSize);
    this.#run = run;
    this.#fatal = null;
    const stop = (): void => this.#stop(run);
    for (const signal of signals) signal.addEventListener("abort", stop, { once: true });
    try {
      if ("units" in assignment) this.#report.begin(assignment.phase, run.totalRows);
      this.#feed({ type: "begin", plan: run.plan(this.#options.workers.maxAttempts) });
      return await run.outcome;
    } finally {
      for (const signal of signals) signal.removeEventListener("abort", stop);
      this.#run = null;
    }
  }

  #stop(run: Run): void {
    if (run.isOver || run.isStopping) return;
    run.isStopping = true;
    this.#feed({ type: "stop" });
    setTimeout(() => this.#end(run, interrupted()), STOP_GRACE_MS).unref();
  }

  #end(run: Run, error: QuarryError | null): void {
    if (run.isOver) return;
    this.#counts(true);
    void run.end(this.#state.job?.doneRows ?? 0, error);
    this.#feed({ type: "end" });
  }

  #feed(event: PoolEvent, answer: Answer | null = null): void {
    const actions = advance(this.#state, event);
    // Query vectors go before the first unit.
    if (event.type === "ready" && this.#state.workers.get(event.worker)?.phase === "ready") this.#equip(event.worker);
    for (const action of actions) {
      try {
        this.#perform(action, answer);
      } catch (thrown) {
        // A unit that cannot be read, a process that cannot be started: no worker can mend that.
        if (this.#run !== null) this.#end(this.#run, toQuarryError(thrown));
      }
    }
    for (const { name, phase, inHand, isFlushing } of this.#state.workers.values()) {
      if (phase === "absent" || phase === "broken" || phase === "starting") continue;
      const isWorking = inHand.length > 0 || isFlushing;
      this.#crew.expect(name, phase === "loading" ? "loading" : isWorking ? "working" : "idle");
    }
  }

  #perform(action: PoolAction, answer: Answer | null): void {
    if (action.type === "lost") return this.#lost(action);
    if (action.type === "kill") return this.#crew.kill(action.worker, action.reason);
    const run = this.#run;
    if (run === null || run.isOver) return;
    switch (action.type) {
      case "launch":
        this.#report.worker(action.worker, "starting", null, this.#places.get(action.worker)?.device);
        return this.#crew.launch(action.worker);
      case "configure":
        this.#ids.set(action.worker, new Map());
        this.#report.worker(action.worker, "loading", run.assignment.model.checkpoint);
        return this.#crew.send(action.worker, { v: PROTOCOL_VERSION, type: "configure", task: run.task() });
      case "sendUnit":
        return this.#sendUnit(run, action.worker, action.unit, action.attempt);
      case "flush":
        return this.#crew.send(action.worker, { v: PROTOCOL_VERSION, type: "flush" });
      case "persistVectors":
        return this.#persist(run, action, [action.unit], run.persist(action.session, [action.unit], answer));
      case "persistSnapshot":
        return this.#persist(run, action, action.units, run.persist(action.session, action.covered, answer));
      case "giveUp": {
        const unit = run.units.id(action.unit);
        const { code, message } = action;
        run.failed.push({ unit, rows: run.broken.get(action.unit) ?? run.units.rows(action.unit), code, message });
        return this.#report.warn(`Unit ${unit} is given up: ${message}.`);
      }
      case "fail":
        return this.#end(run, this.#noWorkerLeft(action.message));
      case "finished":
        return this.#end(run, run.isStopping ? interrupted() : null);
    }
  }

  #sendUnit(run: Run, worker: string, index: number, attempt: number): void {
    const unit = run.units.id(index);
    const rowCount = run.units.rowCount(index);
    const frame = run.units.frame(index);
    this.#ids.get(worker)?.set(unit, index);
    run.mark(performance.now());
    this.#crew.send(worker, { v: PROTOCOL_VERSION, type: "unit", unit, attempt, rowCount }, [frame]);
  }

  #persist(
    run: Run,
    { worker, session }: { readonly worker: string; readonly session: string },
    units: readonly number[],
    saved: Promise<void>,
  ): void {
    saved.then(
      () => {
        if (this.#run === run && !run.isOver) this.#feed({ type: "durable", worker, session, units });
      },
      (thrown: unknown) => this.#end(run, toQuarryError(thrown)),
    );
  }

  #equip(worker: string): void {
    if (this.#run === null || this.#run.isOver) return;
    for (const { firstRow, tensor, bytes } of this.#run.queryBlocks())
      this.#crew.send(worker, { v: PROTOCOL_VERSION, type: "queries", firstRow, tensor }, [bytes]);
  }

  #hear(worker: string, payload: Payload): void {
    const { message } = payload;
    switch (message.type) {
      case "hello":
        this.#report.worker(worker, "starting", message.deviceName, message.device);
        return this.#feed({ type: "hello", worker });
      case "log":
        return this.#report.log(worker, message.level, message.text);
      case "bye":
        return this.#report.log(worker, "info", message.reason);
      case "fatal":
        return this.#failing(worker, message.error);
      case "ready":
        return this.#ready(worker, message);
      case "failed":
        return this.#refused(worker, message);
      case "result":
      case "done":
      case "snapshot":
        return this.#answered(worker, message, payload);
      default:
        this.#crew.kill(worker, `sent ${message.type}, which belongs to training,`);
    }
  }

  #ready(worker: string, message: Extract<UpMessage, { type: "ready" }>): void {
    const run = this.#run;
    // An earlier job's configuration may be answered first.
    const isLatest = this.#state.workers.get(worker)?.pendingReady === 1;
    if (isLatest && run !== null && !run.isOver) {
      try {
        run.accept(worker, message.model, message.crossEncoder);
      } catch (thrown) {
        return this.#end(run, toQuarryError(thrown));
      }
    }
    if (isLatest) this.#report.worker(worker, "ready");
    const credits = Math.min(message.credits, this.#options.workers.credits);
    this.#feed({ type: "ready", worker, credits });
  }

  #refused(worker: string, { unit: id, attempt, error }: Extract<UpMessage, { type: "failed" }>): void {
    const unit = this.#ids.get(worker)?.get(id);
    if (unit === undefined) return;
    const { code, message, isRetryable } = error;
    if (error.rows.length > 0) this.#run?.broken.set(unit, Int32Array.from(error.rows));
    this.#feed({ type: "failed", worker, unit, attempt, code, message, isRetryable });
  }

  #answered(
    worker: string,
    message: Extract<UpMessage, { type: "result" | "done" | "snapshot" }>,
    payload: Payload,
  ): void {
    const run = this.#run;
    const phase = this.#state.workers.get(worker)?.phase;
    // Before the last configuration is answered, everything belongs to an earlier job.
    if (run === null || run.isOver || phase !== "ready") return;
    const ids = this.#ids.get(worker);
    if (message.type === "snapshot") {
      const units = message.units.map(({ unit, attempt }) => ({ unit: ids?.get(unit) ?? -1, attempt }));
      const answer = this.#read(run, worker, payload, -1);
      if (answer !== null) this.#feed({ type: "snapshot", worker, units }, answer);
      return;
    }
    const unit = ids?.get(message.unit);
    if (unit === undefined) return;
    const answer = message.type === "done" ? null : this.#read(run, worker, payload, unit);
    if (message.type === "result" ? answer === null : run.assignment.kind !== "search") {
      return this.#crew.kill(worker, `answered ${message.unit} with what was not asked for`);
    }
    run.mark(performance.now());
    this.#report.answered(worker, run.units.rowCount(unit));
    this.#feed({ type: "answered", worker, unit, attempt: message.attempt, seconds: message.seconds }, answer);
  }

  /** What an answer holds; one of another shape than the work ends the worker, not the job. */
  #read(run: Run, worker: string, payload: Payload, unit: number): Answer | null {
    try {
      return run.read(payload, unit);
    } catch (thrown) {
      this.#crew.kill(worker, `broke the protocol (${toQuarryError(thrown).message})`);
      return null;
    }
  }

  #failing(worker: string, { code, message, hint, isRetryable }: ErrorInfo): void {
    this.#fatal = new QuarryError(code, message, { isRetryable, ...(hint === null ? {} : { hint }) });
    this.#crew.excuse(worker, `stopped (${message})`);
    if (!isRetryable && this.#run !== null) this.#end(this.#run, this.#fatal);
  }

  #died(worker: string, death: Death): void {
    this.#deaths.set(worker, death);
    this.#ids.delete(worker);
    if (death.mismatch !== null && this.#run !== null) this.#end(this.#run, death.mismatch);
    this.#feed({ type: "died", worker, how: death.how });
  }

  #lost({ worker, how, inHand, heldCount, isBroken }: Extract<PoolAction, { type: "lost" }>): void {
    const run = this.#run;
    // Between two jobs, or after its own report ended one: nothing is lost, the next job starts it again.
    if (run === null || run.isOver) return this.#report.worker(worker, "lost", how);
    const names = inHand.map((unit) => run.units.id(unit));
    const held = heldCount === 0 ? "" : `, ${heldCount} done since its last snapshot`;
    const lot = names.length === 0 ? "nothing in hand" : `${names.join(", ")} in hand`;
    const fate = isBroken ? "it is left out from now on" : "its work goes to others";
    this.#report.worker(worker, "lost", `${how}; ${fate}`);
    const hint = `See ${this.#options.logDir}/${worker}.log.`;
    this.#report.warn(`${worker} ${how} with ${lot}${held}; ${fate}.${isBroken ? this.#lastWords(worker) : ""}`, hint);
  }

  #lastWords(worker: string): string {
    const lines = this.#deaths.get(worker)?.ending.lastLines ?? [];
    return lines.length === 0 ? "" : ` Its last lines:\n  ${lines.join("\n  ")}`;
  }

  #noWorkerLeft(message: string): QuarryError {
    const words = [...this.#deaths.keys()].map((worker) => this.#lastWords(worker)).find(Boolean) ?? "";
    const hint = this.#fatal?.hint ?? `Read the logs in ${this.#options.logDir}.`;
    return new QuarryError("WORKER", `No worker is left: ${message}.${words}`, { hint, isRetryable: true });
  }

  #counts(isLast: boolean): void {
    const { job } = this.#state;
    const run = this.#run;
    if (job === null || run === null || !("units" in run.assignment)) return;
    const unitOf = (worker: string): string | null => {
      const first = this.#state.workers.get(worker)?.inHand[0];
      return first === undefined ? null : run.units.id(first);
    };
    this.#report.counts(performance.now(), run.rowsBefore + job.answeredRows, unitOf, isLast);
  }

  async #close(): Promise<void> {
    clearInterval(this.#timer);
    const isHasty = this.#run !== null || this.#options.signal?.aborted === true;
    if (this.#run !== null) this.#end(this.#run, interrupted());
    await this.#crew.close(isHasty);
    for (const { name, phase } of this.#state.workers.values()) {
      if (phase !== "absent" && phase !== "broken") this.#report.worker(name, "stopped");
    }
  }
}
