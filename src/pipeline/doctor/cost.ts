/** What a probe of seconds says of the whole: memory of all ranks, hours of training, time of encoding. */
import { counted } from "../../counted.js";
import { formatBytes, formatCount, formatDuration } from "../../report/format.js";
import { type CheckStatus, check, type DoctorCheck } from "./types.js";

/** Above this part of the memory a longer text than the probe saw may be too much. */
export const TIGHT = 0.9;
/** The feed hides behind computing; where it does not, the ranks wait. */
const WAITING = 0.1;

/** Figures of a probe; mirrors the facts of `run_probe` in py_runtime/quarry_runtime/doctor/probe.py. */
export interface Probe {
  readonly steps: number;
  readonly stepSeconds: number;
  readonly waitShare: number;
  readonly tokensPerSecond: number;
  readonly peakBytes: number;
  readonly device: string;
  readonly trained: number;
  readonly queriesPerRank: number;
  /** Of a probed step; a real one may have more. */
  readonly microSteps: number;
}

/** The training that was probed. */
export interface Training {
  /** Over all machines. */
  readonly ranks: number;
  readonly machines: number;
  readonly accumulationSteps: number;
  readonly maxSteps: number;
  readonly isCheckpointing: boolean;
  readonly isBf16: boolean;
}

/** Memory that the ranks together may take: of the machine on a CPU, of one device each on GPUs. */
export interface MemoryRoom {
  readonly isGpu: boolean;
  /** Null where nobody says. */
  readonly availableBytes: number | null;
}

/** Bytes that must fit into the room: of all ranks where they share it. */
export function neededBytes(
  { peakBytes }: Pick<Probe, "peakBytes">,
  { ranks, machines }: Training,
  { isGpu }: MemoryRoom,
): number {
  return isGpu ? peakBytes : (peakBytes * ranks) / machines;
}

/**
 * Judges the memory of the training as it is configured.
 *
 * @param probe null when memory ended in the probe itself
 * @param smaller a probe with fewer queries that fits; null where none was found or looked for
 */
export function checkMemory(
  probe: Probe | null,
  smaller: Probe | null,
  queriesPerRank: number,
  training: Training,
  room: MemoryRoom,
): DoctorCheck {
  const where = room.isGpu ? "of a GPU" : "of this machine";
  const { availableBytes } = room;
  const has = availableBytes === null ? `the memory ${where} is not known` : `${formatBytes(availableBytes)} ${where}`;
  const others = savings(training).join(", ");
  const todo = `${remedy(smaller)}. Also: ${others}.`;
  const judged = (status: CheckStatus, seen: string, more: Parameters<typeof check>[4]): DoctorCheck =>
    check("cost", "memory", status, seen, more);
  if (probe === null)
    return judged("refuse", `memory ended with ${counted(queriesPerRank, "queries")} in a forward pass; ${has}`, {
      todo,
    });
  const needed = neededBytes(probe, training, room);
  const each = `${formatBytes(probe.peakBytes)} a rank with ${counted(queriesPerRank, "queries")} in a forward pass`;
  const here = training.ranks / training.machines;
  const all = room.isGpu || here === 1 ? each : `${each}, ${formatBytes(needed)} for ${here} ranks`;
  const seen = `${all}; ${has}`;
  const facts = { neededBytes: needed, availableBytes, peakBytes: probe.peakBytes };
  if (availableBytes === null) return judged("note", seen, { todo: "Say how much there is: --memory 24GB.", facts });
  if (needed <= availableBytes * TIGHT) return judged("ok", seen, { facts });
  if (needed <= availableBytes)
    return judged("note", `${seen}: longer texts than the probe's may not fit`, {
      todo: `To leave more room: ${queriesPerRank > 1 ? "a lower train.queriesPerRank, " : ""}${others}.`,
      facts,
    });
  return judged("refuse", `${seen}: it does not fit`, { todo, facts });
}

/** What would fit. */
function remedy(smaller: Probe | null): string {
  return smaller === null
    ? "Not even one query fits: use a smaller model or more memory"
    : `train.queriesPerRank ${smaller.queriesPerRank} fits (${formatBytes(smaller.peakBytes)} a rank), each query then with fewer in-batch negatives`;
}

/** What takes less memory, with as many queries. */
function savings({ isCheckpointing, isBf16 }: Training): string[] {
  return [
    ...(isCheckpointing ? [] : ["train.args.gradientCheckpointing true"]),
    ...(isBf16 ? [] : ["train.args.bf16 true on a GPU"]),
    "a lower model.passageMaxLength",
    "train.miniBatchSize (GradCache), which keeps all negatives",
  ];
}

/** Hours of the whole training. */
export function checkTime(probe: Probe, training: Training): DoctorCheck {
  const stepSeconds = (probe.stepSeconds / probe.microSteps) * training.accumulationSteps;
  const total = stepSeconds * training.maxSteps;
  const tokens = probe.tokensPerSecond * training.ranks;
  const apart = training.ranks > 1 ? "; what ranks tell each other is not in it" : "";
  const seen =
    `${counted(training.maxSteps, "steps")} of ${formatDuration(stepSeconds)} ${training.maxSteps === 1 ? "is" : "are"} ${formatDuration(total)}` +
    ` (${threeDigits(1 / stepSeconds)} steps/s, ${formatCount(tokens)} tokens/s, ${counted(probe.steps, "steps")} tried on ${probe.device})${apart}`;
  const facts = { stepSeconds, totalSeconds: total, tokensPerSecond: tokens, waitShare: probe.waitShare };
  if (probe.waitShare <= WAITING) return check("cost", "time of training", "ok", seen, { facts });
  return check("cost", "time of training", "note", `${seen}; ${(100 * probe.waitShare).toFixed(0)} % of it waiting`, {
    todo: "Give each rank more CPU threads (train.threads): tokenising does not keep up.",
    facts,
  });
}

/** Time of encoding passages, from a sample of them. */
export function checkEncoding(
  path: string,
  passages: number,
  textsPerSecond: number,
  workers: number,
  times: number,
): DoctorCheck {
  const seconds = (passages * times) / (textsPerSecond * Math.max(1, workers));
  const often = times > 1 ? ` × ${times} models` : "";
  const speed = `${threeDigits(textsPerSecond)} texts/s on ${workers > 1 ? `each of ${workers} workers` : "one worker"}`;
  const seen = `${counted(passages, "passages")}${often} at ${speed}: ${formatDuration(seconds)}`;
  return check("cost", `time of ${path}`, "ok", seen, { facts: { seconds, textsPerSecond } });
}

/** 1234.5 → "1,230": three digits say all that was measured. */
export function threeDigits(rate: number): string {
  return rate.toLocaleString("en-US", { maximumSignificantDigits: 3 });
}
