/** From id to row: open addressing over flat slots of (lane, lane, row + 1), memory-mapped. */
import { BLOCK_BYTES, CheckedFile } from "../storage/checked-file.js";
import { GrowingBytes, GrowingNumbers, MAX_BYTES } from "../storage/growing.js";
import { areEqual, hashId } from "./id-hash.js";
import type { IdBytes } from "./id-order.js";

const SLOT_NUMBERS = 3;
const SLOTS_PER_BLOCK = BLOCK_BYTES / (SLOT_NUMBERS * 4);
const MAX_LOAD = 0.6;
/** What add() answers for an id that is new, and for one that there is no room for. */
export const NEW = -1;
export const FULL = -2;

/** What an index holds at most. */
export interface IndexLimits {
  readonly idBytes: number;
  readonly ids: number;
}

/** 32-bit ends reach so far; a table of 2^28 slots takes 3 GiB, and the next one would be longer than an array may be. */
export const INDEX_LIMITS: IndexLimits = { idBytes: MAX_BYTES, ids: Math.floor(2 ** 28 * MAX_LOAD) };
/** For how many more ids there is to be room at any time. */
const AHEAD = 65_536;

/** Builds an index id by id. In memory: 12 bytes a slot, 4 bytes an id, and the ids' bytes. */
export class IndexBuilder {
  readonly #bytes: GrowingBytes;
  readonly #ends = new GrowingNumbers((length) => new Uint32Array(length));
  readonly #lanes = new Int32Array(2);
  #table = new Int32Array(256 * SLOT_NUMBERS);
  #count = 0;

  constructor(private readonly limits = INDEX_LIMITS) {
    this.#bytes = new GrowingBytes(limits.idBytes);
    this.#ends.push(0);
  }

  /**
   * Makes room for about as many ids as there will be, guessed from the `share` of the source that is read: growing by
   * doubling would hold the largest table twice. A guess too low costs time, one too high only address space. Called
   * after every few ten thousand ids; does nothing while there is room for as many again.
   */
  expect(share: number): void {
    // Once all is read, room for more would only make small entries large.
    if (!(share > 0 && share < 1)) return;
    const near = this.#count + AHEAD;
    const expected = Math.max(near, Math.ceil((this.#count / share) * 1.02));
    if (expected > this.limits.ids) return;
    const bytesEach = (this.#bytes.length / this.#count) * 1.1 + 1;
    if (near + 1 > this.#ends.numbers.length) this.#ends.reserve(expected + 1);
    if (near * bytesEach > this.#bytes.bytes.byteLength) {
      this.#bytes.reserve(Math.min(Math.ceil(expected * bytesEach), this.limits.idBytes));
    }
    if (near > (this.#table.length / SLOT_NUMBERS) * MAX_LOAD) this.#grow(slotsFor(expected));
  }

  /**
   * Adds the id in [start, end) as the next row.
   *
   * @returns the row of an id that is there already, which adds nothing; else NEW, or FULL where it was not added
   */
  add(bytes: Uint8Array, start: number, end: number): number {
    hashId(bytes, start, end, this.#lanes);
    const table = this.#table;
    const one = this.#lanes[0] as number;
    const two = this.#lanes[1] as number;
    const last = table.length / SLOT_NUMBERS - 1;
    const length = end - start;
    let slot = one & last;
    for (;;) {
      const at = slot * SLOT_NUMBERS;
      const taken = (table[at + 2] as number) - 1;
      if (taken < 0) break;
      if (table[at] === one && table[at + 1] === two) {
        const from = this.#ends.numbers[taken] as number;
        const isSame = (this.#ends.numbers[taken + 1] as number) - from === length;
        if (isSame && areEqual(bytes, start, this.#bytes.bytes, from, length)) return taken;
      }
      slot = (slot + 1) & last;
    }
    if (this.#count === this.limits.ids || this.#bytes.length + length > this.limits.idBytes) return FULL;
    put(table, slot, one, two, this.#count);
    this.#bytes.append(bytes, start, end);
    this.#ends.push(this.#bytes.length);
    this.#count += 1;
    if (this.#count > (last + 1) * MAX_LOAD) this.#grow((last + 1) * 2);
    return NEW;
  }

  /** What IdIndex reads; the builder lets go of it and takes no more ids. */
  takeSlots(): Int32Array {
    const table = this.#table;
    this.#table = new Int32Array(0);
    return table;
  }

  ids(): IdBytes {
    return { bytes: this.#bytes.bytes, offsets: this.#ends.numbers, count: this.#count };
  }

  #grow(slots: number): void {
    const before = this.#table;
    const table = new Int32Array(slots * SLOT_NUMBERS);
    for (let at = 0; at < before.length; at += SLOT_NUMBERS) {
      const row = (before[at + 2] as number) - 1;
      if (row < 0) continue;
      const one = before[at] as number;
      let slot = one & (slots - 1);
      while (table[slot * SLOT_NUMBERS + 2] !== 0) slot = (slot + 1) & (slots - 1);
      put(table, slot, one, before[at + 1] as number, row);
    }
    this.#table = table;
  }
}

function put(table: Int32Array, slot: number, one: number, two: number, row: number): void {
  const at = slot * SLOT_NUMBERS;
  table[at] = one;
  table[at + 1] = two;
  table[at + 2] = row + 1;
}

/** The least power of two that holds so many ids. */
function slotsFor(count: number): number {
  let slots = 256;
  while (count > slots * MAX_LOAD) slots *= 2;
  return slots;
}

/** Looks ids up in what IndexBuilder made. */
export class IdIndex {
  readonly #file: CheckedFile;
  readonly #lanes = new Int32Array(2);

  constructor(
    path: string,
    readonly slots: number,
    onDamage: () => void,
  ) {
    this.#file = new CheckedFile(path, slots * SLOT_NUMBERS * 4, onDamage);
  }

  /** The row of the id in [start, end), or -1; `isId` compares the bytes of a row whose fingerprint is equal. */
  find(bytes: Uint8Array, start: number, end: number, isId: (row: number) => boolean): number {
    hashId(bytes, start, end, this.#lanes);
    const [one = 0, two = 0] = this.#lanes;
    let slot = one & (this.slots - 1);
    let blockIndex = -1;
    let block: Int32Array = this.#lanes;
    for (;;) {
      const wanted = Math.floor(slot / SLOTS_PER_BLOCK);
      if (wanted !== blockIndex) {
        block = this.#file.block(wanted);
        blockIndex = wanted;
      }
      const at = (slot % SLOTS_PER_BLOCK) * SLOT_NUMBERS;
      const row = (block[at + 2] as number) - 1;
      if (row < 0) return -1;
      if (block[at] === one && block[at + 1] === two && isId(row)) return row;
      slot = (slot + 1) & (this.slots - 1);
    }
  }

  close(): void {
    this.#file.close();
  }
}
