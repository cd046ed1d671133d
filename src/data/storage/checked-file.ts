/** Flat arrays of numbers on disk, cut into blocks that each carry a crc32, checked when a block is first touched. */
import { crc32 } from "node:zlib";
import { integrityError } from "../failures.js";
import { RandomFile } from "./random-file.js";

/** Bytes of a block: 256 index slots of 12 bytes, or 768 numbers; at most two pages are read to check one. */
export const BLOCK_BYTES = 3072;
/** Windows end at multiples of this: of the page size and of the block size. */
const CUT_BYTES = 12_288 * 65_536;
/** A range of so many blocks is read ahead. */
const LONG_BLOCKS = 16;
/** Blocks kept in memory when the file is not mapped. */
const KEPT_BLOCKS = 4096;

/** Bytes on disk of numbers that take `dataBytes`. */
function checkedSize(dataBytes: number): number {
  return dataBytes + Math.ceil(dataBytes / BLOCK_BYTES) * 4;
}

/** Reads what CheckedWriter wrote; offsets and counts are in numbers of 4 bytes. */
export class CheckedFile {
  readonly #file: RandomFile;
  readonly #dataBytes: number;
  readonly #isChecked: Uint8Array;
  readonly #kept = new Map<number, Int32Array>();

  constructor(
    path: string,
    dataBytes: number,
    readonly onDamage: () => void,
  ) {
    const size = checkedSize(dataBytes);
    const cuts: number[] = [];
    for (let cut = CUT_BYTES; cut < dataBytes; cut += CUT_BYTES) cuts.push(cut);
    this.#file = RandomFile.open(path, size, cuts);
    this.#dataBytes = dataBytes;
    this.#isChecked = new Uint8Array(Math.ceil(dataBytes / BLOCK_BYTES));
  }

  /** The numbers of one block. */
  block(index: number): Int32Array {
    const kept = this.#kept.get(index);
    if (kept !== undefined) return kept;
    const start = index * BLOCK_BYTES;
    const numbers = this.#file.int32(start, Math.min(BLOCK_BYTES, this.#dataBytes - start) / 4);
    if (this.#isChecked[index] !== 1 || !this.#file.isMapped) this.#check(index, numbers);
    if (!this.#file.isMapped) {
      if (this.#kept.size >= KEPT_BLOCKS) this.#kept.clear();
      this.#kept.set(index, numbers);
    }
    return numbers;
  }

  int32(first: number, count: number): Int32Array {
    if (count === 0) return new Int32Array(0);
    const firstBlock = Math.floor((first * 4) / BLOCK_BYTES);
    const lastBlock = Math.floor((first * 4 + count * 4 - 1) / BLOCK_BYTES);
    if (this.#file.isMapped) {
      // On a cold disk each page of a long range would be waited for by itself.
      const isLong = lastBlock - firstBlock >= LONG_BLOCKS;
      if (isLong && this.#isChecked.subarray(firstBlock, lastBlock + 1).includes(0)) {
        this.#file.willNeed(first * 4, count * 4);
        this.#file.willNeed(this.#dataBytes + firstBlock * 4, (lastBlock + 1 - firstBlock) * 4);
      }
      for (let block = firstBlock; block <= lastBlock; block += 1) if (this.#isChecked[block] !== 1) this.block(block);
      return this.#file.int32(first * 4, count);
    }
    // Checked and used must be the same bytes, so without a mapping the range is put together from checked blocks.
    const numbers = new Int32Array(count);
    const perBlock = BLOCK_BYTES / 4;
    for (let block = firstBlock; block <= lastBlock; block += 1) {
      const from = Math.max(first, block * perBlock);
      const to = Math.min(first + count, (block + 1) * perBlock);
      numbers.set(this.block(block).subarray(from - block * perBlock, to - block * perBlock), from - first);
    }
    return numbers;
  }

  float32(first: number, count: number): Float32Array {
    const numbers = this.int32(first, count);
    return new Float32Array(numbers.buffer, numbers.byteOffset, count);
  }

  close(): void {
    this.#file.close();
  }

  #check(index: number, numbers: Int32Array): void {
    const expected = (this.#file.int32(this.#dataBytes + index * 4, 1)[0] as number) >>> 0;
    if (crc32(numbers) !== expected) {
      this.onDamage();
      throw integrityError(this.#file.path, `block ${index}`);
    }
    this.#isChecked[index] = 1;
  }
}

/**
 * The arrays of a file that writeChecked wrote; views of it where it is mapped.
 *
 * @param lengths numbers in each array.
 */
export function readChecked<const Lengths extends readonly number[]>(
  path: string,
  lengths: Lengths,
  onDamage: () => void,
): { readonly [Index in keyof Lengths]: Int32Array } {
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const file = new CheckedFile(path, total * 4, onDamage);
  try {
    let end = 0;
    const arrays = lengths.map((length) => {
      end += length;
      return file.int32(end - length, length);
    });
    return arrays as unknown as { readonly [Index in keyof Lengths]: Int32Array };
  } finally {
    file.close();
  }
}
