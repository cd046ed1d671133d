/** Train: the plan's groups go to torchrun's ranks, checkpoints come back. */
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join, relative } from "node:path";
import type { TrainingSet } from "../data/types.js";
import { QuarryError } from "../errors.js";
import type { TrainConfig } from "../experiment/schema.js";
import { findLatestCheckpoint, lostOfCheckpoints, modelFilesOf, runTraining } from "../training/index.js";
import type { RunContext } from "./context.js";
import { type Chosen, tellChosen } from "./evaluating/chosen.js";
import type { TrainingEvaluation } from "./evaluating/index.js";
import { begunOf, type LearnedFrom, learnedFrom, refuseOthers } from "./learned-from.js";
import { localModels } from "./local-models.js";
import { prepare, prepareTraining } from "./prepare.js";
import { fingerprintsOf, minedSources } from "./refresh/sources.js";
import { findDone, listed, lostFiles, once, type StepLeft } from "./step.js";
import { openParts, type TrainParts } from "./train-parts.js";
import { forgetFirstTry, wasCheckpointed } from "./train-record.js";

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
export async function trainStep(context: RunContext, options: TrainConfig): Promise<StepLeft> {
  const set = await prepareTraining(context, "train", options.data);
  try {
    const models = await localModels(context, "train");
    const mined = await fingerprintsOf(minedSources(options), (data) => prepare(context, "train/refresh", data));
    const from = {
      ...learnedFrom(context.experiment, set.fingerprint, context.pluginSources),
      models,
      ...(Object.keys(mined).length === 0 ? {} : { mined }),
    };
    refuseOthers(begunOf(context.runDir.journal.entries), from, context.experiment);
    await refuseLost(context);
    const work = (): Promise<TrainResult> => trainOn(context, options, set, from);
    const trained = await once(context, "train", set.fingerprint, { work, files: filesOf(context) });
    tellChosen(context);
    return { trained };
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
  const latest = await findLatestCheckpoint(context.runDir.file("train"));
  if (entry === undefined) return latest === null ? refuseNoneLeft(context) : undefined;
  const lost = await lostFiles(context, entry, filesOf(context));
  if (lost.length === 0) return;
  const { checkpoint, chosen } = entry.result as TrainResult;
  const step = Number(/\d+$/.exec(checkpoint)?.[0]);
  if (latest !== null && latest.step < step && chosen?.isStoppedEarly !== true) return;
  throw new QuarryError("INTEGRITY", `the training in ${context.runDir.path} is done, but has lost ${listed(lost)}`, {
    hint: "Restore the files from a copy, leave train out of the steps, or train again in another folder with --runDir.",
  });
}

/**
 * A training that had checkpoints, and has none that is complete, would begin anew and remove what is left of them.
 *
 * @throws QuarryError INTEGRITY naming what is gone.
 */
async function refuseNoneLeft({ runDir }: RunContext): Promise<void> {
  const lost = await lostOfCheckpoints(runDir.file("train"));
  // Whoever removed all of the training wants it anew.
  const hadAny = wasCheckpointed(runDir.journal.entries) && existsSync(runDir.file("train", "steps.jsonl"));
  if (lost.length === 0 && !hadAny) return;
  const seen = lost.length > 0 ? listed(lost.map((path) => relative(runDir.path, path))) : "all its checkpoints";
  throw new QuarryError("INTEGRITY", `the training in ${runDir.path} cannot go on: it has lost ${seen}`, {
    hint: "Restore the files from a copy, or train anew in another folder with --runDir.",
  });
}

async function trainOn(
  context: RunContext,
  options: TrainConfig,
  set: TrainingSet,
  from: LearnedFrom,
): Promise<TrainResult> {
  await context.runDir.recordEnvironment({ data: { "train.set": set.fingerprint } });
  // Training needs the devices' memory for itself.
  await context.closePool();
  await mkdir(context.runDir.file("train"), { recursive: true });
  await forgetFirstTry(context);
  const parts = await openParts(context, options, set, from);
  try {
    const start = { phase: "train", label: "train", unit: "steps", total: parts.maxSteps } as const;
    return await context.phase(start, async () => {
      const value = await outcomeOf(context, parts);
      return { value, done: value.steps };
    });
  } finally {
    await parts.close();
  }
}

type Rates = Pick<TrainResult, "stepsPerSecond" | "waitShare">;

/** Trains to the end, and chooses where there is a choice. */
async function outcomeOf(context: RunContext, parts: TrainParts): Promise<TrainResult> {
  const { evaluation, refreshed, job } = parts;
  await evaluation?.begin();
  const endedBefore = evaluation?.stoppedAt ?? null;
  if (evaluation !== null && endedBefore !== null) {
    // The patience ran out in an earlier call, which did not come to choose.
    await refreshed?.over();
    return choiceOf(context, parts, evaluation, endedBefore, { stepsPerSecond: null, waitShare: null });
  }
  const outcome = await runTraining(evaluation?.adapt(job) ?? job);
  if (outcome.isStopped && (evaluation?.stoppedAt ?? null) === null) throw await stopOf(parts, outcome.step);
  await refreshed?.over();
  const { step, stepsDone, seconds, waitShare } = outcome;
  const rates = { stepsPerSecond: stepsDone > 0 ? stepsDone / seconds : null, waitShare };
  if (evaluation !== null) return choiceOf(context, parts, evaluation, step, rates);
  return { checkpoint: relative(context.runDir.path, outcome.checkpoint), steps: step, ...rates };
}

/** The checkpoint that evaluation chooses, once all that are due have been measured; `step` is the last one trained. */
async function choiceOf(
  { runDir }: RunContext,
  { job, record }: TrainParts,
  evaluation: TrainingEvaluation,
  step: number,
  rates: Rates,
): Promise<TrainResult> {
  const chosen = await evaluation.finish({ step });
  if (chosen.isStoppedEarly) await record.endAt(chosen.last);
  const checkpoint = relative(runDir.path, join(job.outputDir, `checkpoint-${chosen.step}`));
  return { checkpoint, steps: chosen.last, ...rates, chosen };
}

/** Why the ranks ended before the last step: evaluation could not go on, or somebody asked. */
async function stopOf({ evaluation, maxSteps }: TrainParts, step: number): Promise<QuarryError> {
  await evaluation?.close();
  const stopped = new QuarryError("INTERRUPTED", `Stopped on request after step ${step} of ${maxSteps}.`, {
    hint: "The same command goes on with the very next batch after that step.",
  });
  return evaluation?.failure ?? stopped;
}
