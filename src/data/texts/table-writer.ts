/** The second half of building a table: takes batches of rows, leaves repeated ids out, writes table, index and ranks. */
import { closeSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { dataError, EXAMPLE_LIMIT } from "../failures.js";
import { CheckedWriter } from "../storage/checked-writer.js";
import { FileSink, type WrittenFile } from "../storage/file-sink.js";
import { growingInt32 } from "../storage/growing.js";
import { ArrowFile, type BatchColumns, type BatchPlace, bufferStarts, type StringColumn } from "./arrow-file.js";
import { BATCH_ROWS, type OptionalColumns, type RowBatch, type RowStrings } from "./batch-builder.js";
import { isBlank } from "./blank.js";
import { idChecksumOf, promptChecksumOf, textChecksumOf, titleChecksumOf } from "./checksums.js";
import { ContentHash } from "./content-hash.js";
import { FULL, INDEX_LIMITS, IndexBuilder, type IndexLimits, NEW } from "./id-index.js";
import { rankSteps } from "./id-order.js";

export const TABLE_FILE = "table.arrow";
export const INDEX_FILE = "ids.index";
export const RANKS_FILE = "ids.ranks";
export const EMPTY_FILE = "empty.rows";
/** Changes when the layout of the files, or what counts as a fault, changes. */
export const TEXTS_VERSION = "texts/5";
/** Changes when what is hashed changes: run folders and stored vectors know tables by the hash. */
const CONTENT_VERSION = "texts/4";

/** Numbers written between two chances for others to run: 1 MiB. */
const PIECE = 1 << 18;

/** What a table is to be made of; plain data, so that it can travel to another thread. */
export interface TablePlan extends OptionalColumns {
  readonly folder: string;
  /** The files, as messages name them. */
  readonly paths: readonly string[];
  /** For each file whether equal records may come again. */
  readonly mayRepeat: readonly boolean[];
  /** Tests make them small. */
  readonly limits?: IndexLimits | undefined;
}

/** A record at fault; `file` counts the table's files, lines count from 1. */
export interface Place {
  readonly file: number;
  readonly line: number;
  readonly id: string;
  /** Where the id was first, for one that came again. */
  readonly first?: { readonly file: number; readonly line: number };
}

/** All records with one kind of fault: counted, the first ten with their places. */
export interface Places {
  count: number;
  readonly examples: Place[];
}

/** What was written; plain data, so that it can travel to another thread. */
export interface WrittenTable {
  readonly files: Record<string, WrittenFile>;
  readonly rowCount: number;
  readonly fingerprint: string;
  readonly repeated: Places;
  readonly empty: Places;
  /** The first row of each file. */
  readonly fileStarts: number[];
  readonly slots: number;
  readonly batches: BatchPlace[];
}

/** Called between pieces of a long computation with how much of it is done, 0 to 1. */
export type Pause = (share: number) => Promise<void>;

export class TableWriter {
  readonly #plan: TablePlan;
  readonly #table: ArrowFile;
  readonly #hash: ContentHash;
  readonly #ids: IndexBuilder;
  readonly #idChecks = new Int32Array(BATCH_ROWS);
  readonly #textChecks = new Int32Array(BATCH_ROWS);
  /** Of each row, kept only where equal records may come again. */
  readonly #allTextChecks = growingInt32();
  readonly #emptyRows = growingInt32();
  readonly #fileStarts: number[] = [];
  readonly #repeated: Places = { count: 0, examples: [] };
  readonly #empty: Places = { count: 0, examples: [] };
  #rowCount = 0;

  constructor(plan: TablePlan) {
    this.#plan = plan;
    this.#ids = new IndexBuilder(plan.limits);
    this.#table = new ArrowFile(join(plan.folder, TABLE_FILE), plan);
    this.#hash = new ContentHash(CONTENT_VERSION);
  }

  /** Writes the rows of a batch whose ids are new; its buffers are changed, and free again when this returns. */
  put(batch: RowBatch): void {
    while (this.#fileStarts.length <= batch.file) this.#fileStarts.push(this.#rowCount);
    this.#checksums(batch);
    const firstRow = this.#rowCount;
    this.#register(batch);
    this.#ids.expect(batch.readShare);
    if (batch.rowCount === 0) return;
    this.#noteEmpty(batch, firstRow);
    const columns = this.#columns(batch);
    this.#hash.update(columns);
    this.#table.write(columns);
  }

  /** Writes index and ranks, and brings all files to the disk. */
  async finish(pause: Pause): Promise<WrittenTable> {
    const { folder } = this.#plan;
    const slots = this.#ids.takeSlots();
    const slotCount = slots.length / 3;
    const index = await writeNumbers(join(folder, INDEX_FILE), slots, (share) => pause(share * 0.3));
    return {
      files: {
        [INDEX_FILE]: index,
        ...(await this.#finishRanks(slots, (share) => pause(0.3 + share * 0.6))),
        ...(await this.#finishEmpty(pause)),
        [TABLE_FILE]: await this.#table.finish(),
      },
      rowCount: this.#rowCount,
      fingerprint: this.#hash.digest(),
      repeated: this.#repeated,
      empty: this.#empty,
      fileStarts: this.#fileStarts,
      slots: slotCount,
      batches: this.#table.places,
    };
  }

  /** Closes what is open; does nothing after finish(). */
  abandon(): void {
    this.#table.abandon();
  }

  /** The slots are on the disk: their room, at least five numbers an id, is what the sorting needs. */
  async #finishRanks(scratch: Int32Array, pause: Pause): Promise<Record<string, WrittenFile>> {
    const steps = rankSteps(this.#ids.ids(), scratch);
    let step = steps.next();
    for (; step.done !== true; step = steps.next()) await pause(step.value);
    const ranks = step.value;
    return { [RANKS_FILE]: await writeNumbers(join(this.#plan.folder, RANKS_FILE), ranks, () => pause(1)) };
  }

  async #finishEmpty(pause: Pause): Promise<Record<string, WrittenFile>> {
    if (this.#emptyRows.length === 0) return {};
    const path = join(this.#plan.folder, EMPTY_FILE);
    return { [EMPTY_FILE]: await writeNumbers(path, this.#emptyRows.filled(), () => pause(1)) };
  }

  #checksums({ rowCount, strings, lines }: RowBatch): void {
    const [ids, titles, texts, ...optional] = strings as [RowStrings, RowStrings, RowStrings, ...RowStrings[]];
    for (let row = 0; row < rowCount; row += 1) {
      const line = lines[row] as number;
      let check = idChecksumOf(ids.bytes, ids.offsets[row] as number, ids.offsets[row + 1] as number, line);
      for (const { bytes, offsets } of optional) {
        check = promptChecksumOf(check, bytes, offsets[row] as number, offsets[row + 1] as number);
      }
      this.#idChecks[row] = check;
      const title = titleChecksumOf(titles.bytes, titles.offsets[row] as number, titles.offsets[row + 1] as number);
      const from = texts.offsets[row] as number;
      this.#textChecks[row] = textChecksumOf(title, texts.bytes, from, texts.offsets[row + 1] as number);
    }
  }

  /** Gives each new id its row; moves the rows that stay to the front of the batch. */
  #register(batch: RowBatch): void {
    const { strings, lines, rowCount } = batch;
    const [ids] = strings as [RowStrings];
    const mayRepeat = this.#plan.mayRepeat[batch.file] === true;
    const keepsChecks = this.#plan.mayRepeat.includes(true);
    const firstRow = this.#rowCount;
    let kept = 0;
    for (let row = 0; row < rowCount; row += 1) {
      const known = this.#ids.add(ids.bytes, ids.offsets[row] as number, ids.offsets[row + 1] as number);
      const check = this.#textChecks[row] as number;
      if (known === FULL) throw this.#full(batch, row);
      if (known === NEW) {
        if (keepsChecks) this.#allTextChecks.push(check);
        if (kept !== row) moveRow(batch, row, kept, this.#idChecks, this.#textChecks);
        kept += 1;
      } else if (!(mayRepeat && this.#allTextChecks.numbers[known] === check)) {
        this.#repeated.count += 1;
        if (this.#repeated.examples.length < EXAMPLE_LIMIT) {
          // Rows of this batch lie at the front of it, the others in the file.
          const line = known >= firstRow ? (lines[known - firstRow] as number) : this.#lineOf(known);
          const first = { file: this.#fileStarts.findLastIndex((start) => start <= known), line };
          this.#repeated.examples.push({ ...place(batch, row), first });
        }
      }
    }
    batch.rowCount = kept;
    this.#rowCount += kept;
  }

  #full({ file, lines }: RowBatch, row: number): Error {
    const { ids, idBytes } = this.#plan.limits ?? INDEX_LIMITS;
    const [most, bytes] = [ids, idBytes].map((limit) => limit.toLocaleString("en-US"));
    const what = `the index of ids is full: one table takes at most ${most} ids, of ${bytes} bytes in all.`;
    const hint = "Shorten the ids, or make several sources of these texts and join them with combined().";
    return dataError(this.#plan.paths[file] as string, lines[row] as number, what, hint);
  }

  #noteEmpty(batch: RowBatch, firstRow: number): void {
    const { bytes, offsets } = batch.strings[2] as RowStrings;
    for (let row = 0; row < batch.rowCount; row += 1) {
      if (!isBlank(bytes, offsets[row] as number, offsets[row + 1] as number)) continue;
      this.#emptyRows.push(firstRow + row);
      this.#empty.count += 1;
      if (this.#empty.examples.length < EXAMPLE_LIMIT) this.#empty.examples.push(place(batch, row));
    }
  }

  #columns({ rowCount, strings, lines }: RowBatch): BatchColumns {
    const [id, title, text, ...optional] = strings.map(({ offsets, bytes }) => ({
      offsets: offsets.subarray(0, rowCount + 1),
      bytes: bytes.subarray(0, offsets[rowCount]),
    })) as [StringColumn, StringColumn, StringColumn, ...StringColumn[]];
    const { hasPrompts, hasExtras } = this.#plan;
    return {
      rowCount,
      id,
      title,
      text,
      prompt: hasPrompts ? (optional[0] ?? null) : null,
      extras: hasExtras ? (optional.at(-1) ?? null) : null,
      line: lines.subarray(0, rowCount),
      idCheck: this.#idChecks.subarray(0, rowCount),
      textCheck: this.#textChecks.subarray(0, rowCount),
    };
  }

  /** The line of a row that is in the file already: too seldom asked for to keep 4 bytes a row. */
  #lineOf(row: number): number {
    let first = 0;
    for (const batch of this.#table.places) {
      if (row < first + batch.rowCount) {
        const [lines = 0] = bufferStarts(batch, this.#plan).slice(-3);
        return readInt32(join(this.#plan.folder, TABLE_FILE), lines + (row - first) * 4);
      }
      first += batch.rowCount;
    }
    throw new RangeError(`row ${row} is not in the table`);
  }
}

function place({ file, lines, strings }: RowBatch, row: number): Place {
  const { bytes, offsets } = strings[0] as RowStrings;
  const id = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString(
    "utf8",
    offsets[row],
    offsets[row + 1],
  );
  return { file, line: lines[row] as number, id };
}

/** Moves a row towards the front, over rows that were left out. */
function moveRow({ strings, lines }: RowBatch, from: number, to: number, ...checks: Int32Array[]): void {
  for (const { offsets, bytes } of strings) {
    const start = offsets[from] as number;
    const end = offsets[from + 1] as number;
    const at = offsets[to] as number;
    bytes.copyWithin(at, start, end);
    offsets[to + 1] = at + end - start;
  }
  for (const numbers of [lines, ...checks]) numbers[to] = numbers[from] as number;
}

function readInt32(path: string, position: number): number {
  const fd = openSync(path, "r");
  try {
    const number = Buffer.alloc(4);
    readSync(fd, number, 0, 4, position);
    return number.readInt32LE(0);
  } finally {
    closeSync(fd);
  }
}

async function writeNumbers(path: string, numbers: Int32Array, pause: Pause): Promise<WrittenFile> {
  const sink = new FileSink(path);
  try {
    const writer = new CheckedWriter(sink);
    for (let at = 0; at < numbers.length; at += PIECE) {
      writer.write(numbers.subarray(at, at + PIECE));
      await pause(at / numbers.length);
    }
    writer.finish();
    await sink.sync();
    return sink.finish();
  } finally {
    sink.abandon();
  }
}
