/** Makes sources ready before any model loads, under a phase of its own. */
import { openTrainingSet, prepareSource, refuseUnfitGrades } from "../data/index.js";
import { isEvaluated } from "../data/inspect/inspected.js";
import type { PreparedSource, TrainingSet } from "../data/types.js";
import type { SearchDataConfig, stepNames, TrainConfig } from "../experiment/schema.js";
import { askedBy } from "./asked-data.js";
import { withoutComing } from "./coming-files.js";
import type { RunContext } from "./context.js";
import { resolveSearch, resolveTraining } from "./resolve.js";
import { once, requireQrels, type StepWork } from "./step.js";

/**
 * Opens the data of all steps before the first one starts, so that a fault in what is evaluated is not told after hours
 * of training. What this builds is in the cache afterwards; a run of one step looks at its data at once anyway.
 *
 * @param coming files that mining writes before training reads them
 * @throws QuarryError CONFIG, DATA or ENVIRONMENT.
 */
export async function lookThrough(
  context: RunContext,
  steps: readonly (typeof stepNames)[number][],
  coming: ReadonlySet<string>,
): Promise<void> {
  const different = [...new Set(steps)];
  if (different.length < 2) return;
  await withProgress(context, "prepare", "look through the data", async (dataContext) => {
    for (const step of different) {
      context.checkStop();
      const { train } = context.config;
      const data = train && withoutComing(train.data, context.experiment.baseDir, coming);
      if (step === "train" && data) (await openTrainingSet(await resolveTraining(context, data), dataContext)).close();
      for (const { path, data, ask } of askedBy(context.config, step)) {
        const source = await prepareSource(await resolveSearch(context, data), dataContext);
        try {
          ask?.(source);
          if (isEvaluated(path)) refuseUnfitGrades(requireQrels(source, path));
        } finally {
          source.close();
        }
      }
    }
  });
}

/** Prepares what is evaluated, mined or encoded, or a ranking of it; what the cache holds is only opened. */
export async function prepare(context: RunContext, phase: string, data: SearchDataConfig): Promise<PreparedSource> {
  return withProgress(context, `${phase}/prepare`, "prepare data", async (dataContext) =>
    prepareSource(await resolveSearch(context, data), dataContext),
  );
}

/**
 * Does a step on one source, unless it was done before with the same texts and judgements.
 *
 * @param use what the source serves, for environment.json; `also` stands for whatever else the step reads
 */
export async function onceOnSource<T>(
  context: RunContext,
  step: string,
  use: { readonly name: string; readonly data: SearchDataConfig; readonly also?: string },
  work: (source: PreparedSource) => Promise<T>,
  files: StepWork<T>["files"],
): Promise<T> {
  const source = await prepare(context, step, use.data);
  try {
    const read = use.also === undefined ? source.fingerprint : `${source.fingerprint} ${use.also}`;
    const prepared = async (): Promise<T> => {
      await context.runDir.recordEnvironment({ data: { [use.name]: source.fingerprint } });
      return work(source);
    };
    return await once(context, step, read, { work: prepared, files });
  } finally {
    source.close();
  }
}

/** Prepares all sources of a training set. */
export async function prepareTraining(
  context: RunContext,
  phase: string,
  data: TrainConfig["data"],
): Promise<TrainingSet> {
  return withProgress(context, `${phase}/prepare`, "prepare data", async (dataContext) =>
    openTrainingSet(await resolveTraining(context, data), dataContext),
  );
}

function withProgress<T>(
  context: RunContext,
  phase: string,
  label: string,
  work: (dataContext: ReturnType<RunContext["dataContext"]>) => Promise<T>,
): Promise<T> {
  return context.phase({ phase, label, unit: "lines", total: null }, async () => {
    const lines = new Map<string, number>();
    const total = (): number => [...lines.values()].reduce((sum, count) => sum + count, 0);
    const value = await work(
      context.dataContext((progress) => {
        lines.set(progress.label, progress.lines);
        context.events.emit({
          type: "progress",
          phase,
          done: total(),
          total: null,
          ratePerSecond: null,
        });
      }),
    );
    return { value, done: total(), ...(lines.size === 0 ? { isCached: true as const } : {}) };
  });
}
