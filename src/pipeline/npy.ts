/** A matrix on disk that is filled row by row and survives being killed: NumPy's own format, version 1.0. */
import { type FileHandle, open, readFile, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { QuarryError } from "../errors.js";
import { diskError, syncFolder, writeAll } from "../rundir/durable.js";

const HEADER_BYTES = 128;

/** Numbers in a file as NumPy writes their type. */
export type NpyType = "<f4" | "<f2" | "|i1";

/** The header of an array in C order (NumPy's npy format, version 1.0), padded to 128 bytes. */
export function npyHeader(type: NpyType, shape: readonly number[]): Buffer {
  const out = Buffer.alloc(HEADER_BYTES, " ");
  out.write("\x93NUMPY\x01\x00", 0, "latin1");
  out.writeUInt16LE(HEADER_BYTES - 10, 8);
  const sides = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  out.write(`{'descr': '${type}', 'fortran_order': False, 'shape': (${sides}), }`, 10, "latin1");
  out.write("\n", HEADER_BYTES - 1, "latin1");
  return out;
}

/**
 * The bytes of an array that NumPy wrote in C order.
 *
 * @throws QuarryError INTEGRITY for another type or shape than expected.
 */
export async function readNpy(path: string, type: "<f4" | "<i4", shape: readonly number[]): Promise<ArrayBuffer> {
  const file = await readFile(path);
  const start = 10 + (file.length < 10 ? 0 : file.readUInt16LE(8));
  const header = file.toString("latin1", 0, start);
  const bytes = file.subarray(start);
  const isAsExpected =
    header.startsWith("\x93NUMPY\x01") &&
    header.includes(`'descr': '${type}', 'fortran_order': False, 'shape': (${shape.join(", ")}), }`) &&
    bytes.length === 4 * shape.reduce((product, side) => product * side, 1);
  if (!isAsExpected) throw new QuarryError("INTEGRITY", `${path} is no array ${type} [${shape.join(" × ")}]`);
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
}

/**
 * Writes a float32 matrix [rowCount × dimension] in blocks of rows, in any order.
 *
 * Until `finish` the file is `path`.partial beside `path`.done, which lists the durable blocks: first the block's bytes
 * reach the disk, then its line, so a listed block is complete whatever was killed.
 */
export class MatrixWriter {
  readonly #done = new Set<number>();
  #dimension = 0;
  #data: FileHandle | null = null;
  #journal: FileHandle | null = null;
  /** Units come in at the same time; the files are begun once. */
  #beginning: Promise<void> | null = null;

  private constructor(
    private readonly path: string,
    private readonly key: string,
    private readonly rowCount: number,
    private readonly blockRows: number,
  ) {}

  /** Opens what an earlier process left under the same key, or begins anew. */
  static async open(path: string, key: string, rowCount: number, blockRows: number): Promise<MatrixWriter> {
    const writer = new MatrixWriter(path, key, rowCount, blockRows);
    const journal = await readFile(`${path}.done`, "utf8").catch(() => "");
    // What follows the last line end was torn by a kill: the next line must not be glued to it.
    const whole = journal.slice(0, journal.lastIndexOf("\n") + 1);
    const [head = "", ...blocks] = whole.split("\n").slice(0, -1);
    const [knownKey, dimension] = head.split(" ");
    if (knownKey === key && (await writer.#reopen(Number(dimension), Buffer.byteLength(whole)))) {
      for (const block of blocks) writer.#done.add(Number(block));
    } else {
      await rm(`${path}.done`, { force: true });
      await rm(`${path}.partial`, { force: true });
    }
    return writer;
  }

  isDone(block: number): boolean {
    return this.#done.has(block);
  }

  /** Makes one block of float32 vectors durable. */
  async write(block: number, bytes: Uint8Array, dimension: number): Promise<void> {
    try {
      if (this.#journal === null) await (this.#beginning ??= this.#begin(dimension));
      const [data, journal] = [this.#data as FileHandle, this.#journal as FileHandle];
      await writeAll(data, bytes, HEADER_BYTES + block * this.blockRows * this.#dimension * 4);
      await data.datasync();
      await journal.appendFile(`${block}\n`);
      await journal.datasync();
      this.#done.add(block);
    } catch (thrown) {
      throw diskError(thrown, this.path);
    }
  }

  /** Makes the finished matrix visible under its name. */
  async finish(): Promise<void> {
    const expected = Math.ceil(this.rowCount / this.blockRows);
    if (this.#done.size !== expected) {
      throw new QuarryError("INTERNAL", `${this.path}: ${this.#done.size} of ${expected} blocks are written`);
    }
    await this.close();
    await rename(`${this.path}.partial`, this.path);
    await syncFolder(dirname(this.path));
    await rm(`${this.path}.done`, { force: true });
  }

  async close(): Promise<void> {
    await this.#data?.close();
    await this.#journal?.close();
    this.#data = null;
    this.#journal = null;
  }

  async #begin(dimension: number): Promise<void> {
    this.#dimension = dimension;
    this.#data = await open(`${this.path}.partial`, "w+");
    await writeAll(this.#data, npyHeader("<f4", [this.rowCount, dimension]), 0);
    await this.#data.datasync();
    const journal = await open(`${this.path}.done`, "w");
    await journal.appendFile(`${this.key} ${dimension}\n`);
    await journal.datasync();
    this.#journal = journal;
  }

  async #reopen(dimension: number, journalBytes: number): Promise<boolean> {
    this.#data = await open(`${this.path}.partial`, "r+").catch(() => null);
    if (this.#data === null) return false;
    this.#dimension = dimension;
    this.#journal = await open(`${this.path}.done`, "a");
    await this.#journal.truncate(journalBytes);
    return true;
  }
}
