/** Makes sources ready before any model loads, under a phase of its own. */
import { openTrainingSet, prepareSource } from "../data/index.js";
import type { PreparedSource, TrainingSet } from "../data/types.js";
import type { SourceConfig, TrainConfig } from "../experiment/schema.js";
import type { RunContext } from "./context.js";
import { resolveEmbedded } from "./embedded.js";
import { once } from "./step.js";

/** Prepares one source; what the cache holds is only opened. */
async function prepare(context: RunContext, phase: string, source: SourceConfig): Promise<PreparedSource> {
  return withProgress(context, phase, async (dataContext) =>
    prepareSource(await resolveEmbedded(context, source), dataContext),
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
  use: { readonly name: string; readonly source: SourceConfig },
  work: (source: PreparedSource) => Promise<T>,
): Promise<T> {
  const source = await prepare(context, step, use.source);
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
  return withProgress(context, phase, async (dataContext) => {
    const resolved: TrainConfig["data"] =
      data.kind === "binary"
        ? {
            ...data,
            positives: await resolveEmbedded(context, data.positives),
            ...(data.negatives === undefined ? {} : { negatives: await resolveEmbedded(context, data.negatives) }),
          }
        : { ...data, sources: await Promise.all(data.sources.map((source) => resolveEmbedded(context, source))) };
    return openTrainingSet(resolved, dataContext);
  });
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
