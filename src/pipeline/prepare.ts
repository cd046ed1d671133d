/** Makes sources ready before any model loads, under a phase of its own. */
import { openTrainingSet, prepareSource } from "../data/index.js";
import type { PreparedSource, TrainingSet } from "../data/types.js";
import type { SourceConfig, TrainConfig } from "../experiment/schema.js";
import type { RunContext } from "./context.js";
import { resolveEmbedded } from "./embedded.js";

/** Prepares one source; what the cache holds is only opened. */
export async function prepare(context: RunContext, phase: string, source: SourceConfig): Promise<PreparedSource> {
  return withProgress(context, phase, async (dataContext) =>
    prepareSource(await resolveEmbedded(context, source), dataContext),
  );
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
