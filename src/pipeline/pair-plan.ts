/** Which pairs a job of scoring set out to score, written down before the first one is. */
import { readFile } from "node:fs/promises";
import { countUp, keepRows } from "../data/index.js";
import { bodyOf, checkedBytes } from "../rundir/checked-bytes.js";
import { writeFileDurably } from "../rundir/durable.js";

/** Then the key and one bit a pair. A file of anything else is no plan: what is missing is planned anew. */
const MAGIC = "QPAIR001";

/**
 * The numbers of the pairs to score, ascending: as an earlier, killed call of the same job wrote them down, else those
 * that are missing now.
 *
 * A score depends in its last bits on the pairs that it is batched with. So that a job that was killed ends with the
 * same bytes, its units must be cut over the same pairs as the first time, also when some are known by now.
 *
 * @param key everything that determines the units beside which pairs are missing, in ASCII
 * @param missing numbers of the pairs without a score, ascending; at least one
 */
export async function plannedPairs(path: string, key: string, count: number, missing: Int32Array): Promise<Int32Array> {
  const earlier = await readPlan(path, key, count);
  // Scores that were known when the plan was made may be lost or damaged by now; then there is no such plan any more.
  if (earlier !== null && missing.every((pair) => isIn(earlier, pair))) return pairsIn(earlier, count);
  const bits = new Uint8Array(Math.ceil(count / 8));
  for (const pair of missing) bits[pair >> 3] = (bits[pair >> 3] as number) | (1 << (pair & 7));
  await writeFileDurably(path, checkedBytes(MAGIC, Buffer.from(key, "latin1"), bits));
  return missing;
}

async function readPlan(path: string, key: string, count: number): Promise<Uint8Array | null> {
  const bytes = await readFile(path).catch(() => null);
  const body = bytes === null ? null : bodyOf(MAGIC, bytes);
  if (body?.toString("latin1", 0, key.length) !== key) return null;
  const bits = body.subarray(key.length);
  return bits.byteLength === Math.ceil(count / 8) ? bits : null;
}

function pairsIn(bits: Uint8Array, count: number): Int32Array {
  return keepRows(countUp(count), (pair) => isIn(bits, pair));
}

function isIn(bits: Uint8Array, pair: number): boolean {
  return ((bits[pair >> 3] as number) & (1 << (pair & 7))) !== 0;
}
