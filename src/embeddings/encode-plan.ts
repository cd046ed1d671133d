/** Which texts a job encodes, and in which units: written down when it begins, so that a resume works on the same units. */
import { readFile } from "node:fs/promises";
import { bodyOf, checkedBytes } from "../rundir/checked-bytes.js";
import { writeFileDurably } from "../rundir/durable.js";
import { KeyTable } from "./key-table.js";
import type { Places } from "./store.js";
import { KEY_WORDS, type TextKeys } from "./text-keys.js";

/** Texts sorted by length together: many units' worth, and near enough to each other on a cold disk. */
const WINDOW = 65_536;
const MAGIC = "QPLAN001";
/** The key, and zeros that bring the numbers to a multiple of 4. */
const KEY_BYTES = 36;

/** Places in the list of rows, in the order of the units. */
export type EncodePlan = Int32Array;

/**
 * The texts that are missing, each once, similar lengths side by side, the longest of a window first: a unit of equal
 * lengths needs no padding.
 */
export function planMissing({ keys, lengths }: TextKeys, places: Places): EncodePlan {
  const seen = new KeyTable(places.missingCount);
  // No list: V8 ends the process at some 112 million numbers in one.
  const missing = new Int32Array(places.missingCount);
  let count = 0;
  for (let at = 0; at < lengths.length; at += 1) {
    if (places.rows[at] !== -1 || !seen.add(keys, at * KEY_WORDS, at)) continue;
    missing[count] = at;
    count += 1;
  }
  return byLength(missing.subarray(0, count), lengths);
}

/**
 * The order in which a search reads vectors: that of the plan which encoded them all, so that they mostly lie side by
 * side. It depends on the texts alone, and not on where in the store each came to lie.
 */
export function readingOrder(lengths: Int32Array, places: Places): Int32Array {
  const count = places.rows.length;
  const seen: Uint8Array[] = [];
  const isFirst = (at: number): boolean => {
    const [shard, row] = [places.shards[at] as number, places.rows[at] as number];
    let bits = seen[shard];
    if (bits === undefined || bits.length <= row) {
      bits = new Uint8Array(Math.max(2 * row, 1_024));
      bits.set(seen[shard] ?? []);
      seen[shard] = bits;
    }
    if (bits[row] === 1) return false;
    bits[row] = 1;
    return true;
  };
  const order = new Int32Array(count);
  let [firsts, repeats] = [0, count];
  // Equal texts were encoded once: what repeats one comes at the end.
  for (let at = 0; at < count; at += 1) {
    if (isFirst(at)) order[firsts++] = at;
    else order[--repeats] = at;
  }
  byLength(order.subarray(0, firsts), lengths);
  order.subarray(firsts).reverse();
  return order;
}

/** Sorts windows of a list of texts in place. */
function byLength(list: Int32Array, lengths: Int32Array): Int32Array {
  for (let from = 0; from < list.length; from += WINDOW) {
    list
      .subarray(from, from + WINDOW)
      .sort((left, right) => (lengths[right] as number) - (lengths[left] as number) || left - right);
  }
  return list;
}

/** Whether working through a plan leaves no text missing. */
export function covers(plan: EncodePlan, { keys }: TextKeys, places: Places): boolean {
  const planned = new KeyTable(plan.length);
  for (const at of plan) planned.add(keys, at * KEY_WORDS, at);
  for (let at = 0; at < places.rows.length; at += 1) {
    if (places.rows[at] === -1 && planned.get(keys, at * KEY_WORDS) === -1) return false;
  }
  return true;
}

/**
 * Reads a plan, or null where there is none of this job.
 *
 * @param key 32 hexadecimal digits over everything that the plan depends on.
 * @param count texts of the job: no place is beyond.
 */
export async function readPlan(path: string, key: string, count: number): Promise<EncodePlan | null> {
  const bytes = await readFile(path).catch(() => null);
  const body = bytes === null ? null : bodyOf(MAGIC, bytes);
  if (body?.toString("latin1", 0, key.length) !== key) return null;
  const plan = new Int32Array(body.buffer.slice(body.byteOffset + KEY_BYTES, body.byteOffset + body.length));
  return plan.every((at) => at >= 0 && at < count) ? plan : null;
}

export async function writePlan(path: string, key: string, plan: EncodePlan): Promise<void> {
  const head = Buffer.alloc(KEY_BYTES);
  head.write(key, "latin1");
  await writeFileDurably(path, checkedBytes(MAGIC, head, plan));
}
