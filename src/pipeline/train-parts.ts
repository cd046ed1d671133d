/** What a training works with: opened together before the ranks start, closed together whatever becomes of them. */
import type { TrainingSet } from "../data/types.js";
import { machineCount } from "../experiment/cross-checks.js";
import type { TrainConfig } from "../experiment/schema.js";
import { withNamedGpu } from "../pool/gpus.js";
import type { TrainJob, TrainNodes } from "../training/index.js";
import type { RunContext } from "./context.js";
import { TrainingEvaluation } from "./evaluating/index.js";
import { type LearnedFrom, learnedFrom, refuseOthers } from "./learned-from.js";
import { localModels } from "./local-models.js";
import { openRefreshed, type RefreshedBatches } from "./refresh/batches.js";
import { StepBatches } from "./step-batches.js";
import { maxStepsOf, rankCount, trainJob } from "./train-job.js";
import { recordTraining } from "./train-record.js";

/** Close it, whatever happened. */
export interface TrainParts {
  /** Null where nothing is evaluated while the model trains. */
  readonly evaluation: TrainingEvaluation | null;
  /** Null where negatives stay as they are. */
  readonly refreshed: RefreshedBatches | null;
  readonly record: ReturnType<typeof recordTraining>;
  /** Without what evaluation asks of the ranks: see TrainingEvaluation.adapt. */
  readonly job: TrainJob;
  readonly maxSteps: number;
  /** @throws QuarryError ENVIRONMENT when the disk is full or refuses. */
  close(): Promise<void>;
}

/**
 * Opens what a training needs besides its set.
 *
 * @param from what the weights learn from, as this run knows it
 * @throws QuarryError as evaluation and refreshing do: then nothing is left open.
 */
export async function openParts(
  context: RunContext,
  options: TrainConfig,
  set: TrainingSet,
  from: LearnedFrom,
): Promise<TrainParts> {
  const { events, signal, runDir } = context;
  const { device } = context.config.workers;
  const python = await withNamedGpu(await context.python(), device);
  const ranks = await rankCount(options, device, python, (message) =>
    events.emit({ type: "warning", message, hint: "Mend the driver, or set workers.device to cpu." }),
  );
  const maxSteps = maxStepsOf(options, set);
  const { evaluate } = options;
  const evaluation =
    evaluate === undefined
      ? null
      : await TrainingEvaluation.open(context, { ...options, evaluate }, { ranks, maxSteps });
  // In the order in which they are closed.
  const opened: (Closable | null)[] = [evaluation];
  try {
    const refreshed = await openRefreshed(context, options, {
      given: set,
      maxSteps,
      ranks,
      minedFrom: from.mined ?? {},
    });
    const batches = refreshed ?? new StepBatches(set, options.globalBatchSize);
    const record = recordTraining(context, options, from, batches);
    opened.push(record, batches);
    const job: TrainJob = {
      ...trainJob(context.experiment, options, set, batches, {
        ...{ python, events, signal, outputDir: runDir.file("train"), logDir: runDir.file("logs") },
        ranks: ranks * machineCount(options),
        model: context.modelSpec(),
        ...otherMachines(context, options),
      }),
      ...refreshed?.jobParts(),
      // Ranks that start again after a death read the plugins and, without a checkpoint, the model again.
      beforeStart: async () => {
        const models = await localModels(context, "train");
        const now = { ...learnedFrom(context.experiment, set.fingerprint), models };
        refuseOthers(from, now, context.experiment, "this run began with");
      },
      beforeSeal: record.settle,
    };
    return { evaluation, refreshed, record, job, maxSteps, close: () => closeAll(opened) };
  } catch (thrown) {
    await closeAll(opened);
    throw thrown;
  }
}

/** The other machines; none of them is told apart by device, as all are to have what this one has. */
function otherMachines({ config, runDir }: RunContext, options: TrainConfig): { readonly nodes?: TrainNodes } {
  const count = machineCount(options);
  const { listen } = config.workers;
  if (count === 1 || listen === undefined) return {};
  const others = options.nodes.map((node) => (node.kind === "manual" ? node : { ...node, device: "auto" as const }));
  return { nodes: { others, count, least: options.minNodes ?? count, listen, runDir: runDir.path } };
}

interface Closable {
  close(): Promise<void> | void;
}

/**
 * Closes one after the other, also when one before could not be: it may have processes.
 *
 * @throws the first failure
 */
export async function closeAll(opened: readonly (Closable | null)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const each of opened) {
    try {
      await each?.close();
    } catch (thrown) {
      failures.push(thrown);
    }
  }
  if (failures.length > 0) throw failures[0];
}
