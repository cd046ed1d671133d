/** The shell around the pool's logic: feeds events in, carries actions out. */
import { randomBytes } from "node:crypto";
import { interrupted, QuarryError, toQuarryError } from "../errors.js";
import type { CrossEncoderContract, ErrorInfo, ModelContract, ModelSpec } from "../protocol/messages.js";
import type { PoolAction, PoolEvent } from "./actions.js";
import { Answers } from "./answers.js";
import { Crew, type CrewListeners, type Death, type Payload } from "./crew.js";
import {
  type Answer,
  type Assignment,
  describing,
  describingCrossEncoder,
  encoding,
  probing,
  scoring,
  searching,
} from "./jobs/index.js";
import { Obituary } from "./obituary.js";
import { type PoolOptions, planCrew } from "./options.js";
import { Reception } from "./reception.js";
import { advance } from "./reducer.js";
import { PoolReport } from "./report.js";
import { BATCH_SIZES, type Place } from "./resources.js";
import { Run } from "./run.js";
import { emptyPool, isAlive, type PoolState } from "./state.js";
import { Supply } from "./supply.js";
import type { EncodeJob, JobOutcome, ProbedSize, ProbeJob, ScoreJob, SearchJob, WorkerPool } from "./types.js";

/** How often counts and rates are looked at. */
const TICK_MS = 200;
/** After a stop on request: for units in hand and snapshots to come in. */
const STOP_GRACE_MS = 5_000;
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
  const { places, crew } = await planCrew(options);
  return LocalPool.open(options, places, (listeners) => Crew.open(crew, listeners));
}

class LocalPool implements WorkerPool {
  readonly #options: PoolOptions;
  readonly #places: ReadonlyMap<string, Place>;
  readonly #state: PoolState;
  readonly #report: PoolReport;
  readonly #timer: NodeJS.Timeout;
  readonly #answers: Answers;
  readonly #obituary: Obituary;
  readonly #reception: Reception;
  readonly #supply = new Supply(() => this.#crew);
  #crew!: Crew;
  #run: Run | null = null;
  #queue: Promise<unknown> = Promise.resolve();
  #closing: Promise<void> | null = null;

  static async open(
    options: PoolOptions,
    places: readonly Place[],
    hire: (listeners: CrewListeners) => Promise<Crew>,
  ): Promise<LocalPool> {
    const pool = new LocalPool(options, places);
    try {
      pool.#crew = await hire({
        onMessage: (worker, payload) => pool.#hear(worker, payload),
        onDeath: (worker, death) => pool.#died(worker, death),
        onStranger: (error) => pool.#report.warn(`A stranger was turned away. ${error.message}`),
        onJoin: (worker, payload, isRemote) => pool.#joined(worker, payload, isRemote),
        onControl: (message) => pool.#reception.control(message, (worker) => pool.#feed({ type: "leaving", worker })),
      });
      await pool.#reception.open(pool.#crew.reception, options.runDir, options.launch, () =>
        pool.#feed({ type: "closed" }),
      );
    } catch (thrown) {
      clearInterval(pool.#timer);
      pool.#reception.close();
      await pool.#crew?.close(true);
      await pool.#reception.end();
      throw thrown;
    }
    return pool;
  }

  private constructor(options: PoolOptions, places: readonly Place[]) {
    this.#options = options;
    this.#places = new Map(places.map((place) => [place.name, place]));
    const isOpen = options.workers.listen !== undefined || options.launch !== undefined;
    this.#state = emptyPool(randomBytes(4).toString("hex"), [...this.#places.keys()], isOpen);
    this.#report = new PoolReport(options.events);
    this.#obituary = new Obituary(this.#report, options.logDir);
    this.#reception = new Reception(this.#state, this.#report);
    this.#answers = new Answers(this.#state, this.#report, options.workers.credits, {
      run: () => (this.#run?.isOver === false ? this.#run : null),
      feed: (event, answer) => this.#feed(event, answer),
      kill: (worker, reason) => this.#crew.kill(worker, reason),
      end: (run, error) => this.#end(run, error),
    });
    this.#timer = setInterval(() => this.#counts(false), TICK_MS);
  }

  get size(): number {
    return Math.max(1, this.#places.size, this.#state.workers.size);
  }

  async describe(model: ModelSpec): Promise<ModelContract> {
    return (await this.#enqueue<ModelContract>(describing(model))).contract;
  }

  encode(job: EncodeJob): Promise<JobOutcome> {
    return this.#enqueue(encoding(job));
  }

  search(job: SearchJob): Promise<JobOutcome> {
    return this.#enqueue(searching(job));
  }

  async describeCrossEncoder(model: ScoreJob["model"]): Promise<CrossEncoderContract> {
    return (await this.#enqueue<CrossEncoderContract>(describingCrossEncoder(model))).contract;
  }

  score(job: ScoreJob): Promise<JobOutcome<CrossEncoderContract>> {
    return this.#enqueue(scoring(job));
  }

  async probe(job: ProbeJob): Promise<readonly ProbedSize[]> {
    let found: readonly ProbedSize[] = [];
    const onProbed = (sizes: readonly ProbedSize[]): void => void (found = sizes);
    const { failed } = await this.#enqueue(probing(job, onProbed));
    const [failure] = failed;
    if (failure !== undefined) throw new QuarryError(failure.code, `no batch size works: ${failure.message}`);
    return found;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** One job at a time: two would only take each other's workers. A job's kind decides what its contract is. */
  #enqueue<Contract = ModelContract | null>(assignment: Assignment): Promise<JobOutcome<Contract>> {
    const outcome = this.#queue.then(() => this.#work(assignment)) as Promise<JobOutcome<Contract>>;
    this.#queue = outcome.catch(() => {});
    return outcome;
  }

  async #work(assignment: Assignment): Promise<Awaited<Run["outcome"]>> {
    const own = assignment.signal;
    const signals = [own, this.#options.signal].filter((signal) => signal !== undefined);
    if (this.#closing !== null || signals.some(({ aborted }) => aborted)) throw interrupted();
    const { batchSize } = this.#options.workers;
    const run = new Run(assignment, typeof batchSize === "number" ? batchSize : BATCH_SIZES.cpu);
    this.#run = run;
    this.#obituary.fatal = null;
    const stop = (): void => this.#stop(run);
    for (const signal of signals) signal.addEventListener("abort", stop, { once: true });
    try {
      if (assignment.phase !== null) this.#report.begin(assignment.phase, run.totalRows);
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
    this.#reception.tellWaiting();
    const answerBytes = this.#run?.assignment.answerBytes ?? 0;
    for (const worker of this.#state.workers.values()) {
      const { name, phase, inHand, isFlushing, isGuest } = worker;
      if (!isAlive(worker) || phase === "starting") continue;
      const isWorking = inHand.length > 0 || isFlushing;
      const watch = phase === "loading" ? "loading" : isWorking ? "working" : "idle";
      this.#crew.expect(name, watch, isGuest ? answerBytes : 0);
    }
  }

  #perform(action: PoolAction, answer: Answer | null): void {
    if (action.type === "lost") return this.#obituary.tell(action, this.#run);
    if (action.type === "kill") return this.#crew.kill(action.worker, action.reason);
    if (action.type === "dismiss") return this.#crew.dismiss(action.worker);
    const run = this.#run;
    if (run === null || run.isOver) return;
    switch (action.type) {
      case "launch":
        this.#report.worker(action.worker, "starting", null, this.#places.get(action.worker)?.device);
        return this.#crew.launch(action.worker);
      case "configure":
        this.#answers.begin(action.worker);
        this.#report.worker(action.worker, "loading", run.assignment.checkpoint);
        return this.#configure(run, action.worker);
      case "sendUnit":
        return this.#sendUnit(run, action.worker, action.unit, action.attempt);
      case "flush":
        return this.#crew.send(action.worker, { type: "flush" });
      case "persistVectors":
        return this.#persist(run, action, [action.unit], run.persist(action.session, [action.unit], answer));
      case "persistSnapshot":
        return this.#persist(run, action, action.units, run.persist(action.session, action.covered, answer));
      case "giveUp": {
        const unit = run.units.id(action.unit);
        const { code, message } = action;
        const unitRows = run.units.rows(action.unit);
        run.failed.push({ unit, rows: run.broken.get(action.unit) ?? unitRows, unitRows, code, message });
        return this.#report.warn(`Unit ${unit} is given up: ${message}.`);
      }
      case "fail":
        return this.#end(run, this.#obituary.noWorkerLeft(action.message, this.#state.job));
      case "finished":
        return this.#end(run, run.isStopping ? interrupted() : null);
    }
  }

  #configure(run: Run, worker: string): void {
    const session = this.#state.workers.get(worker)?.session;
    this.#supply.configure(worker, run.task(), () => this.#state.workers.get(worker)?.session === session);
  }

  #sendUnit(run: Run, worker: string, index: number, attempt: number): void {
    const unit = run.units.id(index);
    const rowCount = run.units.rowCount(index);
    const frame = this.#supply.frame(worker, run.units, index);
    this.#answers.await(worker, unit, index);
    run.mark(performance.now());
    this.#crew.send(worker, { type: "unit", unit, attempt, rowCount }, [frame]);
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
    for (const { message, frames } of this.#run.assignment.equipment()) this.#crew.send(worker, message, frames);
  }

  #hear(worker: string, payload: Payload): void {
    const { message } = payload;
    switch (message.type) {
      case "hello":
        this.#reception.met(worker, message);
        this.#report.worker(worker, "starting", message.deviceName, message.device);
        return this.#feed({ type: "hello", worker });
      case "log":
        return this.#report.log(worker, message.level, message.text);
      case "leave":
        this.#report.log(worker, "info", `has to leave: ${message.reason}`);
        return this.#feed({ type: "leaving", worker });
      case "fetch":
        return this.#supply.fetch(worker, message.checkpoint, message.file, message.offset);
      case "bye":
        return this.#report.log(worker, "info", message.reason);
      case "fatal":
        return this.#failing(worker, message.error);
      case "ready":
        return this.#answers.ready(worker, message);
      case "failed":
        return this.#answers.refused(worker, message);
      case "result":
      case "probed":
      case "done":
      case "snapshot":
        return this.#answers.answered(worker, message, payload);
      default:
        this.#crew.kill(worker, `sent ${message.type}, which belongs to training,`);
    }
  }

  #failing(worker: string, error: ErrorInfo): void {
    const isGuest = this.#state.workers.get(worker)?.isGuest === true;
    const host = isGuest ? this.#reception.hostOf(worker) : null;
    const fatal = this.#obituary.confess(worker, host, error);
    this.#crew.excuse(worker, `stopped ${host === null ? "" : `on ${host} `}(${error.message})`);
    if (error.isRetryable) return;
    if (isGuest) this.#feed({ type: "unable", worker, isAnyoneExpected: this.#reception.isAnyoneExpected });
    else if (this.#run !== null) this.#end(this.#run, fatal);
  }

  #joined(worker: string, { message }: Payload, isRemote: boolean): void {
    if (message.type !== "hello") return;
    this.#reception.met(worker, message);
    if (isRemote) this.#supply.add(worker);
    this.#report.worker(worker, "starting", `joined from ${message.host}`, message.device);
    this.#report.note(`${worker} joined from ${message.host} (${message.deviceName}).`);
    this.#feed({ type: "joined", worker });
  }

  #died(worker: string, death: Death): void {
    this.#obituary.note(worker, death);
    this.#answers.forget(worker);
    this.#supply.forget(worker);
    if (death.mismatch !== null && this.#run !== null) this.#end(this.#run, death.mismatch);
    this.#feed({ type: "died", worker, how: death.how });
  }

  #counts(isLast: boolean): void {
    const { job } = this.#state;
    const run = this.#run;
    if (job === null || run === null || run.assignment.phase === null) return;
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
    this.#reception.close();
    await this.#crew.close(isHasty);
    await this.#reception.end();
    const { strangerCount } = this.#crew;
    if (strangerCount > 1) this.#report.log("quarry", "info", `strangers were turned away ${strangerCount} times`);
    for (const worker of this.#state.workers.values()) {
      if (isAlive(worker)) this.#report.worker(worker.name, "stopped");
    }
  }
}
