/** A finished shard of vectors, mapped into memory; each block is checked when it is first touched. */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { crc32 } from "node:zlib";
import { removeQuietly } from "../data/cache/folder.js";
import { integrityError } from "../data/failures.js";
import { RandomFile } from "../data/storage/random-file.js";
import { QuarryError } from "../errors.js";
import { temporaryName } from "../rundir/durable.js";
import type { ArrowLayout } from "./arrow-layout.js";
import { KEYS_FILE, type ShardManifest, VECTORS_FILE, writeManifest } from "./shard-manifest.js";
import { KEY_WORDS } from "./text-keys.js";

/** Rows of one block that are asked for together. */
interface Part {
  readonly block: number;
  readonly count: number;
  /** Bytes from the block's begin to the column of the first of them, and from the file's. */
  readonly inBlock: number;
  readonly inFile: number;
}

/** Bytes of blocks that stay in memory where the file is not mapped. */
const KEPT_BYTES = 128 << 20;

export class OpenShard {
  readonly name: string;
  readonly rowCount: number;
  readonly #file: RandomFile;
  readonly #firstRows: Int32Array;
  readonly #isChecked: Uint8Array;
  readonly #isAskedFor: Uint8Array;
  readonly #kept = new Map<number, Uint8Array>();
  #keptBytes = 0;
  #manifest: ShardManifest;

  /** @throws QuarryError INTEGRITY when the file has another length than its manifest says. */
  constructor(
    private readonly folder: string,
    manifest: ShardManifest,
    private readonly layout: ArrowLayout,
  ) {
    this.name = basename(folder);
    this.#manifest = manifest;
    const cuts = manifest.blocks.map(([start]) => start);
    this.#file = RandomFile.open(join(folder, VECTORS_FILE), manifest.fileBytes, cuts);
    this.#isChecked = new Uint8Array(manifest.blocks.length);
    this.#isAskedFor = new Uint8Array(manifest.blocks.length);
    this.#firstRows = new Int32Array(manifest.blocks.length);
    let rows = 0;
    for (const [index, [, rowCount]] of manifest.blocks.entries()) {
      this.#firstRows[index] = rows;
      rows += rowCount;
    }
    this.rowCount = rows;
  }

  get path(): string {
    return join(this.folder, VECTORS_FILE);
  }

  get fileBytes(): number {
    return this.#manifest.fileBytes;
  }

  /** Changes whenever a row of the shard ceases to be of use. */
  get version(): string {
    return `${this.name} ${this.#manifest.dropped.length}`;
  }

  /** Calls `visit` with each row that is of use and the words of its key. */
  eachKey(visit: (row: number, keys: Int32Array, at: number) => void): void {
    const keys = this.#keys();
    const dropped = new Set(this.#manifest.dropped);
    for (const [index, [, rowCount]] of this.#manifest.blocks.entries()) {
      if (dropped.has(index)) continue;
      const first = this.#firstRows[index] as number;
      for (let row = first; row < first + rowCount; row += 1) visit(row, keys, row * KEY_WORDS);
    }
  }

  /**
   * Copies column `column` (1 the vector, 2 its scale) of `count` rows, `rowBytes` each, to `target`.
   *
   * @throws QuarryError INTEGRITY when a block is damaged; it is then out of use.
   */
  copy(row: number, count: number, column: number, rowBytes: number, target: Uint8Array, at: number): void {
    for (const { block, count: together, inBlock, inFile } of this.#parts(row, count, column, rowBytes)) {
      const length = together * rowBytes;
      if (!this.#file.isMapped) target.set(this.#block(block).subarray(inBlock, inBlock + length), at);
      else {
        if (this.#isChecked[block] !== 1) this.#block(block);
        this.#file.copyTo(target, at, inFile, length);
      }
      at += length;
    }
  }

  /**
   * Where in the file column `column` of each of `count` rows begins, to `target`.
   *
   * @throws QuarryError INTEGRITY when a block is damaged; it is then out of use.
   */
  offsets(row: number, count: number, column: number, rowBytes: number, target: Int32Array, at: number): void {
    for (const { block, count: together, inFile } of this.#parts(row, count, column, rowBytes)) {
      if (this.#isChecked[block] !== 1) this.#block(block);
      for (let index = 0; index < together; index += 1) target[at + index] = inFile + index * rowBytes;
      at += together;
    }
  }

  /** Sees that nobody cut the file short: touching a page beyond its end would end the process. */
  checkLength(): void {
    if (!this.#file.isWhole()) throw integrityError(this.path, "its length");
  }

  /** Asks the disk for the blocks of these rows ahead, for each once. */
  prefetch(row: number, count: number): void {
    const last = this.#blockOf(row + count - 1);
    for (let index = this.#blockOf(row); index <= last; index += 1) {
      if (this.#isChecked[index] === 1 || this.#isAskedFor[index] === 1) continue;
      this.#isAskedFor[index] = 1;
      const [start, rowCount] = this.#manifest.blocks[index] as readonly [number, number, number];
      this.#file.willNeed(start, this.layout.head(rowCount).end);
    }
  }

  /**
   * Reads every block that is of use, with the keys last; what is damaged is dealt with as by any other reader.
   *
   * @returns for each what messages call it, its bytes, and whether it is sound.
   */
  *check(): Generator<{ readonly name: string; readonly bytes: number; readonly isSound: boolean }> {
    for (const [index, [start, rowCount]] of this.#manifest.blocks.entries()) {
      if (this.#manifest.dropped.includes(index)) continue;
      const bytes = this.layout.head(rowCount).end;
      this.checkLength();
      this.#file.willNeed(start, bytes);
      yield { name: `block ${index}`, bytes, isSound: this.#isSound(index) };
    }
    const isSound = this.#storedKeys() !== null;
    if (!isSound) this.#keys();
    yield { name: KEYS_FILE, bytes: this.rowCount * KEY_WORDS * 4, isSound };
  }

  close(): void {
    this.#kept.clear();
    this.#file.close();
  }

  /** A block whose checksum is right. */
  #block(index: number): Uint8Array {
    const kept = this.#kept.get(index);
    if (kept !== undefined) return kept;
    const [start, rowCount, sum] = this.#manifest.blocks[index] as readonly [number, number, number];
    const block = this.#file.bytes(start, this.layout.head(rowCount).end);
    if (this.#manifest.dropped.includes(index) || crc32(block) !== sum) throw this.#drop(index);
    this.#isChecked[index] = 1;
    if (!this.#file.isMapped) {
      if (this.#keptBytes + block.length > KEPT_BYTES) {
        this.#kept.clear();
        this.#keptBytes = 0;
      }
      this.#kept.set(index, block);
      this.#keptBytes += block.length;
    }
    return block;
  }

  /** From now on nobody finds the block's texts here, so they are encoded again. */
  #drop(index: number): Error {
    if (!this.#manifest.dropped.includes(index)) {
      this.#manifest = { ...this.#manifest, dropped: [...this.#manifest.dropped, index] };
      try {
        writeManifest(this.folder, this.#manifest);
      } catch {
        // A store that cannot be written to: the error that follows names the file.
      }
    }
    return integrityError(this.path, `block ${index}`);
  }

  *#parts(row: number, count: number, column: number, rowBytes: number): Generator<Part> {
    for (let done = 0; done < count; ) {
      const block = this.#blockOf(row + done);
      const [start, rowCount] = this.#manifest.blocks[block] as readonly [number, number, number];
      const first = row + done - (this.#firstRows[block] as number);
      const inBlock = (this.layout.head(rowCount).starts[column] as number) + first * rowBytes;
      const together = Math.min(count - done, rowCount - first);
      yield { block, count: together, inBlock, inFile: start + inBlock };
      done += together;
    }
  }

  #blockOf(row: number): number {
    let low = 0;
    let high = this.#firstRows.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#firstRows[middle] as number) <= row) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #isSound(index: number): boolean {
    try {
      this.#block(index);
      return true;
    } catch (thrown) {
      if (thrown instanceof QuarryError && thrown.code === "INTEGRITY") return false;
      throw thrown;
    }
  }

  /** The file of keys, or null where it is damaged. */
  #storedKeys(): Buffer | null {
    const stored = readOrNull(join(this.folder, KEYS_FILE));
    const isSound = stored?.length === this.rowCount * KEY_WORDS * 4 && crc32(stored) === this.#manifest.keysCrc;
    return isSound ? stored : null;
  }

  /** From the file of keys alone, or, where that is damaged, out of the blocks; the file is then written again. */
  #keys(): Int32Array {
    const keys = new Int32Array(this.rowCount * KEY_WORDS);
    const bytes = new Uint8Array(keys.buffer);
    const stored = this.#storedKeys();
    if (stored !== null) {
      bytes.set(stored);
      return keys;
    }
    for (const [index, [, rowCount]] of this.#manifest.blocks.entries()) {
      if (this.#manifest.dropped.includes(index)) continue;
      try {
        const block = this.#block(index);
        const start = this.layout.head(rowCount).bytes.length;
        const length = rowCount * KEY_WORDS * 4;
        bytes.set(block.subarray(start, start + length), (this.#firstRows[index] as number) * KEY_WORDS * 4);
      } catch {
        // Dropped: its texts are encoded again.
      }
    }
    this.#keepKeys(bytes);
    return keys;
  }

  /** Else every opening would read all blocks. A store that cannot be written to is as good without. */
  #keepKeys(bytes: Uint8Array): void {
    const path = join(this.folder, KEYS_FILE);
    const temporary = temporaryName(path);
    try {
      writeFileSync(temporary, bytes, { flush: true });
      renameSync(temporary, path);
      this.#manifest = { ...this.#manifest, keysCrc: crc32(bytes) };
      writeManifest(this.folder, this.#manifest);
    } catch {
      removeQuietly(temporary);
    }
  }
}

function readOrNull(path: string): Buffer | null {
  try {
    return readFileSync(path);
  } catch {
    return null;
  }
}
