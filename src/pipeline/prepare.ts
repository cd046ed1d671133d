/** Makes sources ready before any model loads, under a phase of its own. */
import { openTrainingSet, prepareSource } from "../data/index.js";
import type { PreparedSource, TrainingSet } from "../data/types.js";
import type { SearchDataConfig, TrainConfig } from "../experiment/schema.js";
import type { RunContext } from "./context.js";
import { resolveSearch, resolveTraining } from "./resolve.js";
import { once } from "./step.js";

/** Prepares what is evaluated, mined or encoded; what the cache holds is only opened. */
async function prepare(context: RunContext, phase: string, data: SearchDataConfig): Promise<PreparedSource> {
  return withProgress(context, phase, async (dataContext) =>
    prepareSource(await resolveSearch(context, data), dataContext),
  );
}

/**
 * Does a step on one source, unless it was done before with the same texts and judgements.
 *
 * @param use what the source serves, for environment.json
 */
export async function onceOnSource<T>(
  context: RunContext,
  step: string,
  use: { readonly name: string; readonly data: SearchDataConfig },
  work: (source: PreparedSource) => Promise<T>,
): Promise<T> {
  const source = await prepare(context, step, use.data);
  try {
    return await once(context, step, source.fingerprint, async () => {
      await context.runDir.recordEnvironment({ data: { [use.name]: source.fingerprint } });
      return work(source);
    });
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
  return withProgress(context, phase, async (dataContext) =>
    openTrainingSet(await resolveTraining(context, data), dataContext),
  );
}

function withProgress<T>(
  context: RunContext,
  phase: string,
  work: (dataContext: ReturnType<RunContext["dataContext"]>) => Promise<T>,
): Promise<T> {
  return context.phase({ phase: `${phase}/prepare`, label: "prepare data", unit: "lines", total: null }, async () => {
    const lines = new Map<string, number>();
    const total = (): number => [...lines.values()].reduce((sum, count) => sum + count, 0);
    const value = await work(
      context.dataContext((progress) => {
        lines.set(progress.label, progress.lines);
        context.events.emit({
          type: "progress",
          phase: `${phase}/prepare`,
          done: total(),
          total: null,
          ratePerSecond: null,
        });
      }),
    );
    return { value, done: total() };
  });
}
