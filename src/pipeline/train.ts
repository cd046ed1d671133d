/** Train: the plan's groups go to torchrun's ranks, checkpoints come back. */
import { appendFile, mkdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import type { TrainingSet } from "../data/types.js";
import { QuarryError } from "../errors.js";
import { machineCount } from "../experiment/cross-checks.js";
import type { TrainConfig } from "../experiment/schema.js";
import { findPython } from "../python/environment.js";
import { diskError, syncFile, writeFileDurably } from "../rundir/durable.js";
import { openLines } from "../rundir/jsonl.js";
import {
  deriveLayout,
  findLatestCheckpoint,
  modelFilesOf,
  runTraining,
  type TrainJob,
  type TrainNodes,
} from "../training/index.js";
import type { RunContext } from "./context.js";
import type { Chosen } from "./evaluating/chosen.js";
import { TrainingEvaluation } from "./evaluating/index.js";
import { begunEntry, begunOf, type LearnedFrom, learnedFrom, refuseOthers } from "./learned-from.js";
import { localModels } from "./local-models.js";
import { prepareTraining } from "./prepare.js";
import { openRefreshed } from "./refresh/batches.js";
import { findDone, listed, lostFiles, once } from "./step.js";
import { type Batches, StepBatches } from "./step-batches.js";
import { maxStepsOf, rankCount, trainJob } from "./train-job.js";

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
    const models = await localModels(context, "train");
    const from = { ...learnedFrom(context.experiment, set.fingerprint, context.pluginSources), models };
    refuseOthers(begunOf(context.runDir.journal.entries), from, context.experiment);
    await refuseLost(context);
    const work = (): Promise<TrainResult> => trainOn(context, options, set, from);
    return await once(context, "train", set.fingerprint, { work, files: filesOf(context) });
  } finally {
    set.close();
  }
}

/** The model that training ended with; what a resume would need besides may be gone. */
function filesOf({ runDir }: RunContext) {
  return async ({ checkpoint }: TrainResult): Promise<string[]> => {
    const files = await modelFilesOf(runDir.file(checkpoint));
    return files?.map((file) => join(checkpoint, file)) ?? [checkpoint];
  };
}

/**
 * A finished training whose model is gone goes on from an earlier checkpoint. Where that would not come by the model
 * again, or would cost all of the training, only the user can say what is to become of it.
 *
 * @throws QuarryError INTEGRITY naming what is gone.
 */
async function refuseLost(context: RunContext): Promise<void> {
  const entry = findDone(context, "train");
  const lost = await lostFiles(context, entry, filesOf(context));
  if (entry === undefined || lost.length === 0) return;
  const { checkpoint, chosen } = entry.result as TrainResult;
  const latest = await findLatestCheckpoint(context.runDir.file("train"));
  const step = Number(/\d+$/.exec(checkpoint)?.[0]);
  if (latest !== null && latest.step < step && chosen?.isStoppedEarly !== true) return;
  throw new QuarryError("INTEGRITY", `the training in ${context.runDir.path} is done, but has lost ${listed(lost)}`, {
    hint: "Restore the files from a copy, leave train out of the steps, or train again in another folder with --runDir.",
  });
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

async function trainOn(
  context: RunContext,
  options: TrainConfig,
  set: TrainingSet,
  from: LearnedFrom,
): Promise<TrainResult> {
  const python = await context.python();
  const ranks = await rankCount(options, python);
  await context.runDir.recordEnvironment({ data: { "train.set": set.fingerprint } });
  // Training needs the devices' memory for itself.
  await context.closePool();
  await mkdir(context.runDir.file("train"), { recursive: true });
  const maxSteps = maxStepsOf(options, set);
  const { evaluate } = options;
  const evaluation =
    evaluate && (await TrainingEvaluation.open(context, { ...options, evaluate }, { ranks, maxSteps }));
  const refreshed = await openRefreshed(context, options, { given: set, maxSteps, ranks }).catch(
    async (thrown: unknown) => {
      await evaluation?.close();
      throw thrown;
    },
  );
  const batches = refreshed ?? new StepBatches(set, options.globalBatchSize);
  const { events, signal, runDir } = context;
  const record = recordTraining(context, options, from, batches);
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
  try {
    return await context.phase({ phase: "train", label: "train", unit: "steps", total: maxSteps }, async () => {
      await evaluation?.begin();
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
      await refreshed?.over();
      const chosen = await evaluation?.finish(outcome);
      if (chosen?.isStoppedEarly) await record.endAt(chosen.last);
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
    await record.close();
    await batches.close();
  }
}

/**
 * Keeps the loss curve in train/steps.jsonl (after a restart a step may stand there again, the later line counts; `rows`
 * names its batch), and notes in the journal, before the first checkpoint counts, what the weights learn from.
 */
function recordTraining(context: RunContext, options: TrainConfig, from: LearnedFrom, batches: Batches) {
  const path = context.runDir.file("train", "steps.jsonl");
  const { journal } = context.runDir;
  // A resume may change them, and with dropout or in 16 bits a step's loss depends on them.
  const { miniBatchSize = null, lengthGroups, args } = options;
  const pieces = { miniBatchSize, lengthGroups, fsdp: args.fsdp };
  let written: Promise<void> = Promise.resolve();
  const then = (work: () => Promise<void>): void => {
    // After a failure nothing more is written: a curve has no gaps.
    written = written.then(work);
    written.catch(() => {});
  };
  // A last line that a crash tore would swallow the next one.
  then(async () => (await openLines(path)).file.close());
  const unsubscribe = context.events.subscribe((event) => {
    if (event.type !== "trainStep") return;
    const { step, loss, learningRate, gradNorm, waitShare, negatives } = event;
    // Reports count finished steps from 1, the plan counts from 0.
    const line = { step, loss, learningRate, gradNorm, ...batches.take(step - 1), ...pieces, waitShare, negatives };
    then(() => appendFile(path, `${JSON.stringify(line)}\n`));
  });
  const told = (): Promise<void> =>
    written.catch((thrown: unknown) => {
      throw diskError(thrown, path);
    });
  return {
    /**
     * The steps up to now are on the disk; a checkpoint that outlived its lines would leave a gap that nothing fills.
     *
     * @throws QuarryError ENVIRONMENT when the disk is full or refuses.
     */
    settle: (): Promise<void> => {
      const entry = begunEntry(journal.entries, from);
      if (entry !== null) then(() => journal.append(entry));
      then(() => syncFile(path));
      return told();
    },
    /** Workers notice an early stop later than its step: what was trained beyond it is no part of the curve. */
    endAt: (last: number): Promise<void> => {
      then(async () => {
        const lines = (await readFile(path, "utf8")).split("\n").filter((line) => line !== "");
        const kept = lines.filter((line) => stepOf(line) <= last);
        if (kept.length < lines.length) await writeFileDurably(path, kept.map((line) => `${line}\n`).join(""));
      });
      return told();
    },
    close: (): Promise<void> => {
      unsubscribe();
      return told();
    },
  };
}

/** The step of a line of steps.jsonl; a line that was torn by a death stays as it is. */
function stepOf(line: string): number {
  return Number(/^\{"step":(\d+),/.exec(line)?.[1] ?? 0);
}
