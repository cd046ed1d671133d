/** From id to row: open addressing over flat slots of (lane, lane, row + 1), memory-mapped. */
import { BLOCK_BYTES, CheckedFile } from "../storage/checked-file.js";
import { areEqual, hashId } from "./id-hash.js";
import type { IdBytes } from "./id-order.js";

const SLOT_NUMBERS = 3;
const SLOTS_PER_BLOCK = BLOCK_BYTES / (SLOT_NUMBERS * 4);
const MAX_LOAD = 0.6;

/** An id that occurs again. */
export interface Duplicate {
  readonly row: number;
  readonly firstRow: number;
}

/** Slots of an index over so many ids: a power of two. */
function slotCount(idCount: number): number {
  return 2 ** Math.max(8, Math.ceil(Math.log2(Math.max(1, idCount) / MAX_LOAD)));
}

/** Builds the slots; `onDuplicate` hears of every id that occurred before. */
export function buildIndex(ids: IdBytes, onDuplicate: (duplicate: Duplicate) => void): Int32Array {
  const slots = slotCount(ids.count);
  const table = new Int32Array(slots * SLOT_NUMBERS);
  const lanes = new Int32Array(2);
  for (let row = 0; row < ids.count; row += 1) {
    const start = ids.offsets[row] as number;
    const length = (ids.offsets[row + 1] as number) - start;
    hashId(ids.bytes, start, start + length, lanes);
    const [one = 0, two = 0] = lanes;
    for (let slot = one & (slots - 1); ; slot = (slot + 1) & (slots - 1)) {
      const at = slot * SLOT_NUMBERS;
      const taken = (table[at + 2] as number) - 1;
      if (taken < 0) {
        table[at] = one;
        table[at + 1] = two;
        table[at + 2] = row + 1;
        break;
      }
      if (table[at] !== one || table[at + 1] !== two) continue;
      const other = ids.offsets[taken] as number;
      const otherLength = (ids.offsets[taken + 1] as number) - other;
      if (length === otherLength && areEqual(ids.bytes, start, ids.bytes, other, length)) {
        onDuplicate({ row, firstRow: taken });
        break;
      }
    }
  }
  return table;
}

/** Looks ids up in what buildIndex made. */
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
