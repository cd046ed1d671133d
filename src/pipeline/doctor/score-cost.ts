/** What a probe of a cross-encoder says of the whole: memory of all workers, time of all pairs. */
import { counted } from "../../counted.js";
import { formatBytes, formatDuration } from "../../report/format.js";
import { type MemoryRoom, TIGHT, threeDigits } from "./cost.js";
import { type CheckStatus, check, type DoctorCheck } from "./types.js";

/** A probe of a batch size; mirrors the facts of `probe_pairs` in py_runtime/quarry_runtime/doctor/look_at_pairs.py. */
export interface ScoreProbe {
  readonly batchSize: number;
  /** Of one worker. */
  readonly peakBytes: number;
  readonly dtype: string;
}

/** Bytes that must fit into the room: of all workers where they share it. */
export function scoreBytes({ peakBytes }: ScoreProbe, workers: number, { isGpu }: MemoryRoom): number {
  return isGpu ? peakBytes : peakBytes * workers;
}

/**
 * Judges the memory of scoring.
 *
 * @param path of the cross-encoder's options
 * @param tried a probe with the batch size of the experiment, null where memory ended in it; one of less that fits, null
 *   where none was found or looked for
 */
export function checkScoreMemory(
  path: string,
  tried: { readonly probe: ScoreProbe | null; readonly smaller: ScoreProbe | null; readonly batchSize: number },
  workers: number,
  room: MemoryRoom,
): DoctorCheck {
  const { probe, smaller, batchSize } = tried;
  const where = room.isGpu ? "of a GPU" : "of this machine";
  const { availableBytes } = room;
  const has = availableBytes === null ? `the memory ${where} is not known` : `${formatBytes(availableBytes)} ${where}`;
  const judged = (status: CheckStatus, seen: string, more: Parameters<typeof check>[4]): DoctorCheck =>
    check("cost", `memory of ${path}`, status, `${seen}; ${has}`, more);
  const others = [
    `a lower ${path}.maxLength`,
    ...(!room.isGpu && workers > 1 ? ["fewer workers (workers.count)"] : []),
    ...(room.isGpu && probe?.dtype === "float32" ? [`${path}.dtype bfloat16`] : []),
    "a smaller cross-encoder",
  ].join(", ");
  const fitting = smaller === null ? "Not even one pair fits: use more memory" : smallerWords(path, smaller);
  const todo = `${fitting}. Also: ${others}.`;
  const pairs = `${counted(batchSize, "pairs")} in a forward pass`;
  if (probe === null) return judged("refuse", `memory ended with ${pairs}`, { todo });
  const neededBytes = scoreBytes(probe, workers, room);
  const all = neededBytes === probe.peakBytes ? "" : `, ${formatBytes(neededBytes)} for ${workers} workers`;
  const seen = `${formatBytes(probe.peakBytes)} a worker with ${pairs}, ${probe.dtype}${all}`;
  const facts = { neededBytes, availableBytes, peakBytes: probe.peakBytes };
  if (availableBytes === null) return judged("note", seen, { todo: "Say how much there is: --memory 24GB.", facts });
  if (neededBytes > availableBytes) return judged("refuse", `${seen}: it does not fit`, { todo, facts });
  if (neededBytes <= availableBytes * TIGHT) return judged("ok", seen, { facts });
  const more = `To leave more room: ${batchSize > 1 ? `a lower ${path}.batchSize, ` : ""}${others}.`;
  return judged("note", `${seen}: longer pairs than the probe's may not fit`, { todo: more, facts });
}

function smallerWords(path: string, { batchSize, peakBytes }: ScoreProbe): string {
  return `${path}.batchSize ${batchSize} fits (${formatBytes(peakBytes)} a worker)`;
}

/** Time of scoring all pairs, from a sample of them. */
export function checkScoring(
  name: string,
  pairs: number,
  pairsPerSecond: number,
  workers: number,
  models: number,
): DoctorCheck {
  const seconds = (pairs * models) / (pairsPerSecond * workers);
  const often = models > 1 ? ` × ${models} models` : "";
  const speed = `${threeDigits(pairsPerSecond)} pairs/s on ${workers > 1 ? `each of ${workers} workers` : "one worker"}`;
  const seen = `up to ${counted(pairs, "pairs")}${often} at ${speed}: ${formatDuration(seconds)}; those that the cache knows cost nothing`;
  return check("cost", `time of ${name}`, "ok", seen, { facts: { seconds, pairsPerSecond, pairs } });
}
