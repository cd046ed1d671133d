/** Evaluation while a model trains: which checkpoints are due, who measures them, which stay, when training ends. */
import { type QuarryError, toQuarryError } from "../../errors.js";
import type { TrainConfig, TrainEvaluateConfig } from "../../experiment/schema.js";
import { openPool } from "../../pool/pool.js";
import {
  type EvaluationOrder,
  listCheckpoints,
  removable,
  removeCheckpoints,
  removeHalfWritten,
  type TrainJob,
  type TrainOutcome,
} from "../../training/index.js";
import type { RunContext } from "../context.js";
import { besideRanks, ownWorkers, SideContext } from "../side-pool.js";
import type { Chosen } from "./chosen.js";
import { HeldOut } from "./held-out.js";
import { InRanks } from "./in-ranks.js";
import { EvaluationQueue, type Onward } from "./queue.js";
import { Evaluations } from "./record.js";

/** Evaluates the checkpoints of one training. */
export class TrainingEvaluation {
  readonly #context: RunContext;
  readonly #options: TrainEvaluateConfig;
  readonly #everySteps: number;
  readonly #keepLast: number;
  readonly #maxSteps: number;
  readonly #heldOut: HeldOut;
  readonly #evaluations: Evaluations;
  readonly #queue: EvaluationQueue;
  /** Works on what waits in the queue. */
  readonly #side: SideContext;
  readonly #inRanks: InRanks;
  readonly #halt = new AbortController();
  readonly #unsubscribe: () => void;
  #rotation: Promise<void> = Promise.resolve();
  /** What keeps evaluation from going on, and with it ranks that wait for it. */
  #failure: QuarryError | null = null;

  /**
   * Opens the data and looks at what earlier calls found; workers start with the first checkpoint.
   *
   * @throws QuarryError CONFIG when the ranks leave no GPU to the workers, or the data is another one than before;
   *   INTEGRITY when a checkpoint that earlier calls chose is gone.
   */
  static async open(
    context: RunContext,
    train: TrainConfig & { readonly evaluate: TrainEvaluateConfig },
    { ranks, maxSteps }: { readonly ranks: number; readonly maxSteps: number },
  ): Promise<TrainingEvaluation> {
    const { mode, workers } = train.evaluate;
    const isBeside = mode === "workers";
    const beside = isBeside ? await besideRanks(context, workers, ranks, "train.evaluate.workers") : null;
    // In mode ranks only what the ranks left undone is done by workers, after them and on their devices.
    const python = await context.python();
    const open =
      beside ??
      ((side: SideContext) => {
        const { config, events, signal } = side;
        return openPool({ workers: ownWorkers(config.workers), python, logDir: side.logDir, events, signal });
      });
    const heldOut = await HeldOut.open(context, train.evaluate);
    try {
      const evaluations = new Evaluations(context, train.evaluate, heldOut.fingerprint);
      evaluations.refuseLost((await listCheckpoints(context.runDir.file("train"))).map(({ step }) => step));
      // Vectors of checkpoints that come and go would fill the store.
      const config = { embeddings: { ...context.config.embeddings, store: false } };
      return new TrainingEvaluation(
        context,
        train,
        maxSteps,
        heldOut,
        evaluations,
        new SideContext(context, { name: "evaluate", config, open }),
      );
    } catch (thrown) {
      heldOut.close();
      throw thrown;
    }
  }

  private constructor(
    context: RunContext,
    train: TrainConfig & { readonly evaluate: TrainEvaluateConfig },
    maxSteps: number,
    heldOut: HeldOut,
    evaluations: Evaluations,
    side: SideContext,
  ) {
    this.#context = context;
    this.#options = train.evaluate;
    this.#everySteps = evalStepsOf(train);
    this.#keepLast = train.args.saveTotalLimit;
    this.#maxSteps = maxSteps;
    this.#heldOut = heldOut;
    this.#side = side;
    this.#evaluations = evaluations;
    const { embeddings } = side.config;
    this.#inRanks = new InRanks(context, { embeddings }, (ranks, step) => this.#evaluate(ranks, step));
    this.#queue = new EvaluationQueue(
      {
        evaluate: (step) => this.#evaluate(side, step),
        skip: async (step) => {
          const hint =
            "Raise train.evaluate.evalSteps, give train.evaluate.workers more, or raise train.evaluate.maxWaiting.";
          await this.#evaluations.miss(step, "the workers are too slow for it", hint);
          await this.#rotate();
        },
      },
      train.evaluate.maxWaiting,
    );
    this.#unsubscribe = context.events.subscribe((event) => {
      if (event.type !== "checkpoint") return;
      if (this.#options.mode === "workers") this.#offer(event.step);
      void this.#rotate();
    });
  }

  /** Where the patience ran out in this call or an earlier one: then there is nothing left to train. */
  get stoppedAt(): number | null {
    return this.#evaluations.verdict.stoppedAt;
  }

  /** Why ranks that evaluate were ended; null where nobody ended them, or a user did. */
  get failure(): QuarryError | null {
    return this.#failure;
  }

  /** The job with what evaluation asks of the ranks. Which checkpoints stay is decided here, not by them. */
  adapt(job: TrainJob): TrainJob {
    const { save_total_limit: _keep, ...args } = job.args;
    const isInRanks = this.#options.mode === "ranks";
    const inRanks = (step: number, tell: (order: EvaluationOrder) => void): void => {
      const isKnown = this.#evaluations.has(step);
      if (isKnown) tell({ ticketPath: null, isLast: this.stoppedAt !== null });
      else this.#inRanks.ask(step, tell);
    };
    const evaluation = { everySteps: this.#everySteps, ...(isInRanks ? { inRanks } : {}) };
    return { ...job, args, evaluation, halt: this.#halt.signal };
  }

  /** Takes up what an earlier call left unevaluated; call it before the ranks start. */
  async begin(): Promise<void> {
    if (this.#options.mode === "workers") for (const { step } of await this.#unevaluated()) this.#offer(step);
  }

  /**
   * Waits for what is due, and chooses. Checkpoints beyond the end go: ranks train on while the last ones are evaluated.
   *
   * @throws QuarryError of an evaluation when none succeeded; INTERRUPTED on a stop: the same command goes on.
   */
  async finish(outcome: Pick<TrainOutcome, "step">): Promise<Chosen> {
    await this.#inRanks.close();
    // What the ranks left undone when they died after the last step.
    for (const { step } of await this.#unevaluated()) this.#offer(step);
    const waiting = this.#queue.steps.length;
    if (waiting > 0 && this.stoppedAt === null) {
      const message = `The ranks are done; ${waiting} checkpoint${waiting === 1 ? " is" : "s are"} still to be evaluated.`;
      this.#context.events.emit({ type: "notice", message, hint: null });
    }
    await this.#queue.drained();
    this.#context.checkStop();
    const { best, stoppedAt } = this.#evaluations.verdict;
    if (best === null) throw await this.#evaluations.failure();
    const last = stoppedAt ?? outcome.step;
    await this.#rotation;
    await removeHalfWritten(this.#outputDir, this.#context.events);
    const folders = await listCheckpoints(this.#outputDir);
    await removeCheckpoints(folders.filter(({ step }) => step > last));
    await this.#rotate();
    await this.#evaluations.write();
    const step = this.#options.loadBestModelAtEnd ? best.step : last;
    return { step, last, best: { ...best, measure: this.#evaluations.metric }, isStoppedEarly: stoppedAt !== null };
  }

  /** Cuts off what is going on; nothing is left running. */
  async close(): Promise<void> {
    this.#unsubscribe();
    await Promise.all([this.#inRanks.close(), this.#side.close(), this.#queue.close()]);
    await this.#rotation;
    this.#heldOut.close();
  }

  get #outputDir(): string {
    return this.#context.runDir.file("train");
  }

  #isDue(step: number): boolean {
    return step % this.#everySteps === 0 || step === this.#maxSteps;
  }

  #offer(step: number): void {
    const isWanted = this.#isDue(step) && !this.#evaluations.has(step) && this.stoppedAt === null;
    if (isWanted) this.#queue.offer(step);
  }

  #pathOf(step: number): string {
    return this.#context.runDir.file("train", `checkpoint-${step}`);
  }

  async #unevaluated(): Promise<{ readonly step: number }[]> {
    const folders = await listCheckpoints(this.#outputDir);
    return folders.filter(({ step }) => this.#isDue(step) && !this.#evaluations.has(step)).reverse();
  }

  /** Measures one checkpoint. */
  async #evaluate(context: SideContext, step: number): Promise<Onward> {
    const begin = performance.now();
    try {
      const found = await this.#heldOut.measure(context, this.#pathOf(step), `train/evaluations/step-${step}`);
      await this.#evaluations.add(step, { ...found, seconds: (performance.now() - begin) / 1000 });
    } catch (thrown) {
      const error = toQuarryError(thrown);
      if (context.signal.aborted || error.code === "INTERRUPTED") throw error;
      if (error.code === "ENVIRONMENT") {
        // A full disk: the same command tries again once there is room.
        const message = `The checkpoint of step ${step} could not be evaluated now, nor are later ones: ${error.message}`;
        this.#context.events.emit({ type: "warning", message, hint: error.hint ?? null });
        this.#failure = error;
        throw error;
      }
      await this.#evaluations.miss(step, error.message, error.hint ?? null);
    }
    await this.#rotate();
    if (this.stoppedAt === null) return "goOn";
    this.#halt.abort();
    return "end";
  }

  /** Removes what is older than the last n checkpoints, but neither the best nor what has to be evaluated. */
  #rotate(): Promise<void> {
    const removal = this.#rotation.then(async () => {
      const folders = await listCheckpoints(this.#outputDir);
      const steps = folders.map(({ step }) => step);
      const { best, verdict } = this.#evaluations;
      const unevaluated = steps.filter((step) => this.#isDue(step) && !this.#evaluations.has(step));
      const pinned = new Set([...unevaluated, ...best]);
      const { earlyStoppingPatience: patience } = this.#options;
      // What is kept must not depend on how far the ranks came before an early stop was known.
      const maybe = patience === undefined ? [] : unevaluated;
      const ends = verdict.stoppedAt === null ? [Number.POSITIVE_INFINITY, ...maybe] : [verdict.stoppedAt];
      const old = new Set(removable(steps, this.#keepLast, pinned, ends));
      await removeCheckpoints(folders.filter(({ step }) => old.has(step)));
    });
    // What cannot be removed today is removed with the next one.
    this.#rotation = removal.catch(() => {});
    return this.#rotation;
  }
}

/** How often checkpoints are evaluated. */
export function evalStepsOf({ evaluate, args }: TrainConfig): number {
  return evaluate?.evalSteps ?? args.saveSteps;
}
