/** Collects the rows that a reader hands out, column by column, in buffers that can move to another thread and come back. */
import { dataError } from "../failures.js";
import type { Span, TextRecord } from "../readers/reader.js";

/** Rows of a full batch. */
export const BATCH_ROWS = 32_768;
/** A batch is full with this much text; with a longest record of 1 GiB offsets of 32 bits always suffice. */
const BATCH_BYTES = 16 << 20;
const MAX_RECORD_BYTES = 2 ** 30;
/** Buffers that one huge record made larger than this are not kept. */
const KEPT_BYTES = 2 * BATCH_BYTES;

/** Columns that a table has only where some record has something to put there. */
export interface OptionalColumns {
  readonly hasPrompts: boolean;
  readonly hasExtras: boolean;
}

/** A column of strings in the making: string i is [offsets[i], offsets[i + 1]) of `bytes`; what follows the last is room. */
export interface RowStrings {
  readonly offsets: Int32Array;
  bytes: Uint8Array;
}

/** Rows of one file as they were read, before anybody looked for repeated ids. */
export interface RowBatch {
  /** Which of the table's files they come from. */
  file: number;
  rowCount: number;
  /** How much of all files has been read, 0 to 1; 0 where nobody knows. */
  readShare: number;
  /** Id, title, text, and prompt and extras where the table has a column of them. */
  readonly strings: RowStrings[];
  readonly lines: Int32Array;
}

function emptyBatch(columnCount: number): RowBatch {
  const strings = Array.from({ length: columnCount }, () => ({
    offsets: new Int32Array(BATCH_ROWS + 1),
    bytes: new Uint8Array(1 << 16),
  }));
  return { file: 0, rowCount: 0, readShare: 0, strings, lines: new Int32Array(BATCH_ROWS) };
}

/** Everything that has to move when a batch moves to another thread. */
export function buffersOf(batch: RowBatch): ArrayBuffer[] {
  const buffers = batch.strings.flatMap(({ offsets, bytes }) => [offsets.buffer, bytes.buffer]);
  return [...buffers, batch.lines.buffer] as ArrayBuffer[];
}

export class BatchBuilder {
  readonly #columnCount: number;
  readonly #columns: OptionalColumns;
  readonly #free: RowBatch[] = [];
  #batch: RowBatch;

  constructor(columns: OptionalColumns) {
    this.#columns = columns;
    this.#columnCount = 3 + (columns.hasPrompts ? 1 : 0) + (columns.hasExtras ? 1 : 0);
    this.#batch = emptyBatch(this.#columnCount);
  }

  /**
   * Adds a row; true when the batch should be taken before the next one.
   *
   * @throws QuarryError DATA for a record beyond 1 GiB.
   */
  add(record: TextRecord, path: string): boolean {
    const batch = this.#batch;
    const row = batch.rowCount;
    const bytes =
      append(batch.strings[0] as RowStrings, row, record.id) +
      append(batch.strings[1] as RowStrings, row, record.title) +
      append(batch.strings[2] as RowStrings, row, record.text) +
      (this.#columns.hasPrompts ? append(batch.strings[3] as RowStrings, row, record.prompt) : 0) +
      (this.#columns.hasExtras ? append(batch.strings.at(-1) as RowStrings, row, record.extras) : 0);
    if (bytes < 0) throw tooLarge(path, record.line);
    batch.lines[row] = record.line;
    batch.rowCount = row + 1;
    return batch.rowCount === BATCH_ROWS || bytes >= BATCH_BYTES;
  }

  /** The rows since the last take, or null where there are none. */
  take(file: number, readShare: number): RowBatch | null {
    const batch = this.#batch;
    if (batch.rowCount === 0) return null;
    batch.file = file;
    batch.readShare = readShare;
    this.#batch = this.#free.pop() ?? emptyBatch(this.#columnCount);
    return batch;
  }

  /** Takes the buffers of a batch that nobody reads any more. */
  giveBack(batch: RowBatch): void {
    batch.rowCount = 0;
    for (const strings of batch.strings) {
      if (strings.bytes.byteLength > KEPT_BYTES) strings.bytes = new Uint8Array(1 << 16);
    }
    this.#free.push(batch);
  }
}

/** Appends a span as string `row`; returns the column's bytes, or -Infinity for a span that is too long. */
function append(strings: RowStrings, row: number, { bytes, start, end }: Span): number {
  const at = strings.offsets[row] as number;
  const length = end - start;
  const total = at + length;
  if (total > strings.bytes.byteLength) {
    if (length > MAX_RECORD_BYTES) return Number.NEGATIVE_INFINITY;
    const larger = new Uint8Array(Math.max(strings.bytes.byteLength * 2, total));
    larger.set(strings.bytes.subarray(0, at));
    strings.bytes = larger;
  }
  // Ids are a few bytes long: copying them one by one is faster than making a view for set().
  if (length < 24) {
    const target = strings.bytes;
    for (let index = 0; index < length; index += 1) target[at + index] = bytes[start + index] as number;
  } else {
    strings.bytes.set(bytes.subarray(start, end), at);
  }
  strings.offsets[row + 1] = total;
  return total;
}

function tooLarge(path: string, line: number): Error {
  return dataError(path, line, "the record is larger than 1 GiB.", "Cut it into several passages.");
}
