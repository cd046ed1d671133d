/** Cuts a table into units of work whose texts are gathered only when a worker takes them. */
import { QuarryError } from "../errors.js";
import type { TextTable } from "./types.js";

/** A message to a worker takes no more (MAX_FRAME_BYTES of protocol/codec.ts). */
const MOST_UNIT_BYTES = 2 ** 30;

/** The shape that a pool takes units in (UnitList of src/pool/types.ts). */
export interface TextUnits {
  readonly count: number;
  id(index: number): string;
  rowCount(index: number): number;
  rows(index: number): Int32Array;
  frame(index: number): Uint8Array;
}

/**
 * A unit's frame, if it fits into a message.
 *
 * @param what the frame is made of, e.g. "256 texts"
 * @throws QuarryError CONFIG with the way out
 */
export function asMessage(frame: Uint8Array, what: string, most = MOST_UNIT_BYTES): Uint8Array {
  if (frame.byteLength <= most) return frame;
  const [bytes, limit] = [frame.byteLength, most].map((count) => count.toLocaleString("en-US"));
  throw new QuarryError("CONFIG", `a unit of ${what} has ${bytes} bytes, and a message to a worker ${limit} at most`, {
    hint: "Make units smaller with --workers.unitSize, or cut long texts into passages.",
  });
}

/**
 * Units of `unitSize` of the given rows, in order; the last one may be smaller.
 *
 * @param leftOut rows that are missing from their units, which are otherwise the same; no unit may consist of them alone
 * @example
 * textUnits(passages, rows, 256, "passages").id(12); // "passages-12"
 */
export function textUnits(
  table: TextTable,
  rows: Int32Array,
  unitSize: number,
  prefix: string,
  leftOut: ReadonlySet<number> = new Set(),
): TextUnits {
  const count = Math.ceil(rows.length / unitSize);
  const rowsOf = (index: number): Int32Array => {
    const all = rows.subarray(index * unitSize, (index + 1) * unitSize);
    return leftOut.size === 0 ? all : all.filter((row) => !leftOut.has(row));
  };
  return {
    count,
    id: (index) => `${prefix}-${index}`,
    rowCount: (index) => rowsOf(index).length,
    rows: rowsOf,
    frame: (index) => {
      const rows = rowsOf(index);
      const frame = asMessage(table.gather(rows), `${rows.length} texts`);
      // Units are mostly taken in order: the next one is read from the disk while this one is at work.
      if (index + 1 < count) table.prefetch(rowsOf(index + 1));
      return frame;
    },
  };
}
