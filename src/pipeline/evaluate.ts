/** Evaluate: search the held-out passages, write the run file, score it; each data set of a suite in its own folder. */
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { PreparedSource } from "../data/types.js";
import type { EvaluateConfig } from "../experiment/schema.js";
import { type EvaluationSet, setsOf } from "../experiment/sources.js";
import type { RunContext } from "./context.js";
import { type Measured, measure } from "./measure.js";
import { onceOnSource } from "./prepare.js";
import { type CorpusPart, type Estimate, quickLook, stateError } from "./quick-look.js";
import { recordEvaluation, tellMetrics } from "./record-metrics.js";
import { retrieve } from "./retrieve.js";
import { type ModelChoice, modelName, requireQrels } from "./step.js";
import type { Throughput } from "./summary.js";
import { writeQrels, writeRun } from "./trec.js";

/** What the evaluation on one data set found; paths are relative to the run folder. */
export interface SetResult {
  readonly values: Readonly<Record<string, number>>;
  readonly queryCount: number;
  readonly throughput: Throughput;
  readonly run: string;
  /** Of a quick look at a part of the corpus: how much of it was searched, and what all of it would give. */
  readonly part?: Pick<CorpusPart, "searched" | "total">;
  readonly wholeCorpus?: Readonly<Record<string, Estimate>>;
  /** Of a quick look at some queries: 95 % intervals of the values. */
  readonly intervals?: Measured["intervals"];
}

/** What an evaluation found: on its only data set, or on each of a suite. */
export interface EvaluateResult {
  /** Of a suite the mean over its data sets. */
  readonly values: Readonly<Record<string, number>>;
  readonly sets: readonly (SetResult & { readonly name: string | null })[];
}

/** The files that a data set's values stand for. */
export function filesOfSet({ run }: SetResult): string[] {
  return [run, ...["qrels.trec", "per-query.json"].map((name) => join(dirname(run), name))];
}

/** Measures on different data stand beside each other in metrics.json, but must not be compared. */
function warnOfOtherData(context: RunContext, data: string, set: string | null): void {
  const others = context.runDir.journal.entries
    .filter(({ type, step, data: seen }) => {
      if (type !== "stepDone" || seen === data || typeof step !== "string") return false;
      return step.startsWith("evaluate-") && (step.split("/")[1] ?? null) === set;
    })
    .map(({ step }) => String(step));
  if (others.length === 0) return;
  context.events.emit({
    type: "warning",
    message: `the evaluation data changed: do not compare with ${[...new Set(others)].join(", ")} in metrics.json`,
    hint: "Evaluate those models again, or choose another --runDir.",
  });
}

/** What is measured how; a set of a suite may have measures of its own. */
type Options = Omit<EvaluateConfig, "data" | "measures"> & { readonly measures: readonly string[] };

/** A ranking on the disk with its values: what every evaluation comes down to. */
export async function rankAndMeasure(
  context: RunContext,
  model: ModelChoice,
  { step, set, whole, intervalsSeed }: RankedSet,
  options: Options,
) {
  const { seed, name } = context.config;
  const { source, qrels, part, ofQueries } = quickLook(whole, requireQrels(whole, set.path), options, seed, set.path);
  await mkdir(context.runDir.file(step), { recursive: true });
  const files = {
    run: context.runDir.file(step, "run.trec"),
    qrels: context.runDir.file(step, "qrels.trec"),
    out: context.runDir.file(step, "per-query.json"),
  };
  // Written first: a judgement that measures cannot use must be known before hours of encoding.
  await writeQrels(files.qrels, qrels, source);
  const { topK, relevanceLevel } = options;
  const { queryRows } = qrels;
  const { ranked, throughput } = await retrieve(context, { phase: step, folder: step, model, source, queryRows, topK });
  await writeRun(files.run, ranked, queryRows, source, name);
  const settings = { measures: set.measures ?? options.measures, relevanceLevel };
  const measured = await measure(
    context,
    files,
    ofQueries === null || intervalsSeed === undefined ? settings : { ...settings, intervalsSeed },
  );
  return { measured, throughput, files, part, ofQueries };
}

/** A data set that is ranked and measured under the name of a step, which is the name of its folder. */
interface RankedSet {
  readonly step: string;
  readonly set: EvaluationSet;
  readonly whole: PreparedSource;
  /** Where some of the queries are taken, their intervals are drawn with this; undefined: none. */
  readonly intervalsSeed?: number;
}

/** Evaluates one model on one data set. */
async function evaluateSet(context: RunContext, model: ModelChoice, set: EvaluationSet): Promise<SetResult> {
  const section = context.config.evaluate;
  if (section === undefined) throw new TypeError("the experiment has no evaluate section");
  const options = { ...section, measures: set.measures ?? section.measures };
  const step = set.name === null ? `evaluate-${model.label}` : `evaluate-${model.label}/${set.name}`;
  const use = { name: set.name === null ? "evaluate" : `evaluate.${set.name}`, data: set.data };
  const evaluateOn = async (whole: PreparedSource): Promise<SetResult> => {
    warnOfOtherData(context, whole.fingerprint, set.name);
    const what = { step, set, whole, intervalsSeed: context.config.seed };
    const { measured, throughput, files, part, ofQueries } = await rankAndMeasure(context, model, what, options);
    const found = { values: measured.mean, queryCount: measured.queryCount, throughput, run: `${step}/run.trec` };
    return { ...found, ...(await stateError(context, { step, measured, files, part, ofQueries }, options)) };
  };
  const result = await onceOnSource(context, step, use, evaluateOn, filesOfSet);
  tellMetrics(context, { step, label: modelName(model) }, set.name, result);
  return result;
}

/** Evaluates one model on the experiment's evaluation data. */
export async function evaluateStep(context: RunContext, model: ModelChoice): Promise<EvaluateResult> {
  const options = context.config.evaluate;
  if (options === undefined) throw new TypeError("the experiment has no evaluate section");
  const sets: EvaluateResult["sets"][number][] = [];
  for (const set of setsOf(options.data, "evaluate.data")) {
    sets.push({ ...(await evaluateSet(context, model, set)), name: set.name });
  }
  return recordEvaluation(context, { step: `evaluate-${model.label}`, label: modelName(model) }, sets);
}
