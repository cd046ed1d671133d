/** Files of a source before they are read: what names their content in the cache, and who reads each of them. */
import { basename } from "node:path";
import type { SourceStamp } from "./cache/manifest.js";
import { changedError, stampSource } from "./cache/source-stamp.js";
import { policyOf } from "./findings.js";
import { formatKey, formatOf } from "./readers/formats.js";
import { InputFile } from "./readers/input.js";
import type { Format, Role, SourceFile } from "./readers/reader.js";
import type { DataContext } from "./types.js";

/** One file and its reader. */
export interface SourceInput {
  readonly file: SourceFile;
  readonly format: Format;
  /** Bytes on the disk. */
  readonly size: number;
  /** Its reading shows as progress. */
  readonly input: InputFile;
}

export interface SourceReading {
  readonly paths: readonly string[];
  /** Names the files' content and how it is read, in order. */
  readonly key: readonly string[];
  /** Names of the formats. */
  readonly reader: string;
  readonly stamps: readonly SourceStamp[];
  /** The files from their beginnings. */
  inputs(): SourceInput[];
  /** @throws QuarryError DATA for a file that is not what it was before it was read. */
  refuseChanged(): Promise<void>;
}

/**
 * @param files absolute, in order.
 * @throws QuarryError CONFIG, DATA or ENVIRONMENT for a file that is not there, or that no reader takes.
 */
export async function sourceReading(
  files: readonly SourceFile[],
  role: Role,
  context: DataContext,
): Promise<SourceReading> {
  const { cacheDir, signal } = context;
  const known: { readonly file: SourceFile; readonly format: Format; readonly stamp: SourceStamp }[] = [];
  for (const file of files) {
    const stamp = await stampSource(file.path, cacheDir, signal);
    known.push({ file, stamp, format: await formatOf(file, role) });
  }
  const isLenient = policyOf(context, "badLines") !== "error";
  return {
    paths: files.map(({ path }) => path),
    key: [...known.map(({ file, format }) => formatKey(format, file)), ...known.map(({ stamp }) => stamp.sha256)],
    reader: [...new Set(known.map(({ format }) => format.name))].join(" "),
    stamps: known.map(({ stamp }) => stamp),
    inputs: () =>
      known.map(({ file, format, stamp: { size } }) => {
        return { file, format, size, input: inputOf(file.path, size, context, isLenient) };
      }),
    async refuseChanged() {
      for (const { file, stamp } of known) {
        const after = await stampSource(file.path, cacheDir, signal);
        if (after.sha256 !== stamp.sha256) throw changedError(file.path);
      }
    },
  };
}

function inputOf(path: string, totalBytes: number, context: DataContext, isLenient: boolean): InputFile {
  const label = basename(path);
  return new InputFile(path, {
    signal: context.signal,
    isLenient,
    onProgress: ({ lines, bytes }) => context.onProgress?.({ label, lines, bytes, totalBytes }),
  });
}
