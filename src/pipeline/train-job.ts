/** What the ranks are asked for, from an experiment: the same for a training and for a replay of it. */
import { stepsOf } from "../data/index.js";
import type { TrainingSet } from "../data/types.js";
import { machineCount } from "../experiment/cross-checks.js";
import type { Experiment } from "../experiment/define.js";
import type { TrainConfig } from "../experiment/schema.js";
import { countGpus } from "../pool/gpus.js";
import { coreCount } from "../pool/resources.js";
import type { PythonEnvironment } from "../python/environment.js";
import type { TrainJob } from "../training/index.js";
import { lossSpecs } from "./losses.js";
import { toModelSpec } from "./model-spec.js";
import type { Batches } from "./step-batches.js";

const MOST_NAMED = 10;

/** Where a job works and who hears of it. */
export type JobPlace = Pick<TrainJob, "ranks" | "nodes" | "outputDir" | "logDir" | "python" | "events" | "signal"> & {
  /** Where not the experiment's own: see RunContext.modelSpec. */
  readonly model?: TrainJob["model"];
};

/** The job of an experiment's train section. */
export function trainJob(
  experiment: Experiment,
  options: TrainConfig,
  set: TrainingSet,
  batches: Pick<Batches, "microBatch">,
  { model = toModelSpec(experiment), ...place }: JobPlace,
): TrainJob {
  const { seed, workers } = experiment.config;
  return {
    ...place,
    phase: "train",
    model: { ...model, dtype: "float32" },
    ...lossSpecs(options, set),
    retriever: retrieverOf(options),
    args: toTrainingArguments(options.args),
    maxSteps: maxStepsOf(options, set),
    globalBatchSize: options.globalBatchSize,
    queriesPerRank: options.queriesPerRank,
    miniBatchSize: options.miniBatchSize ?? null,
    lengthGroups: options.lengthGroups === "auto" ? null : options.lengthGroups,
    passagesPerQuery: set.passagesPerQuery,
    threads: options.threads ?? Math.max(1, Math.floor((coreCount() * machineCount(options)) / place.ranks)),
    startTimeoutMs: options.startTimeoutMs,
    maxRestarts: options.maxRestarts,
    seed,
    isDropoutOn: options.dropout,
    device: workers.device === "cpu" ? "cpu" : "auto",
    stepTimeoutMs: workers.unitTimeoutMs,
    nameRows: (queries, passages) => nameRows(set, queries, passages),
    microBatch: (step, microStep, rank, layout) => batches.microBatch(step, microStep, rank, layout),
  };
}

/**
 * Training processes of this machine, and so of each: as many as the user says, else one per GPU, else one.
 *
 * @param device as workers.device has it: on the CPU no GPU counts
 */
export async function rankCount(
  { ranks }: TrainConfig,
  device: string,
  python: PythonEnvironment,
  warn?: (why: string) => void,
): Promise<number> {
  if (ranks !== "auto") return ranks;
  return device === "cpu" ? 1 : Math.max(1, await countGpus(python, warn));
}

/** Optimiser steps of the whole training. */
export function maxStepsOf({ args, globalBatchSize }: TrainConfig, set: TrainingSet): number {
  return args.maxSteps > 0 ? args.maxSteps : stepsOf(set, args.numTrainEpochs, globalBatchSize);
}

/** A plugin's retriever as it travels; null for Quarry's own. */
function retrieverOf({ retriever }: TrainConfig): NonNullable<TrainJob["retriever"]> | null {
  if (retriever === undefined) return null;
  const { name, ...options } = retriever;
  return { name, options };
}

/** Ids and places of the texts of a broken batch, the first few. */
export function nameRows(set: TrainingSet, queries: readonly number[], passages: readonly number[]): string {
  const named = [
    ...queries.map((row) => ({ id: set.queryId(row), origin: set.queryOrigin(row) })),
    ...passages.map((row) => ({ id: set.passageId(row), origin: set.passageOrigin(row) })),
  ].map(({ id, origin }) => `${id} (${origin.file}:${origin.line})`);
  const more = named.length > MOST_NAMED ? ` and ${named.length - MOST_NAMED} more` : "";
  return `${named.slice(0, MOST_NAMED).join(", ")}${more}`;
}

/** camelCase to the snake_case of transformers.TrainingArguments, mechanically. */
function toTrainingArguments(args: TrainConfig["args"]): Record<string, unknown> {
  const { maxSteps: _maxSteps, numTrainEpochs: _numTrainEpochs, ...rest } = args;
  return Object.fromEntries(
    Object.entries(rest).map(([key, value]) => [key.replace(/[A-Z]/g, (found) => `_${found.toLowerCase()}`), value]),
  );
}
