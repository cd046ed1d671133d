/** The micro-batches of a training whose negatives change: asks the schedule, waits where it says so, mines beside the ranks. */
import type { MicroBatch, TrainingSet } from "../../data/types.js";
import { QuarryError, toQuarryError } from "../../errors.js";
import type { RefreshConfig, TrainConfig } from "../../experiment/schema.js";
import { findLatestCheckpoint, type Layout, listCheckpoints, type TrainJob } from "../../training/index.js";
import type { RunContext } from "../context.js";
import type { Batches, StepFacts } from "../step-batches.js";
import { nameRows } from "../train-job.js";
import { toldSteps } from "../train-record.js";
import { HeldCheckpoints } from "./held.js";
import { fingerprintOf, type Mined, negativesIn } from "./mined.js";
import { Miner } from "./miner.js";
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
import type { MinedFrom } from "./sources.js";
import { type JournalledSwitch, SWITCHED, type Switch, stalenessAt, switchesOf, versionAt } from "./switches.js";
import { type OpenedVersion, Versions } from "./versions.js";

/** Where negatives and the weights that mine them lie, below the run folder. */
const FOLDER = "train/negatives";

/** What a training with refreshed negatives is made of. */
export interface RefreshOptions {
  /** The training set with the negatives that the experiment names; whoever opened it closes it. */
  readonly given: TrainingSet;
  readonly maxSteps: number;
  readonly ranks: number;
  /** What this run's negatives are mined from besides that set. */
  readonly minedFrom: MinedFrom;
}

interface Waiting {
  readonly step: number;
  readonly go: (version: number) => void;
  readonly fail: (error: QuarryError) => void;
}

/**
 * The batches of a training whose negatives are refreshed; null where they are not. Takes up what the run folder holds:
 * switches that were announced stay where they are, negatives that are durable are used, those that are half-mined are
 * gone on with.
 *
 * @throws QuarryError INTEGRITY when negatives that the journal names are gone or changed.
 */
export async function openRefreshed(
  context: RunContext,
  train: TrainConfig,
  options: RefreshOptions,
): Promise<RefreshedBatches | null> {
  if (train.refresh === undefined) return null;
  warnOfNone(context, train.refresh, options.maxSteps);
  const begun = await toldSteps(context.runDir.file("train", "steps.jsonl"));
  const batches = new RefreshedBatches(context, { ...options, train, refresh: train.refresh, begun });
  try {
    await batches.takeUp();
    return batches;
  } catch (thrown) {
    await batches.close();
    throw thrown;
  }
}

/** Serves the plan: what a step holds is a function of seed, step and the journal's switches. */
export class RefreshedBatches implements Batches {
  readonly #rules: RefreshRules;
  readonly #versions: Versions;
  readonly #miner: Miner;
  readonly #held: HeldCheckpoints;
  readonly #waiting: Waiting[] = [];
  readonly #unsubscribe: () => void;
  #state: RefreshState;
  /** What the schedule asks for is done one after the other. */
  #work: Promise<void> = Promise.resolve();
  #failure: QuarryError | null = null;
  #mined: Mined | null = null;
  #servedSet: TrainingSet;
  #toldWaiting = 0;
  /** The last step that was told to be done. */
  #done: number;
  #isClosed = false;
  #isOver = false;

  /** See openRefreshed. */
  constructor(
    private readonly context: RunContext,
    options: RefreshOptions & {
      readonly train: TrainConfig;
      readonly refresh: RefreshConfig;
      /** Steps that earlier processes told to be done. */
      readonly begun: number;
    },
  ) {
    const { train, refresh, given, ranks, begun, minedFrom } = options;
    const { runDir, events } = context;
    const folder = runDir.file(FOLDER);
    const switches = (): JournalledSwitch[] => switchesOf(runDir.journal.entries);
    this.#servedSet = given;
    this.#rules = rulesOf(refresh, options.maxSteps);
    const place = { resolve: context, context: context.dataContext(), folder };
    this.#versions = new Versions(place, train, given, switches, minedFrom);
    this.#miner = new Miner(context, this.#versions.mined, refresh.workers, ranks);
    this.#held = new HeldCheckpoints(folder);
    this.#state = initialState(switches(), begun);
    this.#done = begun;
    this.#unsubscribe = events.subscribe((event) => {
      if (event.type === "checkpoint") this.#reached(event.step, event.path);
      if (event.type === "trainStep") {
        this.#done = event.step;
        this.#tellWaiting();
      }
    });
  }

  microBatch(step: number, microStep: number, rank: number, layout: Layout): MicroBatch | Promise<MicroBatch> {
    const build = ({ set, batches }: OpenedVersion): MicroBatch => {
      this.#servedSet = set;
      return batches.microBatch(step, microStep, rank, layout);
    };
    const version = this.#admit(step);
    if (version === null)
      return this.#wait(step)
        .then((found) => this.#versions.open(found))
        .then(build);
    const opened = this.#versions.open(version);
    return opened instanceof Promise ? opened.then(build) : build(opened);
  }

  take(step: number): StepFacts | null {
    return this.#versions.known(versionAt(this.#state.switches, step))?.batches.take(step) ?? null;
  }

  /** What a training job has to know besides its batches. */
  jobParts(): Required<Pick<TrainJob, "checkpointEvery" | "negativesOf" | "nameRows">> {
    return {
      checkpointEvery: this.#rules.everySteps,
      negativesOf: (step) => {
        const { switches } = this.#state;
        return { version: versionAt(switches, step), staleness: stalenessAt(switches, step) };
      },
      nameRows: (queries, passages) => nameRows(this.#servedSet, queries, passages),
    };
  }

  /** What an earlier process left. */
  async takeUp(): Promise<void> {
    const output = this.context.runDir.file("train");
    const last = this.#state.switches.at(-1);
    if (last !== undefined) await this.#versions.open(last.version);
    const complete = await listCheckpoints(output);
    for (const { step, path } of complete) if (isDue(this.#rules, this.#state, step)) this.#held.hold(step, path);
    const [latest] = complete;
    if (latest !== undefined) this.#reached(latest.step, latest.path);
  }

  /** The training came to its end: nobody mines any more, and no weights have to be held for a resume. */
  async over(): Promise<void> {
    this.#isOver = true;
    this.#isClosed = true;
    await this.#miner.close();
  }

  /** Ends mining and closes every set but the given one. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#unsubscribe();
    await this.#miner.close();
    await this.#work;
    await this.#versions.close();
    if (this.#isOver) this.#held.release(Number.POSITIVE_INFINITY);
  }

  #reached(step: number, path: string): void {
    if (this.#isClosed) return;
    try {
      if (isDue(this.#rules, this.#state, step)) this.#held.hold(step, path);
      this.#hear({ type: "checkpoint", step });
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  #hear(event: RefreshEvent): void {
    const { state, actions } = advance(this.#rules, this.#state, event);
    this.#state = state;
    for (const action of actions) {
      this.#work = this.#work.then(() => this.#do(action)).catch((thrown: unknown) => this.#fail(thrown));
    }
    for (const waiting of this.#waiting.splice(0)) {
      const version = this.#admit(waiting.step);
      if (version === null) this.#waiting.push(waiting);
      else waiting.go(version);
    }
  }

  async #do(action: RefreshAction): Promise<void> {
    if (this.#isClosed || this.#failure !== null) return;
    if (action.type === "announce") return this.#announce(action.next, this.#mined as Mined);
    const { version, step } = action;
    this.#mined = (await this.#versions.mined.find(version)) ?? (await this.#mine(version, step));
    const { fromStep } = this.#mined;
    this.#held.release(fromStep);
    this.#hear({ type: "mined", fromStep });
  }

  async #mine(version: number, step: number): Promise<Mined> {
    await this.#versions.refuseOtherSources();
    const fromStep = this.#held.steps().includes(step) ? step : await this.#substitute(step);
    const text = `negatives ${version} are mined with the model of step ${fromStep}, while training goes on`;
    this.context.events.emit({ type: "log", source: "train.refresh", level: "info", text });
    return this.#miner.mine(version, fromStep, this.#held.path(fromStep));
  }

  /** A death in the very moment before a checkpoint was held may have cost it; the one after it does as well. */
  async #substitute(step: number): Promise<number> {
    const next = this.#held.steps().find((found) => found > step);
    const latest = next === undefined ? await findLatestCheckpoint(this.context.runDir.file("train")) : null;
    if (latest !== null) this.#held.hold(latest.step, latest.path);
    const found = next ?? latest?.step;
    if (found === undefined) throw new QuarryError("INTEGRITY", `no checkpoint is left to mine with at step ${step}.`);
    const message = `checkpoint-${step}, which was to mine negatives, is gone; checkpoint-${found} takes its place`;
    this.context.events.emit({ type: "warning", message, hint: null });
    return found;
  }

  async #announce(next: Switch, mined: Mined): Promise<void> {
    // Opened before it is announced: what cannot be opened must not be announced.
    await this.#versions.open(next.version, mined);
    const entry: JournalledSwitch = { ...next, checkpoint: mined.checkpoint, fingerprint: fingerprintOf(mined) };
    await this.context.runDir.journal.append({ type: SWITCHED, ...entry });
    this.#hear({ type: "announced" });
    const facts = { staleness: next.atStep - next.fromStep, negatives: negativesIn(mined), seconds: mined.seconds };
    this.context.events.emit({ type: "negativesSwitched", ...next, ...facts });
    // Ranks that start again may go back to the version before; those that go further back open theirs again.
    await this.#versions.forget(next.version - 2);
  }

  /** The version of a step that is to be served, noted as served; null while nobody can know. */
  #admit(step: number): number | null {
    const version = admit(this.#rules, this.#state, step);
    if (version !== null) this.#state = advance(this.#rules, this.#state, { type: "served", step }).state;
    return version;
  }

  #wait(step: number): Promise<number> {
    if (this.#failure !== null) return Promise.reject(this.#failure);
    return new Promise((go, fail) => {
      this.#waiting.push({ step, go, fail });
      this.#tellWaiting();
    });
  }

  /** Ranks ask for steps ahead of their work: training waits only once all steps before the one asked for are done. */
  #tellWaiting(): void {
    const step = Math.min(...this.#waiting.map((waiting) => waiting.step));
    const version = this.#state.switches.length + 1;
    // Until an entry of the journal is durable takes milliseconds: nobody need hear of that.
    if (step > this.#done || this.#toldWaiting >= version || this.#state.announcing !== null) return;
    this.#toldWaiting = version;
    const message = `training waits after step ${step} until negatives ${version} are mined`;
    const hint = "Give mining more workers (train.refresh.workers), or more time (everySteps, switchAfterSteps).";
    this.context.events.emit({ type: "notice", message, hint });
  }

  /** Whoever waits hears of it; where nobody has to wait, training goes on with the negatives that are there. */
  #fail(thrown: unknown): void {
    // Stopped with the training: whoever waits is ended by it.
    if (this.#isClosed || this.context.signal.aborted) return;
    const error = toQuarryError(thrown);
    this.#failure ??= error;
    const { message, hint = null } = error;
    if (this.#waiting.length === 0)
      this.context.events.emit({ type: "warning", message: `Negatives could not be mined: ${message}`, hint });
    for (const waiting of this.#waiting.splice(0)) waiting.fail(error);
  }
}

/** Where epochs are asked for, the number of steps is known only now. */
function warnOfNone(
  context: RunContext,
  { everySteps, switchAfterSteps = everySteps }: RefreshConfig,
  maxSteps: number,
) {
  const first = everySteps + (switchAfterSteps === "ready" ? 0 : switchAfterSteps);
  if (first < maxSteps) return;
  context.events.emit({
    type: "warning",
    message: `no step learns from refreshed negatives: the first ones would count after step ${first} of ${maxSteps}`,
    hint: "Set train.refresh.everySteps lower.",
  });
}

function rulesOf(refresh: RefreshConfig, maxSteps: number): RefreshRules {
  const { everySteps, switchAfterSteps = everySteps, maxStaleness = null } = refresh;
  return { everySteps, switchAfterSteps, maxStaleness, maxSteps };
}
