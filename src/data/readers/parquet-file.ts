/** A Parquet file row by row: its columns, decoded one row group at a time, strings as the bytes that are in the file. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import type { AsyncBuffer, Compressors, FileMetaData, SchemaTree } from "hyparquet";
import { QuarryError } from "../../errors.js";
import { fileError, systemCode } from "../failures.js";
import type { InputFile } from "./input.js";

/** A column at the top of a file's schema. */
export interface ParquetColumn {
  readonly name: string;
  /** Whether its values are lists or structs. */
  readonly isNested: boolean;
  /** The physical types of its leaves, e.g. ["BYTE_ARRAY"], with their paths. */
  readonly leaves: readonly { readonly path: readonly string[]; readonly type: string }[];
}

/** Values of the wanted columns, column by column, for rows that follow each other. */
export interface ParquetRows {
  /** Number of the first row, from 0. */
  readonly firstRow: number;
  readonly rowCount: number;
  /** For each wanted column its values; null and undefined alike stand for null, strings are bytes. */
  readonly columns: readonly ArrayLike<unknown>[];
}

const TAIL_BYTES = 1 << 19;
/** Node refuses to read 2 GiB at a call, and a column of one row group may be longer. */
const READ_BYTES = 1 << 30;

/** Node's own where it has them: they are faster than JavaScript, and bounded. */
const native: Compressors = {
  GZIP: (packed, maxOutputLength) => gunzipSync(packed, { maxOutputLength: Math.max(1, maxOutputLength) }),
  BROTLI: (packed, maxOutputLength) => brotliDecompressSync(packed, { maxOutputLength: Math.max(1, maxOutputLength) }),
};

/** Strings stay bytes, so that bad UTF-8 is seen instead of replaced, and texts are never decoded. */
const parsers = { stringFromBytes: (bytes: Uint8Array) => bytes };

/** Imported when the first Parquet file is met: all other starts do without its 50 ms. */
let library: typeof import("hyparquet") | null = null;

/** To be awaited before `columnsOf`. */
export async function loadParquet(): Promise<typeof import("hyparquet")> {
  library ??= await import("hyparquet");
  return library;
}

/**
 * The columns of a file, read from its end without waiting; null when it is no Parquet file.
 *
 * @throws QuarryError INTERNAL when loadParquet was not awaited.
 */
export function columnsOf(path: string): readonly ParquetColumn[] | null {
  const parquet = library;
  if (parquet === null) throw new QuarryError("INTERNAL", `${path}: loadParquet() comes first.`);
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (thrown) {
    // Whoever reads the file says why it cannot be read.
    if (systemCode(thrown) !== "") return null;
    throw thrown;
  }
  try {
    const { size } = fstatSync(file);
    const tail = readTail(file, size, Math.min(size, TAIL_BYTES));
    if (tail === null) return null;
    const wanted = tail.readUInt32LE(tail.byteLength - 8) + 8;
    const whole = wanted <= tail.byteLength ? tail : wanted <= size ? readTail(file, size, wanted) : null;
    return whole === null ? null : columns(parquet, parquet.parquetMetadata(whole));
  } catch {
    return null;
  } finally {
    closeSync(file);
  }
}

/**
 * Calls `onRows` for one row group after the other; memory holds the wanted columns of one.
 *
 * @param choose picks columns by name from those that the file has.
 * @throws QuarryError DATA for a file that is no Parquet, or damaged.
 */
export async function readRowGroups(
  input: InputFile,
  choose: (columns: readonly ParquetColumn[]) => readonly string[],
  onRows: (rows: ParquetRows) => void,
): Promise<void> {
  const { path } = input;
  const parquet = await loadParquet();
  const { compressors } = await import("hyparquet-compressors");
  const buffer = fileBuffer(path);
  let firstRow = 0;
  let counted = 0;
  try {
    const [metadata, found] = await told(path, "its metadata", async () => {
      const read = await parquet.parquetMetadataAsync(buffer);
      return [read, columns(parquet, read)] as const;
    });
    const names = choose(found);
    const options = {
      file: buffer,
      metadata,
      columns: [...names],
      compressors: { ...compressors, ...native },
      parsers,
    };
    const scan = await told(path, "its metadata", () => parquet.parquetScan(options));
    for (const { num_rows: groupRows } of metadata.row_groups) {
      const rowCount = Number(groupRows);
      const range = { rowStart: firstRow, rowEnd: firstRow + rowCount };
      const place = `rows ${firstRow + 1} to ${firstRow + rowCount}`;
      const values: ArrayLike<unknown>[] = [];
      for (const column of names) {
        const decoded = await told(path, `column ${column} of ${place}`, () => scan.readColumn({ column, ...range }));
        if (decoded.length !== rowCount)
          throw damaged(path, `column ${column} of ${place}`, `${decoded.length} values`);
        values.push(decoded);
      }
      await input.advance(buffer.bytesRead - counted);
      counted = buffer.bytesRead;
      if (rowCount > 0) onRows({ firstRow, rowCount, columns: values });
      firstRow += rowCount;
      input.report(firstRow);
    }
  } finally {
    buffer.close();
  }
}

function columns(parquet: typeof import("hyparquet"), metadata: FileMetaData): ParquetColumn[] {
  return parquet.parquetSchema(metadata).children.map((child) => ({
    name: child.element.name,
    isNested: child.children.length > 0 || child.element.repetition_type === "REPEATED",
    leaves: leavesOf(child),
  }));
}

function leavesOf(tree: SchemaTree): { path: string[]; type: string }[] {
  if (tree.children.length > 0) return tree.children.flatMap(leavesOf);
  return [{ path: tree.path, type: tree.element.type ?? "" }];
}

/**
 * A file as the library reads it.
 *
 * @param mostBytes of one call to the system
 */
export function fileBuffer(path: string, mostBytes = READ_BYTES): AsyncBuffer & { bytesRead: number; close(): void } {
  const file = openSync(path, "r");
  return {
    byteLength: fstatSync(file).size,
    bytesRead: 0,
    slice(start, end = fstatSync(file).size) {
      const bytes = new Uint8Array(end - start);
      let filled = 0;
      while (filled < bytes.byteLength) {
        const length = Math.min(bytes.byteLength - filled, mostBytes);
        const count = readSync(file, bytes, filled, length, start + filled);
        if (count === 0) throw new Error("the file ends too early");
        filled += count;
        this.bytesRead += count;
      }
      return bytes.buffer;
    },
    close: () => closeSync(file),
  };
}

function readTail(file: number, size: number, length: number): Buffer | null {
  const bytes = Buffer.alloc(length);
  const count = readSync(file, bytes, 0, length, size - length);
  return length < 12 || count < length || bytes.toString("latin1", length - 4) !== "PAR1" ? null : bytes;
}

/** Waits for what the library does; whatever it throws is a fault of the file. */
async function told<T>(path: string, what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    throw damaged(path, what, thrown instanceof Error ? thrown.message : String(thrown), thrown);
  }
}

function damaged(path: string, what: string, reason: string, cause?: unknown): Error {
  return fileError(
    path,
    `${what} cannot be read: ${reason.slice(0, 200)}.`,
    "Fetch or write the Parquet file again.",
    cause,
  );
}
