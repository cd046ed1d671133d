/** Cuts rows into blocks whose texts may be in memory at a time, however long the texts are. */
import type { TextTable } from "../types.js";

const BLOCK_ROWS = 4_096;
/** 4,096 whole books would be more than one column of a gathered stream holds. */
const BLOCK_BYTES = 64 << 20;

/** A run of rows, in their order. */
export interface TextBlock {
  /** Place of the first one among all rows. */
  readonly start: number;
  readonly rows: Int32Array;
}

/** Blocks of at most 4,096 rows and, unless one text alone is longer, of 64 MiB. */
export function* textBlocks(table: Pick<TextTable, "byteLength">, rows: Int32Array): Generator<TextBlock> {
  let start = 0;
  let bytes = 0;
  for (let at = 0; at < rows.length; at += 1) {
    const length = table.byteLength(rows[at] as number);
    if (at > start && (at - start === BLOCK_ROWS || bytes + length > BLOCK_BYTES)) {
      yield { start, rows: rows.subarray(start, at) };
      [start, bytes] = [at, 0];
    }
    bytes += length;
  }
  if (start < rows.length) yield { start, rows: rows.subarray(start) };
}
