/** The memory-mapped table of passages or queries. */
import { join } from "node:path";
import { QuarryError } from "../../errors.js";
import { integrityError } from "../failures.js";
import { Ahead } from "../storage/ahead.js";
import { CheckedFile } from "../storage/checked-file.js";
import { ColdReads } from "../storage/cold-reads.js";
import { RandomFile } from "../storage/random-file.js";
import type { Origin } from "../types.js";
import { bufferStarts } from "./arrow-file.js";
import type { TextsContent } from "./build.js";
import { idChecksum, promptChecksumOf, textChecksum } from "./checksums.js";
import { areEqual } from "./id-hash.js";
import { IdIndex } from "./id-index.js";
import { EMPTY_FILE, INDEX_FILE, RANKS_FILE, TABLE_FILE } from "./table-writer.js";

/** Batches whose numbers stay in memory when the file is not mapped (0.8 MB each). */
const KEPT_BATCHES = 64;

/** One string column of a batch. */
interface Strings {
  readonly offsets: Int32Array;
  /** Where `offsets` lies in the file. */
  readonly offsetsStart: number;
  /** Offset of the first byte in the file. */
  readonly start: number;
  readonly byteLength: number;
}

interface Batch {
  readonly firstRow: number;
  readonly id: Strings;
  readonly title: Strings;
  readonly text: Strings;
  readonly prompt: Strings | null;
  readonly extras: Strings | null;
  readonly lines: Int32Array;
  readonly idChecks: Int32Array;
  readonly textChecks: Int32Array;
  /** Where `textChecks` lies in the file. */
  readonly textChecksStart: number;
}

/** One table by itself; a TextPool lays styles over tables and numbers several together. */
export class StoredTexts {
  readonly rowCount: number;
  readonly fingerprint: string;
  readonly #file: RandomFile;
  readonly #index: IdIndex;
  readonly #ranks: CheckedFile;
  /** Null where no text is empty. */
  readonly #empty: CheckedFile | null;
  readonly #firstRows: Int32Array;
  readonly #batches = new Map<number, Batch>();
  readonly #cold = new ColdReads();
  /** Bit 0: id and line were checked; bit 1: title and text were. */
  readonly #checked: Uint8Array;
  #idRanks: Int32Array | null = null;
  #last: Batch | null = null;
  #lastEnd = 0;
  #isClosed = false;

  /**
   * @param sources the files the user named, for origins.
   * @param onDamage called before an INTEGRITY error is thrown.
   */
  constructor(
    folder: string,
    private readonly content: TextsContent,
    private readonly sources: readonly string[],
    private readonly onDamage: () => void,
  ) {
    this.rowCount = content.rowCount;
    this.fingerprint = content.fingerprint;
    const cuts = content.batches.map((batch) => batch.start);
    this.#file = RandomFile.open(join(folder, TABLE_FILE), content.tableBytes, cuts);
    this.#index = new IdIndex(join(folder, INDEX_FILE), content.slots, onDamage);
    this.#ranks = new CheckedFile(join(folder, RANKS_FILE), content.rowCount * 4, onDamage);
    this.#empty =
      content.emptyCount === 0 ? null : new CheckedFile(join(folder, EMPTY_FILE), content.emptyCount * 4, onDamage);
    this.#checked = new Uint8Array(content.rowCount);
    this.#firstRows = new Int32Array(content.batches.length);
    for (let batch = 1; batch < content.batches.length; batch += 1) {
      const before = content.batches[batch - 1] as TextsContent["batches"][number];
      this.#firstRows[batch] = (this.#firstRows[batch - 1] as number) + before.rowCount;
    }
  }

  get idRanks(): Int32Array {
    this.#idRanks ??= this.#ranks.int32(0, this.rowCount);
    return this.#idRanks;
  }

  id(row: number): string {
    return decodeBytes(this.idBytes(row));
  }

  rowOf(id: string): number {
    const bytes = Buffer.from(id, "utf8");
    return this.rowOfBytes(bytes, 0, bytes.byteLength);
  }

  /** The row of the id in [start, end), or -1. */
  rowOfBytes(bytes: Uint8Array, start: number, end: number): number {
    return this.#index.find(bytes, start, end, (row) => {
      const id = this.idBytes(row);
      return id.byteLength === end - start && areEqual(bytes, start, id, 0, end - start);
    });
  }

  /**
   * As rowOfBytes, but a row whose fingerprint is equal is taken without comparing the bytes: for those who look many
   * ids up and compare in the order of the rows.
   */
  likelyRowOf(bytes: Uint8Array, start: number, end: number): number {
    return this.#index.find(bytes, start, end, () => true);
  }

  /** Slots of the id index: an id's first lane, cut to them, is where its search begins. */
  get indexSlots(): number {
    return this.#index.slots;
  }

  title(row: number): string {
    return decodeBytes(this.textBytes(row).title);
  }

  text(row: number): string {
    return decodeBytes(this.textBytes(row).text);
  }

  origin(row: number): Origin {
    this.idBytes(row);
    const batch = this.#batchOf(row);
    const file = this.content.fileStarts.findLastIndex((start) => start <= row);
    return { file: this.sources[file] as string, line: batch.lines[row - batch.firstRow] as number };
  }

  byteLength(row: number): number {
    const batch = this.#batchOf(row);
    const at = row - batch.firstRow;
    let length = 0;
    for (const column of [batch.title, batch.text, batch.prompt, batch.extras]) {
      if (column !== null) length += (column.offsets[at + 1] as number) - (column.offsets[at] as number);
    }
    return length;
  }

  close(): void {
    this.#isClosed = true;
    this.#last = null;
    this.#lastEnd = 0;
    this.#batches.clear();
    this.#file.close();
    this.#index.close();
    this.#ranks.close();
    this.#empty?.close();
  }

  /** An id's bytes, checked on first touch; not to be written to. */
  idBytes(row: number): Uint8Array {
    const batch = this.#batchOf(row);
    const at = row - batch.firstRow;
    const bytes = this.#string(batch.id, at, row);
    if (this.#isIdUnchecked(row)) {
      this.#checkId(row, bytes);
    }
    return bytes;
  }

  /** Title and text as bytes, checked on first touch; not to be written to. */
  textBytes(row: number): { title: Uint8Array; text: Uint8Array } {
    const batch = this.#batchOf(row);
    const at = row - batch.firstRow;
    const title = this.#string(batch.title, at, row);
    const text = this.#string(batch.text, at, row);
    if (((this.#checked[row] as number) & 2) === 0 || !this.#file.isMapped) {
      if (textChecksum(title, text) !== batch.textChecks[at]) throw this.#damage(row);
      this.#checked[row] = (this.#checked[row] as number) | 2;
    }
    return { title, text };
  }

  /** The record's own prompt, or null; not to be written to. */
  promptBytes(row: number): Uint8Array | null {
    return this.#optional(this.#batchOf(row).prompt, row);
  }

  /** The record's further fields as a JSON object, or null; not to be written to. */
  extrasBytes(row: number): Uint8Array | null {
    return this.#optional(this.#batchOf(row).extras, row);
  }

  /**
   * Before rows are gathered: sees that the file still has its length, and on a cold disk asks for all of them at once,
   * where touching one after the other would wait for each.
   *
   * @throws QuarryError INTEGRITY when somebody cut the file short.
   */
  prepare(rows: Int32Array): void {
    if (!this.#file.isWhole()) throw this.#damage(rows[0] ?? 0);
    this.prefetch(rows);
  }

  /**
   * Asks the system to read the texts of these rows ahead; does nothing while nothing comes from the disk. Extras, which
   * only plugins get, are not asked for: on a cold disk each is waited for.
   */
  prefetch(rows: Int32Array): void {
    if (!this.#file.isMapped || !this.#cold.isCold()) return;
    const ascending = rows.slice().sort();
    // Where the texts lie is read from the disk as well: first those places, then the texts themselves.
    const places = Array.from({ length: 4 }, () => new Ahead(this.#file));
    for (const row of ascending) {
      const batch = this.#batchOf(row);
      const at = row - batch.firstRow;
      for (const [index, column] of [batch.title, batch.text, batch.prompt].entries()) {
        if (column !== null) places[index]?.add(column.offsetsStart + at * 4, 8);
      }
      places[3]?.add(batch.textChecksStart + at * 4, 4);
    }
    for (const each of places) each.flush();
    const values = Array.from({ length: 3 }, () => new Ahead(this.#file));
    for (const row of ascending) {
      const batch = this.#batchOf(row);
      const at = row - batch.firstRow;
      for (const [index, column] of [batch.title, batch.text, batch.prompt].entries()) {
        if (column === null) continue;
        const from = column.offsets[at] as number;
        // Offsets are checked when the text is read; damaged ones only must not reach beyond the file here.
        if (from >= 0) values[index]?.add(column.start + from, (column.offsets[at + 1] as number) - from);
      }
    }
    for (const each of values) each.flush();
  }

  /** Whether records may have further fields for plugins. */
  get hasExtras(): boolean {
    return this.content.hasExtras;
  }

  /** Whether records may have prompts of their own. */
  get hasPrompts(): boolean {
    return this.content.hasPrompts;
  }

  /** Rows of texts without content, ascending. */
  get emptyRows(): Int32Array {
    return this.#empty?.int32(0, this.content.emptyCount) ?? new Int32Array(0);
  }

  /** 32 bits over title and text: equal texts have equal hashes. The text is not read, so the hash is a hint only. */
  textHash(row: number): number {
    const batch = this.#batchOf(row);
    return batch.textChecks[row - batch.firstRow] as number;
  }

  /** Of a column that not every table has, nor every row; null where there is nothing. */
  #optional(column: Strings | null, row: number): Uint8Array | null {
    if (column === null) return null;
    const bytes = this.#string(column, row - this.#batchOf(row).firstRow, row);
    // It stands under the checksum of the id.
    if (this.#isIdUnchecked(row)) this.idBytes(row);
    return bytes.byteLength === 0 ? null : bytes;
  }

  #isIdUnchecked(row: number): boolean {
    return ((this.#checked[row] as number) & 1) === 0 || !this.#file.isMapped;
  }

  /** Id, line, prompt and extras share a checksum. */
  #checkId(row: number, id: Uint8Array): void {
    const batch = this.#batchOf(row);
    const at = row - batch.firstRow;
    let check = idChecksum(id, batch.lines[at] as number);
    for (const column of [batch.prompt, batch.extras]) {
      if (column === null) continue;
      const bytes = this.#string(column, at, row);
      check = promptChecksumOf(check, bytes, 0, bytes.byteLength);
    }
    if (check !== batch.idChecks[at]) throw this.#damage(row);
    this.#checked[row] = (this.#checked[row] as number) | 1;
  }

  #string(column: Strings, at: number, row: number): Uint8Array {
    const from = column.offsets[at] as number;
    const to = column.offsets[at + 1] as number;
    if (!(from >= 0 && to >= from && to <= column.byteLength)) throw this.#damage(row);
    return this.#file.bytes(column.start + from, to - from);
  }

  #damage(row: number): QuarryError {
    this.onDamage();
    return integrityError(this.#file.path, `row ${row}`);
  }

  #batchOf(row: number): Batch {
    const last = this.#last;
    if (last !== null && row >= last.firstRow && row < this.#lastEnd) return last;
    if (!(row >= 0 && row < this.rowCount)) throw new RangeError(`row ${row} is not in [0, ${this.rowCount})`);
    if (this.#isClosed) throw new QuarryError("INTERNAL", `The table of ${this.sources.join(", ")} is closed.`);
    let low = 0;
    let high = this.#firstRows.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#firstRows[middle] as number) <= row) low = middle;
      else high = middle - 1;
    }
    const batch = this.#batches.get(low) ?? this.#openBatch(low);
    this.#last = batch;
    this.#lastEnd = batch.firstRow + batch.lines.length;
    return batch;
  }

  #openBatch(number: number): Batch {
    const place = this.content.batches[number] as TextsContent["batches"][number];
    const starts = bufferStarts(place, this.content);
    const [ids = 0, idBytes = 0, titles = 0, titleBytes = 0, texts = 0, textBytes = 0, ...others] = starts;
    const [prompts = 0, promptBytes = 0] = this.content.hasPrompts ? others.splice(0, 2) : [];
    const [extras = 0, extrasBytes = 0] = this.content.hasExtras ? others.splice(0, 2) : [];
    const numbers = others;
    const { rowCount } = place;
    const offsets = (start: number): Int32Array => this.#file.int32(start, rowCount + 1);
    const [lines = 0, idChecks = 0, textChecks = 0] = numbers;
    const batch: Batch = {
      firstRow: this.#firstRows[number] as number,
      id: { offsets: offsets(ids), offsetsStart: ids, start: idBytes, byteLength: place.idBytes },
      title: { offsets: offsets(titles), offsetsStart: titles, start: titleBytes, byteLength: place.titleBytes },
      text: { offsets: offsets(texts), offsetsStart: texts, start: textBytes, byteLength: place.textBytes },
      prompt: this.content.hasPrompts
        ? { offsets: offsets(prompts), offsetsStart: prompts, start: promptBytes, byteLength: place.promptBytes }
        : null,
      extras: this.content.hasExtras
        ? { offsets: offsets(extras), offsetsStart: extras, start: extrasBytes, byteLength: place.extrasBytes }
        : null,
      lines: this.#file.int32(lines, rowCount),
      idChecks: this.#file.int32(idChecks, rowCount),
      textChecks: this.#file.int32(textChecks, rowCount),
      textChecksStart: textChecks,
    };
    if (!this.#file.isMapped && this.#batches.size >= KEPT_BATCHES) this.#batches.clear();
    this.#batches.set(number, batch);
    return batch;
  }
}

function decodeBytes(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
}

/** Whether title and text of two rows, perhaps of two tables, are the same bytes. */
export function hasSameText(one: StoredTexts, row: number, other: StoredTexts, otherRow: number): boolean {
  const left = one.textBytes(row);
  const right = other.textBytes(otherRow);
  return isSame(left.title, right.title) && isSame(left.text, right.text);
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return one.byteLength === other.byteLength && areEqual(one, 0, other, 0, one.byteLength);
}
