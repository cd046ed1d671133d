/** Judgements of all queries as memory-mapped numbers. */
import { join } from "node:path";
import { BLOCK_BYTES, CheckedFile } from "../storage/checked-file.js";
import type { Judgements, Origin } from "../types.js";
import { QRELS_FILE, type QrelsContent } from "./build.js";

const BLOCK_NUMBERS = BLOCK_BYTES / 4;

/**
 * A part of the file that stays in hand: reading on, or reading the same query again, makes no new view. Views cost more
 * than a query's judgements do.
 */
class Window {
  ints: Int32Array = new Int32Array(0);
  floats: Float32Array = new Float32Array(0);
  #from = 0;
  #to = 0;

  constructor(
    private readonly file: CheckedFile,
    private readonly total: number,
  ) {}

  /** Brings the file's numbers [first, end) in hand; gives the place of the first one in `ints` and `floats`. */
  seek(first: number, end: number): number {
    if (first < this.#from || end > this.#to) {
      const from = first - (first % BLOCK_NUMBERS);
      const to = Math.min(this.total, Math.ceil(end / BLOCK_NUMBERS) * BLOCK_NUMBERS);
      this.ints = this.file.int32(from, to - from);
      this.floats = new Float32Array(this.ints.buffer, this.ints.byteOffset, this.ints.length);
      this.#from = from;
      this.#to = to;
    }
    return first - this.#from;
  }
}

export class StoredQrels {
  /** In hand are the passage rows of some queries: `rows.ints[rowsFrom(query) + i]`. */
  readonly rows: Window;
  /** As `rows`, with `scores.floats` and scoresFrom(). */
  readonly scores: Window;
  readonly #file: CheckedFile;
  #offsets: Int32Array | null = null;
  #lowest: Float32Array | null = null;
  #highest: Float32Array | null = null;

  /** @param paths the files the user named, for origins. */
  constructor(
    folder: string,
    readonly content: QrelsContent,
    readonly paths: readonly string[],
    onDamage: () => void,
  ) {
    const { queryCount, judgementCount, fileCount } = content;
    const columns = fileCount > 1 ? 4 : 3;
    const total = 3 * queryCount + 1 + columns * judgementCount;
    this.#file = new CheckedFile(join(folder, QRELS_FILE), total * 4, onDamage);
    this.rows = new Window(this.#file, total);
    this.scores = new Window(this.#file, total);
  }

  get queryCount(): number {
    return this.content.queryCount;
  }

  get judgementCount(): number {
    return this.content.judgementCount;
  }

  /** Where each query's judgements begin, [queryCount + 1]. */
  get offsets(): Int32Array {
    this.#offsets ??= this.#file.int32(0, this.queryCount + 1);
    return this.#offsets;
  }

  /** The lowest score of each query as written, infinite where it has none, [queryCount]. */
  get lowest(): Float32Array {
    this.#lowest ??= this.#file.float32(this.queryCount + 1, this.queryCount);
    return this.#lowest;
  }

  /** The highest score of each query as written, minus infinity where it has none, [queryCount]. */
  get highest(): Float32Array {
    this.#highest ??= this.#file.float32(2 * this.queryCount + 1, this.queryCount);
    return this.#highest;
  }

  /** @throws RangeError for a row that the queries do not have. */
  countOf(queryRow: number): number {
    if (!(queryRow >= 0 && queryRow < this.queryCount)) {
      throw new RangeError(`query row ${queryRow} is not in [0, ${this.queryCount})`);
    }
    return (this.offsets[queryRow + 1] as number) - (this.offsets[queryRow] as number);
  }

  /** Brings a query's passage rows in hand; gives the place of the first one in `rows.ints`. */
  rowsFrom(queryRow: number): number {
    const start = this.#start(0);
    return this.rows.seek(start + (this.offsets[queryRow] as number), start + (this.offsets[queryRow + 1] as number));
  }

  /** Brings a query's scores in hand; gives the place of the first one in `scores.floats`. */
  scoresFrom(queryRow: number): number {
    const start = this.#start(1);
    return this.scores.seek(start + (this.offsets[queryRow] as number), start + (this.offsets[queryRow + 1] as number));
  }

  /** All judgements of a query, copied. */
  of(queryRow: number): Judgements {
    const count = this.countOf(queryRow);
    if (count === 0) return { rows: new Int32Array(0), scores: new Float32Array(0) };
    const row = this.rowsFrom(queryRow);
    const score = this.scoresFrom(queryRow);
    return { rows: this.rows.ints.slice(row, row + count), scores: this.scores.floats.slice(score, score + count) };
  }

  /** Where a judgement was read; null for a pair that is not judged. */
  origin(queryRow: number, passageRow: number): Origin | null {
    const count = this.countOf(queryRow);
    const first = this.offsets[queryRow] as number;
    const found = count === 0 ? -1 : this.#file.int32(this.#start(0) + first, count).indexOf(passageRow);
    if (found === -1) return null;
    const numberOf = (column: number): number => this.#file.int32(this.#start(column) + first + found, 1)[0] as number;
    return { file: this.paths[this.content.fileCount > 1 ? numberOf(3) : 0] as string, line: numberOf(2) };
  }

  close(): void {
    this.#file.close();
  }

  /** The first number of a column of the judgements. */
  #start(column: number): number {
    return 3 * this.queryCount + 1 + column * this.judgementCount;
  }
}
