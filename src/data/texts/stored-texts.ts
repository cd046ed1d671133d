/** The memory-mapped table of passages or queries. */
import { join } from "node:path";
import { QuarryError } from "../../errors.js";
import { integrityError } from "../failures.js";
import { CheckedFile } from "../storage/checked-file.js";
import { RandomFile } from "../storage/random-file.js";
import type { Origin, TextTable } from "../types.js";
import { bufferStarts } from "./arrow-file.js";
import { INDEX_FILE, RANKS_FILE, TABLE_FILE, type TextsContent } from "./build.js";
import { idChecksum, textChecksum } from "./checksums.js";
import { gatherTexts } from "./gather.js";
import { areEqual } from "./id-hash.js";
import { IdIndex } from "./id-index.js";

/** Batches whose numbers stay in memory when the file is not mapped (0.8 MB each). */
const KEPT_BATCHES = 64;

/** One string column of a batch. */
interface Strings {
  readonly offsets: Int32Array;
  /** Offset of the first byte in the file. */
  readonly start: number;
  readonly byteLength: number;
}

interface Batch {
  readonly firstRow: number;
  readonly id: Strings;
  readonly title: Strings;
  readonly text: Strings;
  readonly lines: Int32Array;
  readonly idChecks: Int32Array;
  readonly textChecks: Int32Array;
}

export class StoredTexts implements TextTable {
  readonly rowCount: number;
  readonly fingerprint: string;
  readonly #file: RandomFile;
  readonly #index: IdIndex;
  readonly #ranks: CheckedFile;
  readonly #firstRows: Int32Array;
  readonly #batches = new Map<number, Batch>();
  /** Bit 0: id and line were checked; bit 1: title and text were. */
  readonly #checked: Uint8Array;
  #idRanks: Int32Array | null = null;
  #last: Batch | null = null;
  #lastEnd = 0;
  #isClosed = false;

  /**
   * @param source the file the user named, for origins.
   * @param onDamage called before an INTEGRITY error is thrown.
   */
  constructor(
    folder: string,
    private readonly content: TextsContent,
    private readonly source: string,
    private readonly onDamage: () => void,
  ) {
    this.rowCount = content.rowCount;
    this.fingerprint = content.fingerprint;
    const cuts = content.batches.map((batch) => batch.start);
    this.#file = RandomFile.open(join(folder, TABLE_FILE), content.tableBytes, cuts);
    this.#index = new IdIndex(join(folder, INDEX_FILE), content.slots, onDamage);
    this.#ranks = new CheckedFile(join(folder, RANKS_FILE), content.rowCount * 4, onDamage);
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

  title(row: number): string {
    return decodeBytes(this.textBytes(row).title);
  }

  text(row: number): string {
    return decodeBytes(this.textBytes(row).text);
  }

  origin(row: number): Origin {
    this.idBytes(row);
    const batch = this.#batchOf(row);
    return { file: this.source, line: batch.lines[row - batch.firstRow] as number };
  }

  gather(rows: Int32Array, rowOffset = 0): Uint8Array {
    return gatherTexts([{ table: this, offset: 0 }], rows, rowOffset);
  }

  close(): void {
    this.#isClosed = true;
    this.#last = null;
    this.#lastEnd = 0;
    this.#batches.clear();
    this.#file.close();
    this.#index.close();
    this.#ranks.close();
  }

  /** An id's bytes, checked on first touch; not to be written to. */
  idBytes(row: number): Uint8Array {
    const batch = this.#batchOf(row);
    const at = row - batch.firstRow;
    const bytes = this.#string(batch.id, at, row);
    if (((this.#checked[row] as number) & 1) === 0 || !this.#file.isMapped) {
      if (idChecksum(bytes, batch.lines[at] as number) !== batch.idChecks[at]) throw this.#damage(row);
      this.#checked[row] = (this.#checked[row] as number) | 1;
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

  /** 32 bits over title and text: equal texts have equal hashes. The text is not read, so the hash is a hint only. */
  textHash(row: number): number {
    const batch = this.#batchOf(row);
    return batch.textChecks[row - batch.firstRow] as number;
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
    if (this.#isClosed) throw new QuarryError("INTERNAL", `The table of ${this.source} is closed.`);
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
    const [ids = 0, idBytes = 0, titles = 0, titleBytes = 0, texts = 0, textBytes = 0, ...numbers] =
      bufferStarts(place);
    const { rowCount } = place;
    const offsets = (start: number): Int32Array => this.#file.int32(start, rowCount + 1);
    const [lines = 0, idChecks = 0, textChecks = 0] = numbers;
    const batch: Batch = {
      firstRow: this.#firstRows[number] as number,
      id: { offsets: offsets(ids), start: idBytes, byteLength: place.idBytes },
      title: { offsets: offsets(titles), start: titleBytes, byteLength: place.titleBytes },
      text: { offsets: offsets(texts), start: textBytes, byteLength: place.textBytes },
      lines: this.#file.int32(lines, rowCount),
      idChecks: this.#file.int32(idChecks, rowCount),
      textChecks: this.#file.int32(textChecks, rowCount),
    };
    if (!this.#file.isMapped && this.#batches.size >= KEPT_BATCHES) this.#batches.clear();
    this.#batches.set(number, batch);
    return batch;
  }
}

function decodeBytes(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
}
