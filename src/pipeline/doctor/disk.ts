/** Whether checkpoints and stored vectors fit onto the disks that they are written to. */
import { bytes } from "./amounts.js";
import { check, type DoctorCheck } from "./types.js";

/** AdamW keeps two numbers for each that is trained, all in float32. */
const STATE_BYTES = 8;
const WEIGHT_BYTES = 4;
/** Tokenizer, configuration, scheduler and manifest. */
const SMALL_FILES = 5_000_000;
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

/** Checkpoints of a training: those kept, and one that is written before an old one goes. */
export function checkpointsNeed(
  of: { readonly parameters: number; readonly trained: number; readonly kept: number; readonly saves: number },
  folder: string,
): DiskNeed {
  const each = checkpointBytes(of.parameters, of.trained);
  const most = Math.min(of.kept + 1, of.saves);
  return {
    what: `${most} checkpoint(s) of ${bytes(each)}`,
    bytes: most * each,
    folder,
    less: of.kept > 1 ? "lower train.args.saveTotalLimit" : "choose a bigger disk with --runDir",
  };
}

/** Judges each disk. */
export function checkDisks(disks: readonly DiskUse[]): DoctorCheck[] {
  return disks.map(({ freeBytes, needs }) => {
    const sum = needs.reduce((total, need) => total + need.bytes, 0);
    const listed = needs.map(({ what, folder }) => `${what} in ${folder}`).join(", ");
    const seen = `${listed || "nothing big"}: ${bytes(sum)} of ${bytes(freeBytes)} free`;
    const facts = { neededBytes: sum, freeBytes };
    if (sum <= freeBytes * TIGHT) return check("cost", "disk", "ok", seen, null, facts);
    const todo = `Free ${bytes(Math.max(0, sum - freeBytes * TIGHT))}, or ${[...new Set(needs.map(({ less }) => less))].join(", or ")}.`;
    return check("cost", "disk", sum > freeBytes ? "refuse" : "note", seen, todo, facts);
  });
}
