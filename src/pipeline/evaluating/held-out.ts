/** The held-out data of a training: opened once, and any checkpoint measured on it as `evaluate` would. */
import { rm } from "node:fs/promises";
import type { PreparedSource } from "../../data/types.js";
import type { TrainEvaluateConfig } from "../../experiment/schema.js";
import { type EvaluationSet, setsOf } from "../../experiment/sources.js";
import { formatCount } from "../../report/format.js";
import type { RunContext } from "../context.js";
import { rankAndMeasure } from "../evaluate.js";
import { prepare } from "../prepare.js";
import { quickLook } from "../quick-look.js";
import { requireQrels } from "../step.js";
import { averageOf } from "../suite.js";

/** Values of a checkpoint; of a suite the averages, and each data set's own as `set/measure`. */
export interface Measures {
  readonly values: Readonly<Record<string, number>>;
  readonly queryCount: number;
}

/** Data sets with their open sources. */
export class HeldOut {
  readonly #sets: readonly { readonly set: EvaluationSet; readonly source: PreparedSource }[];
  readonly #options: TrainEvaluateConfig;

  private constructor(options: TrainEvaluateConfig, sets: { set: EvaluationSet; source: PreparedSource }[]) {
    this.#options = options;
    this.#sets = sets;
  }

  /** @throws QuarryError CONFIG, DATA or ENVIRONMENT, as the evaluate step does. */
  static async open(context: RunContext, options: TrainEvaluateConfig): Promise<HeldOut> {
    const sets: { set: EvaluationSet; source: PreparedSource }[] = [];
    try {
      for (const set of setsOf(options.data, "train.evaluate.data")) {
        const phase = set.name === null ? "train.evaluate" : `train.evaluate/${set.name}`;
        const source = await prepare(context, phase, set.data);
        sets.push({ set, source });
        const qrels = requireQrels(source, set.path);
        const { part } = quickLook(source, qrels, options, context.config.seed, set.path);
        if (part !== null) tellPart(context, set.name, part);
      }
      return new HeldOut(options, sets);
    } catch (thrown) {
      for (const { source } of sets) source.close();
      throw thrown;
    }
  }

  /** Of everything that is read. */
  get fingerprint(): string {
    return this.#sets.map(({ source }) => source.fingerprint).join(" ");
  }

  /**
   * Ranks and measures; a call that was killed goes on where it was. What is kept is `per-query.json`, of each set of a
   * suite in a folder of its own: rankings of every checkpoint would soon be bigger than the checkpoints.
   *
   * @param context its pool does the work; vectors of checkpoints that come and go are kept out of the store
   */
  async measure(context: RunContext, checkpoint: string, folder: string): Promise<Measures> {
    const found: { name: string | null; values: Readonly<Record<string, number>>; queryCount: number }[] = [];
    // One label for all: a batch size that is measured is measured once.
    const model = { label: "in-training", checkpoint };
    for (const { set, source } of this.#sets) {
      const step = set.name === null ? folder : `${folder}/${set.name}`;
      const { measured } = await rankAndMeasure(context, model, { step, set, whole: source }, this.#options);
      found.push({ name: set.name, values: measured.mean, queryCount: measured.queryCount });
    }
    for (const { name } of found) await tidy(context, name === null ? folder : `${folder}/${name}`);
    const [only] = found;
    const queryCount = found.reduce((sum, set) => sum + set.queryCount, 0);
    if (only?.name === null) return { values: only.values, queryCount };
    const own = found.flatMap(({ name, values }) =>
      Object.entries(values).map(([measure, value]) => [`${name}/${measure}`, value] as const),
    );
    return { values: { ...averageOf(found), ...Object.fromEntries(own) }, queryCount };
  }

  close(): void {
    for (const { source } of this.#sets) source.close();
  }
}

async function tidy(context: RunContext, folder: string): Promise<void> {
  for (const name of ["run.trec", "qrels.trec", "snapshots", "queries.f32", "queries.f32.json"]) {
    await rm(context.runDir.file(folder, name), { recursive: true, force: true });
  }
}

function tellPart(context: RunContext, set: string | null, part: { searched: number; total: number }): void {
  const [searched, total] = [part.searched, part.total].map(formatCount);
  context.events.emit({
    type: "notice",
    message: `train.evaluate${set === null ? "" : `, ${set}`} searches ${searched} of ${total} passages, which raises its measures`,
    hint: "Compare them with each other only.",
  });
}
