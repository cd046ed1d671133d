/** Train: the plan's groups go to torchrun's ranks, checkpoints come back. */
import { appendFile, mkdir } from "node:fs/promises";
import { join, relative } from "node:path";
import { buildMicroBatch, stepsOf } from "../data/index.js";
import type { TrainingSet } from "../data/types.js";
import { QuarryError } from "../errors.js";
import { machineCount } from "../experiment/cross-checks.js";
import type { TrainConfig } from "../experiment/schema.js";
import { coreCount, countGpus } from "../pool/resources.js";
import { findPython, type PythonEnvironment } from "../python/environment.js";
import { diskError } from "../rundir/durable.js";
import { deriveLayout, runTraining, type TrainJob, type TrainNodes } from "../training/index.js";
import type { RunContext } from "./context.js";
import type { Chosen } from "./evaluating/chosen.js";
import { TrainingEvaluation } from "./evaluating/index.js";
import { toModelSpec } from "./model-spec.js";
import { prepareTraining } from "./prepare.js";
import { once } from "./step.js";
import { StepPlans } from "./step-plans.js";

const MOST_NAMED = 10;

/** What training ended with; the checkpoint's folder is relative to the run folder. */
export interface TrainResult {
  readonly checkpoint: string;
  readonly steps: number;
  /** Optimiser steps a second, the start of the ranks left out; null when nothing was left to do. */
  readonly stepsPerSecond: number | null;
  /** Share of the steps' time in which the slowest rank waited for its texts; null when nothing was left to do. */
  readonly waitShare: number | null;
  /** What evaluation in training came to; absent without it. */
  readonly chosen?: Chosen;
}

/** Trains the experiment's model, or goes on where an earlier process stopped. */
export async function trainStep(context: RunContext): Promise<TrainResult> {
  const options = context.config.train;
  if (options === undefined) throw new TypeError("the experiment has no train section");
  const set = await prepareTraining(context, "train", options.data);
  try {
    refuseOtherData(context, set);
    return await once(context, "train", set.fingerprint, () => trainOn(context, options, set));
  } finally {
    set.close();
  }
}

/** Weights that learned from other data must not be gone on with, or passed off as trained on these. */
function refuseOtherData(context: RunContext, set: TrainingSet): void {
  const begun = context.runDir.journal.entries.findLast((entry) => entry.type === "trainBegun");
  if (begun === undefined || begun.data === set.fingerprint) return;
  throw new QuarryError("CONFIG", "the training data is not what this run's checkpoints were trained on", {
    hint: "Put the files back as they were to go on, or choose another folder with --runDir.",
  });
}

/** Training processes of this machine, and so of each: as many as the user says, else one per GPU, else one. */
async function rankCount(options: TrainConfig, python: PythonEnvironment): Promise<number> {
  return options.ranks === "auto" ? Math.max(1, await countGpus(python)) : options.ranks;
}

/** The other machines; none of them is told apart by device, as all are to have what this one has. */
function otherMachines({ config, runDir }: RunContext, options: TrainConfig): { readonly nodes?: TrainNodes } {
  const count = machineCount(options);
  const { listen } = config.workers;
  if (count === 1 || listen === undefined) return {};
  const others = options.nodes.map((node) => (node.kind === "manual" ? node : { ...node, device: "auto" as const }));
  return { nodes: { others, count, least: options.minNodes ?? count, listen, runDir: runDir.path } };
}

/**
 * Refuses a batch that this machine's ranks cannot share, before anything else is done.
 *
 * @throws CONFIG naming the numbers that would work
 */
export async function checkLayout(options: TrainConfig): Promise<void> {
  const { globalBatchSize, queriesPerRank } = options;
  const ranks = (await rankCount(options, await findPython())) * machineCount(options);
  deriveLayout({ globalBatchSize, queriesPerRank, ranks });
}

async function trainOn(context: RunContext, options: TrainConfig, set: TrainingSet): Promise<TrainResult> {
  const { args } = options;
  const maxSteps = args.maxSteps > 0 ? args.maxSteps : stepsOf(set, args.numTrainEpochs, options.globalBatchSize);
  const python = await context.python();
  const ranks = await rankCount(options, python);
  const threads = options.threads ?? Math.max(1, Math.floor(coreCount() / ranks));
  const { name, ...lossOptions } = options.loss;
  await context.runDir.recordEnvironment({ data: { "train.set": set.fingerprint } });
  // Training needs the devices' memory for itself.
  await context.closePool();
  await mkdir(context.runDir.file("train"), { recursive: true });
  const masked = new MaskCounts();
  const stopRecording = recordTraining(context, set, masked);
  const plans = new StepPlans(set, options.globalBatchSize);
  const { evaluate } = options;
  const evaluation =
    evaluate && (await TrainingEvaluation.open(context, { ...options, evaluate }, { ranks, maxSteps }));
  try {
    return await context.phase({ phase: "train", label: "train", unit: "steps", total: maxSteps }, async () => {
      await evaluation?.begin();
      const job: TrainJob = {
        phase: "train",
        model: { ...toModelSpec(context.experiment), dtype: "float32" },
        loss: { name, options: lossOptions },
        retriever: retrieverOf(options),
        args: toTrainingArguments(args),
        outputDir: context.runDir.file("train"),
        maxSteps,
        globalBatchSize: options.globalBatchSize,
        queriesPerRank: options.queriesPerRank,
        passagesPerQuery: set.passagesPerQuery,
        ranks: ranks * machineCount(options),
        ...otherMachines(context, options),
        startTimeoutMs: options.startTimeoutMs,
        threads,
        maxRestarts: options.maxRestarts,
        seed: context.config.seed,
        isDropoutOn: options.dropout,
        device: context.config.workers.device === "cpu" ? "cpu" : "auto",
        stepTimeoutMs: context.config.workers.unitTimeoutMs,
        nameRows: (queries, passages) => nameRows(set, queries, passages),
        python,
        logDir: context.runDir.file("logs"),
        events: context.events,
        signal: context.signal,
        microBatch: (step, microStep, rank, layout) => {
          const batch = buildMicroBatch(set, plans.of(step), { ...layout, rank, microStep });
          masked.note(step, `${microStep}/${rank}`, batch.maskedPositives);
          return batch;
        },
      };
      const stoppedAt = evaluation?.stoppedAt ?? null;
      const outcome =
        stoppedAt === null
          ? await runTraining(evaluation?.adapt(job) ?? job)
          : { step: stoppedAt, checkpoint: "", stepsDone: 0, seconds: 0, waitShare: null, isStopped: false };
      if (outcome.isStopped && (evaluation?.stoppedAt ?? null) === null) {
        await evaluation?.close();
        if (evaluation?.failure) throw evaluation.failure;
        throw new QuarryError("INTERRUPTED", `Stopped on request after step ${outcome.step} of ${maxSteps}.`, {
          hint: "The same command goes on with the very next batch after that step.",
        });
      }
      const chosen = await evaluation?.finish(outcome);
      const checkpoint = chosen === undefined ? outcome.checkpoint : join(job.outputDir, `checkpoint-${chosen.step}`);
      const value = {
        checkpoint: relative(context.runDir.path, checkpoint),
        steps: chosen?.last ?? outcome.step,
        stepsPerSecond: outcome.stepsDone > 0 ? outcome.stepsDone / outcome.seconds : null,
        waitShare: outcome.waitShare,
        ...(chosen === undefined ? {} : { chosen }),
      };
      return { value, done: value.steps };
    });
  } finally {
    await evaluation?.close();
    plans.close();
    await stopRecording();
  }
}

/** A plugin's retriever as it travels; null for Quarry's own. */
function retrieverOf({ retriever }: TrainConfig): { name: string; options: Record<string, unknown> } | null {
  if (retriever === undefined) return null;
  const { name, ...options } = retriever;
  return { name, options };
}

/** How many columns of a step's batch were masked because they hold known positives of another query, or copies. */
class MaskCounts {
  readonly #steps = new Map<number, Map<string, number>>();

  /** A share asked for twice, after a restart, counts once. */
  note(step: number, share: string, count: number): void {
    const shares = this.#steps.get(step) ?? new Map<string, number>();
    this.#steps.set(step, shares.set(share, count));
  }

  /** The count of a step that is done; it and those before it are forgotten. */
  take(step: number): number {
    let sum = 0;
    for (const count of this.#steps.get(step)?.values() ?? []) sum += count;
    for (const known of this.#steps.keys()) if (known <= step) this.#steps.delete(known);
    return sum;
  }
}

/** Ids and places of the texts of a broken batch, the first few. */
function nameRows(set: TrainingSet, queries: readonly number[], passages: readonly number[]): string {
  const named = [
    ...queries.map((row) => ({ id: set.queryId(row), origin: set.queryOrigin(row) })),
    ...passages.map((row) => ({ id: set.passageId(row), origin: set.passageOrigin(row) })),
  ].map(({ id, origin }) => `${id} (${origin.file}:${origin.line})`);
  const more = named.length > MOST_NAMED ? ` and ${named.length - MOST_NAMED} more` : "";
  return `${named.slice(0, MOST_NAMED).join(", ")}${more}`;
}

/**
 * Keeps the loss curve in train/steps.jsonl (after a restart a step may stand there again, the later line counts), and
 * notes in the journal, with the first checkpoint, which data the weights have seen.
 */
function recordTraining(context: RunContext, set: TrainingSet, masked: MaskCounts): () => Promise<void> {
  const path = context.runDir.file("train", "steps.jsonl");
  const { journal } = context.runDir;
  let written: Promise<void> = Promise.resolve();
  let failure: unknown;
  const then = (work: () => Promise<void>): void => {
    written = written.then(work).catch((thrown: unknown) => {
      failure ??= thrown;
    });
  };
  const unsubscribe = context.events.subscribe((event) => {
    if (event.type === "checkpoint" && !journal.entries.some((entry) => entry.type === "trainBegun")) {
      then(() => journal.append({ type: "trainBegun", data: set.fingerprint }));
    }
    if (event.type !== "trainStep") return;
    const { step, loss, learningRate, gradNorm, waitShare } = event;
    // Reports count finished steps from 1, the plan counts from 0.
    const maskedPositives = masked.take(step - 1);
    const line = { step, loss, learningRate, gradNorm, maskedPositives, waitShare };
    then(() => appendFile(path, `${JSON.stringify(line)}\n`));
  });
  return async () => {
    unsubscribe();
    await written;
    if (failure !== undefined) throw diskError(failure, path);
  };
}

/** camelCase to the snake_case of transformers.TrainingArguments, mechanically. */
function toTrainingArguments(args: TrainConfig["args"]): Record<string, unknown> {
  const { maxSteps: _maxSteps, numTrainEpochs: _numTrainEpochs, ...rest } = args;
  return Object.fromEntries(
    Object.entries(rest).map(([key, value]) => [key.replace(/[A-Z]/g, (found) => `_${found.toLowerCase()}`), value]),
  );
}
