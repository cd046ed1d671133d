/** Looks many ids up at once, in the order in which they lie in memory: one by one each look-up waits for memory four times. */
import { GrowingBytes } from "../storage/growing.js";
import { areEqual, hashId } from "../texts/id-hash.js";
import type { StoredTexts } from "../texts/stored-texts.js";

/** Ids of a batch: enough that neighbours share pages, few enough that the event loop waits 0.1 s at most. */
export const BATCH_IDS = 1 << 18;
const DIGIT_BITS = 11;
const DIGITS = 1 << DIGIT_BITS;

export class BulkIds {
  readonly #bytes = new GrowingBytes();
  readonly #ends = new Int32Array(BATCH_IDS + 1);
  readonly #keys = new Int32Array(BATCH_IDS);
  readonly #rows = new Int32Array(BATCH_IDS);
  readonly #lanes = new Int32Array(2);
  readonly #counts = new Int32Array(DIGITS);
  #order = new Int32Array(BATCH_IDS);
  #spare = new Int32Array(BATCH_IDS);
  #count = 0;

  constructor(private readonly table: StoredTexts) {}

  get isFull(): boolean {
    return this.#count === BATCH_IDS;
  }

  add(bytes: Uint8Array, start: number, end: number): void {
    this.#bytes.append(bytes, start, end);
    this.#count += 1;
    this.#ends[this.#count] = this.#bytes.length;
  }

  /** An id of the batch that was resolved last. */
  id(at: number): string {
    return Buffer.from(this.#bytes.bytes.subarray(this.#ends[at], this.#ends[at + 1])).toString("utf8");
  }

  /**
   * The row of each id in the order they were added, -1 where there is none; valid until the next call. The next id
   * that is added begins a new batch.
   */
  resolve(): Int32Array {
    const { bytes } = this.#bytes;
    const count = this.#count;
    const last = this.table.indexSlots - 1;
    for (let at = 0; at < count; at += 1) {
      hashId(bytes, this.#ends[at] as number, this.#ends[at + 1] as number, this.#lanes);
      this.#keys[at] = (this.#lanes[0] as number) & last;
    }
    this.#sort(this.#keys, last);
    for (let place = 0; place < count; place += 1) {
      const at = this.#order[place] as number;
      this.#rows[at] = this.table.likelyRowOf(bytes, this.#ends[at] as number, this.#ends[at + 1] as number);
    }
    this.#sort(this.#rows, this.table.rowCount);
    for (let place = 0; place < count; place += 1) {
      const at = this.#order[place] as number;
      const row = this.#rows[at] as number;
      if (row === -1) continue;
      const start = this.#ends[at] as number;
      const end = this.#ends[at + 1] as number;
      const id = this.table.idBytes(row);
      const isSame = id.byteLength === end - start && areEqual(bytes, start, id, 0, end - start);
      if (!isSame) this.#rows[at] = this.table.rowOfBytes(bytes, start, end);
    }
    this.#count = 0;
    this.#bytes.length = 0;
    return this.#rows.subarray(0, count);
  }

  /** Brings the ids' numbers into the order of their keys, digit by digit from the lowest (-1 sorts as a high number). */
  #sort(keys: Int32Array, highest: number): void {
    for (let at = 0; at < this.#count; at += 1) this.#order[at] = at;
    for (let shift = 0; shift < 32 && highest >>> shift > 0; shift += DIGIT_BITS) {
      const counts = this.#counts.fill(0);
      for (let at = 0; at < this.#count; at += 1) {
        const digit = ((keys[at] as number) >>> shift) & (DIGITS - 1);
        counts[digit] = (counts[digit] as number) + 1;
      }
      for (let digit = 0, sum = 0; digit < DIGITS; digit += 1) {
        const size = counts[digit] as number;
        counts[digit] = sum;
        sum += size;
      }
      for (let place = 0; place < this.#count; place += 1) {
        const at = this.#order[place] as number;
        const digit = ((keys[at] as number) >>> shift) & (DIGITS - 1);
        this.#spare[counts[digit] as number] = at;
        counts[digit] = (counts[digit] as number) + 1;
      }
      const before = this.#order;
      this.#order = this.#spare;
      this.#spare = before;
    }
  }
}
