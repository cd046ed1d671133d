/** Which pairs a job of scoring set out to score, written down before the first one is. */
import { readFile } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { writeFileDurably } from "../rundir/durable.js";

interface PlanFile {
  readonly key: string;
  /** One bit a pair, base64. */
  readonly pairs: string;
  readonly crc: number;
}

/**
 * The numbers of the pairs to score, ascending: as an earlier, killed call of the same job wrote them down, else those
 * that are missing now.
 *
 * A score depends in its last bits on the pairs that it is batched with. So that a job that was killed ends with the
 * same bytes, its units must be cut over the same pairs as the first time, also when some are known by now.
 *
 * @param key everything that determines the units beside which pairs are missing
 * @param missing numbers of the pairs without a score, ascending; at least one
 */
export async function plannedPairs(path: string, key: string, count: number, missing: Int32Array): Promise<Int32Array> {
  const earlier = await readPlan(path, key, count);
  // Scores that were known when the plan was made may be lost or damaged by now; then there is no such plan any more.
  if (earlier !== null && missing.every((pair) => isIn(earlier, pair))) return pairsIn(earlier, count);
  const bits = new Uint8Array(Math.ceil(count / 8));
  for (const pair of missing) bits[pair >> 3] = (bits[pair >> 3] as number) | (1 << (pair & 7));
  const plan: PlanFile = { key, pairs: Buffer.from(bits).toString("base64"), crc: crc32(bits) };
  await writeFileDurably(path, JSON.stringify(plan));
  return missing;
}

async function readPlan(path: string, key: string, count: number): Promise<Uint8Array | null> {
  const text = await readFile(path, "utf8").catch(() => null);
  if (text === null) return null;
  try {
    const plan = JSON.parse(text) as PlanFile;
    const bits = Buffer.from(plan.pairs, "base64");
    return plan.key === key && bits.byteLength === Math.ceil(count / 8) && crc32(bits) === plan.crc ? bits : null;
  } catch {
    return null;
  }
}

function pairsIn(bits: Uint8Array, count: number): Int32Array {
  return Int32Array.from({ length: count }, (_, pair) => pair).filter((pair) => isIn(bits, pair));
}

function isIn(bits: Uint8Array, pair: number): boolean {
  return ((bits[pair >> 3] as number) & (1 << (pair & 7))) !== 0;
}
