/** Evaluate: search the held-out passages, write the run file, score it; each data set of a suite in its own folder. */
import { mkdir } from "node:fs/promises";
import type { PreparedSource } from "../data/types.js";
import type { EvaluateConfig } from "../experiment/schema.js";
import { type EvaluationSet, evaluatedSets } from "../experiment/sources.js";
import type { RunContext } from "./context.js";
import { lookAtCrossEncoder } from "./cross-look.js";
import { type EvaluateResult, filesOfSet, type SetResult } from "./evaluation-result.js";
import { type GivenRun, rankedIn } from "./given-run.js";
import { measure } from "./measure.js";
import { runSource } from "./mining/runs.js";
import { onceOnSource, prepare } from "./prepare.js";
import { quickLook, stateError } from "./quick-look.js";
import { recordEvaluation, tellMetrics } from "./record-metrics.js";
import { RERANKED, rerankStep } from "./rerank.js";
import { retrieve } from "./retrieve.js";
import { GIVEN_RUN, type ModelChoice, modelName, requireQrels, type StepLeft } from "./step.js";
import { withoutPassages } from "./top-k.js";
import { writeQrels, writeRun } from "./trec.js";

/** Measures on different data stand beside each other in metrics.json, but must not be compared. */
function warnOfOtherData(context: RunContext, data: string, set: string | null): void {
  const others = context.runDir.journal.entries
    .filter(({ type, step, data: seen }) => {
      // Of a run from elsewhere, its own fingerprint stands behind that of the data.
      if (type !== "stepDone" || typeof seen !== "string" || seen.split(" ")[0] === data) return false;
      return typeof step === "string" && step.startsWith("evaluate-") && (step.split("/")[1] ?? null) === set;
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
  { step, set, whole, run, intervalsSeed }: RankedSet,
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
  const { relevanceLevel, excludeSameId = false } = options;
  const { queryRows } = qrels;
  // One more where one of them may go.
  const topK = options.topK + (excludeSameId ? 1 : 0);
  const { ranked, throughput } =
    run === undefined
      ? await retrieve(context, { phase: step, folder: step, model, source, queryRows, topK })
      : { ranked: rankedIn(context, run, source, queryRows, topK), throughput: { texts: 0, seconds: 0 } };
  const { queries, passages } = source;
  const ids = excludeSameId ? [...queryRows].map((row) => queries.id(row)) : [];
  const kept = excludeSameId
    ? withoutPassages(ranked, options.topK, (query, row) => passages.id(row) === ids[query])
    : ranked;
  await writeRun(files.run, kept, queryRows, source, name);
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
  /** Takes the place of the search; undefined: the model ranks. */
  readonly run?: GivenRun;
  /** Where some of the queries are taken, their intervals are drawn with this; undefined: none. */
  readonly intervalsSeed?: number;
}

/** Evaluates one model on one data set. */
async function evaluateSet(
  context: RunContext,
  section: EvaluateConfig,
  model: ModelChoice,
  set: EvaluationSet,
): Promise<SetResult> {
  const options = { ...section, measures: set.measures ?? section.measures };
  const step = set.name === null ? `evaluate-${model.label}` : `evaluate-${model.label}/${set.name}`;
  const use = { name: set.name === null ? "evaluate" : `evaluate.${set.name}`, data: set.data };
  const run = await openGiven(context, step, set);
  const evaluateOn = async (whole: PreparedSource): Promise<SetResult> => {
    warnOfOtherData(context, whole.fingerprint, set.name);
    await lookAtCrossEncoder(context, context.config.rerank);
    const what = { step, set, whole, intervalsSeed: context.config.seed, ...(run === null ? {} : { run }) };
    const { measured, throughput, files, part, ofQueries } = await rankAndMeasure(context, model, what, options);
    const found = { values: measured.mean, queryCount: measured.queryCount, throughput, run: `${step}/run.trec` };
    return { ...found, ...(await stateError(context, { step, measured, files, part, ofQueries }, options)) };
  };
  try {
    const read = run === null ? use : { ...use, also: run.run.fingerprint };
    const result = await onceOnSource(context, step, read, evaluateOn, filesOfSet);
    tellMetrics(context, { step, label: modelName(model) }, set.name, result);
    return result;
  } finally {
    run?.run.close();
  }
}

/** Opens the run that a data set is measured by; null where the model ranks. */
async function openGiven(
  context: RunContext,
  step: string,
  { run, data, path }: EvaluationSet,
): Promise<GivenRun | null> {
  if (run === null || data.kind !== "source") return null;
  const [option, files] = run;
  return { run: await prepare(context, `${step}/run`, runSource(data, files)), name: option, data: path };
}

/** Evaluates one model on the experiment's evaluation data, and ranks again what it found where that is asked for. */
export async function evaluateStep(
  context: RunContext,
  options: EvaluateConfig,
  current: ModelChoice,
): Promise<StepLeft> {
  const asked = evaluatedSets(options);
  // Either all sets have a run or none.
  const model = asked.some(({ run }) => run !== null) ? GIVEN_RUN : current;
  const sets: EvaluateResult["sets"][number][] = [];
  for (const set of asked) {
    sets.push({ ...(await evaluateSet(context, options, model, set)), name: set.name });
  }
  const first = await recordEvaluation(context, { step: `evaluate-${model.label}`, label: modelName(model) }, sets);
  const again = await rerankStep(context, options, model, first);
  const evaluations: [string, EvaluateResult][] = [[model.label, first]];
  if (again !== null) evaluations.push([model.label + RERANKED, again]);
  const runs = evaluations.flatMap(([label, found]) =>
    found.sets.map(({ name, run }) => [name === null ? `run.${label}` : `run.${label}/${name}`, run] as const),
  );
  return {
    evaluations,
    files: Object.fromEntries(runs.map(([name, run]) => [name, context.runDir.file(run)])),
    // Pairs that were ranked again are no passages.
    throughputs: first.sets.map(({ throughput }) => throughput),
  };
}
