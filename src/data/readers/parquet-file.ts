/** A Parquet file row by row: its columns, decoded one row group at a time, strings as the bytes that are in the file. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import type { AsyncBuffer, Compressors, FileMetaData, RowGroup, SchemaTree } from "hyparquet";
import { QuarryError } from "../../errors.js";
import { fileError, systemCode } from "../failures.js";
import { MAX_BYTES } from "../storage/growing.js";
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

/** How much of a row group is held at a time; tests make it small. */
export interface ParquetLimits {
  /** Rows that are decoded: a value takes some 80 bytes of V8's heap, whatever its text takes. */
  readonly rows: number;
  /** Bytes of a column, as they are in the file. */
  readonly columnBytes: number;
}

const LIMITS: ParquetLimits = { rows: 1 << 18, columnBytes: MAX_BYTES };

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
 * Calls `onRows` for one stretch of rows after the other. Memory holds the wanted columns of one row group as they are in
 * the file, and a stretch of them decoded; of nested columns a whole row group is decoded.
 *
 * @param choose picks columns by name from those that the file has.
 * @throws QuarryError DATA for a file that is no Parquet, or damaged, or has a column of 4 GiB in one row group.
 */
export async function readRowGroups(
  input: InputFile,
  choose: (columns: readonly ParquetColumn[]) => readonly string[],
  onRows: (rows: ParquetRows) => void,
  limits = LIMITS,
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
    // Where rows of a nested column begin is known when all of it is decoded.
    const isFlat = found.every(({ name, isNested }) => !isNested || !names.includes(name));
    for (const group of metadata.row_groups) {
      const end = firstRow + Number(group.num_rows);
      const step = isFlat ? limits.rows : Number(group.num_rows);
      const isCut = end - firstRow > step;
      refuseLongColumns(path, group, names, { isCut, ...limits });
      // Each stretch asks for the bytes of a column again.
      if (isCut) buffer.keepSlices();
      while (firstRow < end) {
        const rowCount = Math.min(step, end - firstRow);
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
        onRows({ firstRow, rowCount, columns: values });
        firstRow += rowCount;
        input.report(firstRow);
      }
      buffer.dropSlices();
    }
  } finally {
    buffer.close();
  }
}

/** Of one that says where its pages lie, a stretch takes only some. */
function refuseLongColumns(
  path: string,
  { columns: chunks }: RowGroup,
  names: readonly string[],
  { columnBytes, isCut }: ParquetLimits & { readonly isCut: boolean },
): void {
  for (const { meta_data: meta, offset_index_offset: index } of chunks) {
    const name = meta?.path_in_schema[0] ?? "";
    const size = Number(meta?.total_compressed_size ?? 0);
    if (size <= columnBytes || !names.includes(name) || (isCut && index !== undefined)) continue;
    const [bytes, most] = [size, columnBytes].map((count) => count.toLocaleString("en-US"));
    throw fileError(
      path,
      `column ${name} has ${bytes} bytes in one row group; ${most} can be read.`,
      "Write the file with smaller row groups, e.g. row_group_size=1_000_000 in pyarrow.",
    );
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

/** A file as the library reads it. */
interface FileBuffer extends AsyncBuffer {
  readonly bytesRead: number;
  /** From now on a range that is asked for again is not read again. */
  keepSlices(): void;
  /** Lets go of them, and keeps no more. */
  dropSlices(): void;
  close(): void;
}

/** @param mostBytes of one call to the system */
export function fileBuffer(path: string, mostBytes = READ_BYTES): FileBuffer {
  const file = openSync(path, "r");
  let bytesRead = 0;
  let kept: Map<string, ArrayBuffer> | null = null;
  const read = (start: number, end: number): ArrayBuffer => {
    const bytes = new Uint8Array(end - start);
    let filled = 0;
    while (filled < bytes.byteLength) {
      const length = Math.min(bytes.byteLength - filled, mostBytes);
      const count = readSync(file, bytes, filled, length, start + filled);
      if (count === 0) throw new Error("the file ends too early");
      filled += count;
      bytesRead += count;
    }
    return bytes.buffer;
  };
  return {
    byteLength: fstatSync(file).size,
    get bytesRead() {
      return bytesRead;
    },
    slice(start, end = fstatSync(file).size) {
      const key = `${start} ${end}`;
      const bytes = kept?.get(key) ?? read(start, end);
      kept?.set(key, bytes);
      return bytes;
    },
    keepSlices() {
      kept = new Map();
    },
    dropSlices() {
      kept = null;
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
