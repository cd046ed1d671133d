/** The micro-batches of a training whose negatives change: asks the schedule, waits where it says so, mines beside the ranks. */
import { readFile } from "node:fs/promises";
import { buildMicroBatch, openTrainingSet } from "../../data/index.js";
import type { MicroBatch, TrainingSet } from "../../data/types.js";
import { QuarryError, toQuarryError } from "../../errors.js";
import type { TrainConfig } from "../../experiment/schema.js";
import {
  findCheckpoint,
  findLatestCheckpoint,
  type Layout,
  type StepNegatives,
  type TrainJob,
} from "../../training/index.js";
import type { RunContext } from "../context.js";
import { resolveTraining } from "../resolve.js";
import { StepPlans } from "../step-plans.js";
import { HeldCheckpoints } from "./held.js";
import { fingerprintOf, type Mined, negativesIn } from "./mined.js";
import { FOLDER, Miner } from "./miner.js";
import {
  admit,
  advance,
  initialState,
  isDue,
  type RefreshAction,
  type RefreshEvent,
  type RefreshRules,
  type RefreshState,
} from "./schedule.js";
import { type JournalledSwitch, SWITCHED, stalenessAt, switchesOf, versionAt } from "./switches.js";

/** What a training with refreshed negatives is made of. */
export interface RefreshOptions {
  readonly train: TrainConfig & { readonly refresh: NonNullable<TrainConfig["refresh"]> };
  /** The training set with the negatives that the experiment names; whoever opened it closes it. */
  readonly given: TrainingSet;
  readonly maxSteps: number;
  readonly ranks: number;
}

/** A version, opened. */
interface OpenedVersion {
  readonly set: TrainingSet;
  readonly plans: StepPlans;
}

interface Waiting {
  readonly step: number;
  readonly go: (version: number) => void;
  readonly fail: (thrown: unknown) => void;
}

/**
 * Serves the plan: what a step holds is a function of seed, step and the journal's switches. Close it before the given
 * set.
 */
export class RefreshedBatches {
  readonly #rules: RefreshRules;
  readonly #miner: Miner;
  readonly #held: HeldCheckpoints;
  readonly #opened = new Map<number, OpenedVersion | Promise<OpenedVersion>>();
  readonly #waiting: Waiting[] = [];
  readonly #unsubscribe: () => void;
  #work: Promise<void> = Promise.resolve();
  #failure: unknown = null;
  #state: RefreshState;
  #mined: Mined | null = null;
  #servedSet: TrainingSet;
  #toldWaiting = 0;
  #isClosed = false;

  private constructor(
    private readonly context: RunContext,
    private readonly options: RefreshOptions,
    begun: number,
  ) {
    const { train, given, maxSteps, ranks } = options;
    this.#servedSet = given;
    this.#rules = rulesOf(train.refresh, maxSteps);
    this.#miner = new Miner(context, train, given, ranks);
    this.#held = new HeldCheckpoints(context.runDir.file(FOLDER));
    this.#opened.set(0, { set: given, plans: new StepPlans(given, train.globalBatchSize) });
    this.#state = initialState(switchesOf(context.runDir.journal.entries), begun);
    this.#unsubscribe = context.events.subscribe((event) => {
      if (event.type === "checkpoint") this.#reached(event.step, event.path);
    });
  }

  /**
   * Takes up what the run folder holds: switches that were announced stay where they are, negatives that are durable are
   * used, those that are half-mined are gone on with.
   *
   * @throws QuarryError INTEGRITY when negatives that the journal names are gone or changed.
   */
  static async open(context: RunContext, options: RefreshOptions): Promise<RefreshedBatches> {
    const batches = new RefreshedBatches(context, options, await toldSteps(context));
    try {
      await batches.#takeUp();
      return batches;
    } catch (thrown) {
      await batches.close();
      throw thrown;
    }
  }

  /** A rank's share of a micro-step; a promise where its negatives, or their data, have to be waited for. */
  microBatch(step: number, share: Layout & { readonly rank: number; readonly microStep: number }) {
    const build = ({ set, plans }: OpenedVersion): MicroBatch => {
      this.#servedSet = set;
      return buildMicroBatch(set, plans.of(step), share);
    };
    const version = this.#admit(step);
    if (version === null)
      return this.#wait(step)
        .then((found) => this.#open(found))
        .then(build);
    const opened = this.#open(version);
    return opened instanceof Promise ? opened.then(build) : build(opened);
  }

  /** The training set of the batch that was served last. */
  servedSet(): TrainingSet {
    return this.#servedSet;
  }

  /** What a training job has to know besides its batches. */
  jobParts(): Required<Pick<TrainJob, "checkpointEvery" | "negativesOf">> {
    const negativesOf = (step: number): StepNegatives => {
      const { switches } = this.#state;
      return { version: versionAt(switches, step), staleness: stalenessAt(switches, step) };
    };
    return { checkpointEvery: this.#rules.everySteps, negativesOf };
  }

  /** The training is over: nobody mines any more. */
  letGo(): void {
    this.#held.release(Number.POSITIVE_INFINITY);
  }

  /** Ends mining and closes every set but the given one. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#unsubscribe();
    await this.#miner.close();
    await this.#work;
    for (const [version, opening] of this.#opened) {
      const opened = await Promise.resolve(opening).catch(() => null);
      opened?.plans.close();
      if (version !== 0) opened?.set.close();
    }
    this.#opened.clear();
  }

  async #takeUp(): Promise<void> {
    const output = this.context.runDir.file("train");
    const last = this.#state.switches.at(-1);
    if (last !== undefined) await this.#open(last.version);
    const latest = await findLatestCheckpoint(output);
    if (latest === null) return;
    for (let step = this.#rules.everySteps; step <= latest.step; step += this.#rules.everySteps) {
      const found = isDue(this.#rules, this.#state, step) ? await findCheckpoint(output, step) : null;
      if (found !== null) this.#held.hold(step, found.path);
    }
    this.#reached(latest.step, latest.path);
  }

  #reached(step: number, path: string): void {
    if (this.#isClosed) return;
    try {
      if (step % this.#rules.everySteps === 0 && isDue(this.#rules, this.#state, step)) this.#held.hold(step, path);
      this.#hear({ type: "checkpoint", step });
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  #hear(event: RefreshEvent): void {
    const { state, actions } = advance(this.#rules, this.#state, event);
    this.#state = state;
    for (const action of actions) this.#begin(action);
    for (const waiting of this.#waiting.splice(0)) {
      const version = this.#admit(waiting.step);
      if (version === null) this.#waiting.push(waiting);
      else waiting.go(version);
    }
  }

  /** What is asked for is done one after the other; the first failure ends the training. */
  #begin(action: RefreshAction): void {
    this.#work = this.#work
      .then(() => (this.#isClosed || this.#failure !== null ? undefined : this.#do(action)))
      .catch((thrown: unknown) => this.#fail(thrown));
  }

  async #do(action: RefreshAction): Promise<void> {
    if (action.type === "mine") {
      this.#mined = (await this.#miner.find(action.version)) ?? (await this.#mine(action.version, action.step));
      this.#held.release(this.#mined.fromStep);
      return this.#hear({ type: "mined", fromStep: this.#mined.fromStep });
    }
    const mined = this.#mined as Mined;
    const { next } = action;
    // Opened before it is announced: what cannot be opened must not be announced.
    await this.#open(next.version, mined);
    const entry: JournalledSwitch = { ...next, checkpoint: mined.checkpoint, fingerprint: fingerprintOf(mined) };
    await this.context.runDir.journal.append({ type: SWITCHED, ...entry });
    this.#hear({ type: "announced" });
    const staleness = next.atStep - next.fromStep;
    const facts = { negatives: negativesIn(mined), seconds: mined.seconds };
    this.context.events.emit({ type: "negativesSwitched", ...next, staleness, ...facts });
    await this.#forget(next.version - 2);
  }

  async #mine(version: number, step: number): Promise<Mined> {
    const fromStep = this.#held.steps().includes(step) ? step : await this.#substitute(step);
    const message = `negatives ${version} are mined with the model of step ${fromStep}, while training goes on`;
    this.context.events.emit({ type: "log", source: "train.refresh", level: "info", text: message });
    return this.#miner.mine(version, fromStep, this.#held.path(fromStep));
  }

  /** A death in the very moment before a checkpoint was held may have cost it; the one after it does as well. */
  async #substitute(step: number): Promise<number> {
    const latest = await findLatestCheckpoint(this.context.runDir.file("train"));
    const held = this.#held.steps().find((found) => found > step);
    const found = held ?? latest?.step;
    if (found === undefined)
      throw new QuarryError("INTEGRITY", `there is no checkpoint to mine with after step ${step}.`);
    if (held === undefined && latest !== null) this.#held.hold(latest.step, latest.path);
    const message = `checkpoint-${step}, which was to mine negatives, is gone; checkpoint-${found} takes its place`;
    this.context.events.emit({ type: "warning", message, hint: null });
    return found;
  }

  /** The version of a step that is to be served, noted as served; null while nobody can know. */
  #admit(step: number): number | null {
    const version = admit(this.#rules, this.#state, step);
    if (version !== null) this.#state = advance(this.#rules, this.#state, { type: "served", step }).state;
    return version;
  }

  #wait(step: number): Promise<number> {
    if (this.#failure !== null) return Promise.reject(this.#failure);
    const version = this.#state.switches.length + 1;
    // Until an entry of the journal is durable takes milliseconds: nobody need hear of that.
    if (this.#toldWaiting < version && this.#state.announcing === null) {
      this.#toldWaiting = version;
      const message = `training waits after step ${step} until negatives ${version} are mined`;
      const hint = "Give mining more workers (train.refresh.workers), or more time (everySteps, switchAfterSteps).";
      this.context.events.emit({ type: "notice", message, hint });
    }
    return new Promise((go, fail) => this.#waiting.push({ step, go, fail }));
  }

  #fail(thrown: unknown): void {
    // Stopped with the training: whoever waits is ended by it.
    if (this.#isClosed || this.context.signal.aborted) return;
    this.#failure ??= thrown;
    const { message, hint } = toQuarryError(thrown);
    if (this.#waiting.length === 0)
      this.context.events.emit({
        type: "warning",
        message: `Negatives could not be mined: ${message}`,
        hint: hint ?? null,
      });
    for (const waiting of this.#waiting.splice(0)) waiting.fail(thrown);
  }

  /** The sets of a version; given again after it was closed, where ranks went back to a checkpoint before it. */
  #open(version: number, mined?: Mined): OpenedVersion | Promise<OpenedVersion> {
    const known = this.#opened.get(version);
    if (known !== undefined) return known;
    const opening = this.#openVersion(version, mined);
    this.#opened.set(version, opening);
    opening.then(
      (opened) => this.#opened.set(version, opened),
      () => this.#opened.delete(version),
    );
    return opening;
  }

  async #openVersion(version: number, mined: Mined | undefined): Promise<OpenedVersion> {
    const { globalBatchSize } = this.options.train;
    const found = mined ?? (await this.#announced(version));
    const data = await resolveTraining(this.context, this.#miner.dataOf(found));
    const set = await openTrainingSet(data, this.context.dataContext());
    return { set, plans: new StepPlans(set, globalBatchSize) };
  }

  /** The negatives of a version that the journal names. */
  async #announced(version: number): Promise<Mined> {
    const entry = switchesOf(this.context.runDir.journal.entries)[version - 1];
    const mined = await this.#miner.find(version);
    if (mined !== null && entry?.fingerprint === fingerprintOf(mined)) return mined;
    const folder = this.context.runDir.file(FOLDER, String(version));
    throw new QuarryError(
      "INTEGRITY",
      `${folder}: the negatives that this training goes on with are gone or changed.`,
      {
        hint: "Restore the folder from a copy, or choose another folder with --runDir.",
      },
    );
  }

  /** Closes a version that no rank asks for any more; one that goes far back opens it again. */
  async #forget(version: number): Promise<void> {
    const opened = version < 1 ? undefined : await this.#opened.get(version);
    if (opened === undefined) return;
    this.#opened.delete(version);
    opened.plans.close();
    opened.set.close();
  }
}

/** The batches of a training whose negatives are refreshed; null where they are not. */
export async function openRefreshed(
  context: RunContext,
  train: TrainConfig,
  options: Omit<RefreshOptions, "train">,
): Promise<RefreshedBatches | null> {
  const { refresh } = train;
  return refresh === undefined ? null : RefreshedBatches.open(context, { ...options, train: { ...train, refresh } });
}

function rulesOf(refresh: NonNullable<TrainConfig["refresh"]>, maxSteps: number): RefreshRules {
  const { everySteps, switchAfterSteps = everySteps, maxStaleness = null } = refresh;
  return { everySteps, switchAfterSteps, maxStaleness, maxSteps };
}

/** Steps that earlier processes of the run told to be done. */
async function toldSteps(context: RunContext): Promise<number> {
  const text = await readFile(context.runDir.file("train", "steps.jsonl"), "utf8").catch(() => "");
  let told = 0;
  for (const found of text.matchAll(/^\{"step":(\d+),/gm)) told = Math.max(told, Number(found[1]));
  return told;
}
