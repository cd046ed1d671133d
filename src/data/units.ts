/** Cuts a table into units of work whose texts are gathered only when a worker takes them. */
import type { TextTable } from "./types.js";

/** The shape that a pool takes units in (UnitList of src/pool/types.ts). */
export interface TextUnits {
  readonly count: number;
  id(index: number): string;
  rowCount(index: number): number;
  rows(index: number): Int32Array;
  frame(index: number): Uint8Array;
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
      const frame = table.gather(rowsOf(index));
      // Units are mostly taken in order: the next one is read from the disk while this one is at work.
      if (index + 1 < count) table.prefetch(rowsOf(index + 1));
      return frame;
    },
  };
}
