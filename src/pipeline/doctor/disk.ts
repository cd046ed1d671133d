/** Whether checkpoints and stored vectors fit onto the disks that they are written to. */
import { counted } from "../../counted.js";
import type { TrainConfig } from "../../experiment/schema.js";
import { formatBytes } from "../../report/format.js";
import { evalStepsOf } from "../evaluating/index.js";
import { check, type DoctorCheck } from "./types.js";

/** AdamW keeps two numbers for each that is trained, all in float32. */
const STATE_BYTES = 8;
const WEIGHT_BYTES = 4;
/** Tokenizer, configuration, scheduler and manifest. */
const SMALL_FILES = 5_000_000;
/** Checkpoints whose weights stay for mining: the one in hand and the next. */
const HELD = 2;
/** From here on it is worth a word. */
const TIGHT = 0.8;

/** What a place on a disk has to take. */
export interface DiskNeed {
  /** e.g. "checkpoints". */
  readonly what: string;
  readonly bytes: number;
  readonly folder: string;
  /** What makes it less. */
  readonly less: string;
}

/** A disk, and what is going to be written to it. */
export interface DiskUse {
  readonly freeBytes: number;
  readonly needs: readonly DiskNeed[];
}

/** Bytes of one checkpoint: weights and the optimiser's two moments of what is trained. */
export function checkpointBytes(parameters: number, trained: number): number {
  return parameters * WEIGHT_BYTES + trained * STATE_BYTES + SMALL_FILES;
}

/**
 * Checkpoints of a training: those kept, those that workers have not evaluated yet, and one that is written before an
 * old one goes; beside them, weights that negatives are mined with.
 */
export function checkpointsNeed(
  train: TrainConfig,
  of: { readonly parameters: number; readonly trained: number; readonly maxSteps: number },
  folder: string,
): DiskNeed {
  const { args, evaluate, refresh } = train;
  const waiting = evaluate?.mode === "workers" ? evaluate.maxWaiting : 0;
  const limits: [option: string, count: number][] = [
    ["train.args.saveTotalLimit", args.saveTotalLimit],
    ["train.evaluate.saveBestLimit", evaluate?.saveBestLimit ?? 0],
    ["train.evaluate.maxWaiting", waiting],
  ];
  const kept = limits.reduce((sum, [, count]) => sum + count, 0);
  // Beside those that wait, one is in hand.
  const unevaluated = waiting > 0 ? 1 + lastBefore(train, waiting) : 0;
  const most = Math.min(kept + unevaluated + 1, saveCount(train, of.maxSteps));
  const held = refresh === undefined ? 0 : Math.min(HELD, Math.floor(of.maxSteps / refresh.everySteps));
  const each = checkpointBytes(of.parameters, of.trained);
  const weights = checkpointBytes(of.parameters, 0);
  const lower = limits.filter(([, count]) => count > 1).map(([option]) => option);
  return {
    what: `${counted(most, "checkpoints")} of ${formatBytes(each)}${held > 0 ? ` and ${held === 1 ? "" : `${held} times `}weights of ${formatBytes(weights)}` : ""}`,
    bytes: most * each + held * weights,
    folder,
    less: lower.length > 0 ? `lower ${lower.join(" or ")}` : "choose a bigger disk with --runDir",
  };
}

/** Where training may turn out to have ended with one that waits, or is in hand, the last ones before it stay as well. */
function lastBefore(train: TrainConfig, waiting: number): number {
  if (train.evaluate?.earlyStoppingPatience === undefined) return 0;
  const before = train.args.saveTotalLimit - 1;
  // Without others in between they are one another's.
  const between = Math.ceil(evalStepsOf(train) / train.args.saveSteps) - 1;
  return before + waiting * Math.min(before, between);
}

/** Steps after which a training writes a checkpoint: for itself, for its evaluation, for mining, and at the end. */
function saveCount(train: TrainConfig, maxSteps: number): number {
  const steps = new Set([maxSteps]);
  const { refresh } = train;
  for (const every of [
    train.args.saveSteps,
    evalStepsOf(train),
    ...(refresh === undefined ? [] : [refresh.everySteps]),
  ])
    for (let step = every; step < maxSteps; step += every) steps.add(step);
  return steps.size;
}

/** Judges each disk. */
export function checkDisks(disks: readonly DiskUse[]): DoctorCheck[] {
  return disks.map(({ freeBytes, needs }) => {
    const sum = needs.reduce((total, need) => total + need.bytes, 0);
    const listed = needs.map(({ what, folder }) => `${what} in ${folder}`).join(", ");
    const seen = `${listed || "nothing big"}: ${formatBytes(sum)} of ${formatBytes(freeBytes)} free`;
    const facts = { neededBytes: sum, freeBytes };
    if (sum <= freeBytes * TIGHT) return check("cost", "disk", "ok", seen, { facts });
    const todo = `Free ${formatBytes(Math.max(0, sum - freeBytes * TIGHT))}, or ${[...new Set(needs.map(({ less }) => less))].join(", or ")}.`;
    return check("cost", "disk", sum > freeBytes ? "refuse" : "note", seen, { todo, facts });
  });
}
