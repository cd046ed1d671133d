/** Lists of rows as long as the largest tables, in flat arrays from end to end. */
import type { Hash } from "node:crypto";

/** A hash takes less than 2 GiB in one call. */
const HASHED_ROWS = 2 ** 28;

/**
 * The rows that are kept, in their order. Not filter(), which gathers what it keeps on V8's heap, 8 bytes a row and
 * half as much again while it grows, and ends the process at some 112 million rows.
 */
export function keepRows(rows: Int32Array, isKept: (row: number, at: number) => boolean): Int32Array {
  const kept = new Int32Array(rows.length);
  let count = 0;
  for (let at = 0; at < rows.length; at += 1) {
    const row = rows[at] as number;
    if (!isKept(row, at)) continue;
    kept[count] = row;
    count += 1;
  }
  return kept.slice(0, count);
}

/** Each row once, ascending. Not by way of a set, which ends at 16.7 million. */
export function distinctRows(rows: Int32Array): Int32Array {
  const sorted = rows.slice().sort();
  return keepRows(sorted, (row, at) => at === 0 || sorted[at - 1] !== row);
}

/** Adds rows to a hash; what it gives does not depend on the size of the pieces. */
export function hashRows(hash: Hash, rows: Int32Array, pieceRows = HASHED_ROWS): Hash {
  for (let at = 0; at < rows.length; at += pieceRows) hash.update(rows.subarray(at, at + pieceRows));
  return hash;
}
