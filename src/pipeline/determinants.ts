/** What of an experiment a run folder is bound to: options that determine results, as far as something in it depends on them. */
import type { ExperimentConfig, TrainConfig } from "../experiment/schema.js";
import { BATCH_SIZES } from "../pool/resources.js";
import { unitSizeOf } from "./batch-size.js";
import { evalStepsOf } from "./evaluating/index.js";

/** The options that determine results: another value of these belongs into another run folder. */
export function determinants(config: ExperimentConfig): unknown {
  const { runDir: _runDir, cacheDir: _cacheDir, steps: _steps, workers, train: training, ...others } = config;
  // Without one, the machine decides.
  const { batchSize = BATCH_SIZES.cpu } = workers;
  const unitSize = unitSizeOf(workers, 1);
  // Whether vectors are kept changes no more than the last bits of a score; what they are rounded to does.
  const rest = { ...others, embeddings: { dtype: config.embeddings.dtype } };
  if (training === undefined) return { ...rest, workers: { batchSize, unitSize } };
  const { args, evaluate, refresh, ...learning } = training;
  const train = {
    ...without(learning, FREE_IN_TRAINING),
    args: without(args, FREE_IN_ARGS),
    ...evaluating(training, evaluate),
    ...refreshing(refresh),
  };
  return { ...rest, workers: { batchSize, unitSize }, train };
}

/**
 * A resume may use other machines and ranks, and cut a batch in another way: the queries of a step do not depend on it,
 * and what each is compared with is guarded by the checkpoint.
 */
const FREE_IN_TRAINING = [
  ...["ranks", "nodes", "minNodes", "threads", "queriesPerRank", "miniBatchSize", "lengthGroups"],
  ...["maxRestarts", "startTimeoutMs"],
];
const FREE_IN_ARGS = [
  ...["saveSteps", "saveTotalLimit", "fsdp", "fsdpConfig", "gradientCheckpointing", "gradientCheckpointingKwargs"],
  ...["ddpBackend", "ddpBucketCapMb", "ddpTimeout", "torchEmptyCacheSteps", "logLevel", "logLevelReplica"],
];

function without(options: object, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(options).filter(([name]) => !names.includes(name)));
}

/** What evaluation in training comes to does not depend on who evaluates, nor on what is kept. */
function evaluating(training: TrainConfig, evaluate: TrainConfig["evaluate"]): Record<string, unknown> {
  if (evaluate === undefined) return {};
  const { mode: _mode, workers: _workers, maxWaiting: _maxWaiting, saveBestLimit: _limit, ...rest } = evaluate;
  return { evaluate: { ...rest, evalSteps: evalStepsOf(training) } };
}

/** Nor does what is mined depend on who mines. */
function refreshing(refresh: TrainConfig["refresh"]): Record<string, unknown> {
  if (refresh === undefined) return {};
  const { workers: _workers, ...rest } = refresh;
  return { refresh: rest };
}

/** What vectors are written as is another output of the same vectors: the step does it again where it is another one. */
const BOUND_OF_STEPS: Readonly<Record<string, readonly string[]>> = { encode: ["encode.data", "encode.side"] };

/** The options of the experiment that something in the run folder depends on; the others may still change. */
export function bound(entries: readonly { readonly type: string; readonly step?: unknown }[]): string[] {
  const done = new Set<string>();
  for (const { type, step } of entries) {
    if (type === "trainBegun") done.add("train");
    // A search is only asked: the next question may be another one.
    else if (typeof step === "string" && !step.startsWith("search-")) done.add(step.split("-")[0] as string);
  }
  return done.size === 0
    ? []
    : ["name", "model", "seed", "workers", "embeddings", ...[...done].flatMap((step) => BOUND_OF_STEPS[step] ?? step)];
}
