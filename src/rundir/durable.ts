/** Files that are either whole or not there: write a temporary one, fsync, rename, fsync the folder. */
import { randomBytes } from "node:crypto";
import * as nodeFiles from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { QuarryError, toQuarryError } from "../errors.js";

/** The calls that may fail, in one place, so that a test can let each of them fail in turn. */
export interface FileCalls {
  mkdir(path: string, options: { recursive: true }): Promise<string | undefined>;
  open(path: string, flags: string, mode?: number): Promise<OpenFile>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
}

/** The part of a file handle that is used here. */
export interface OpenFile {
  writeFile(content: Uint8Array | string): Promise<void>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Ends the name of every temporary file; `openRunDir` sweeps away what a killed process left. */
export const temporarySuffix = ".quarry-tmp";

/** A name in the same folder that nobody else uses; hidden, so that no pattern of a reader finds it. */
export function temporaryName(path: string): string {
  return join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}${temporarySuffix}`);
}

/** Words for a failure of the disk, with the folder that it struck. */
export function diskError(thrown: unknown, folder: string): QuarryError {
  const code = thrown instanceof Error && "code" in thrown ? String(thrown.code) : "";
  if (thrown instanceof QuarryError || code === "") return toQuarryError(thrown);
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new QuarryError("ENVIRONMENT", `No space left for ${folder}.`, {
      hint: "Free some space, then give the same command again: it resumes.",
      cause: thrown,
    });
  }
  if (code === "EACCES" || code === "EPERM" || code === "EROFS") {
    return new QuarryError("ENVIRONMENT", `No permission to write in ${folder}.`, {
      hint: "Change its permissions, or choose another folder with --runDir.",
      cause: thrown,
    });
  }
  return new QuarryError("ENVIRONMENT", `Cannot write in ${folder}: ${(thrown as Error).message}.`, { cause: thrown });
}

/** Writes all bytes at a position: a disk that is nearly full may take fewer in one write, without an error. */
export async function writeAll(file: nodeFiles.FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, at, bytes.length - at, position + at);
    at += bytesWritten;
  }
}

/** Makes what was added to a file survive a power cut. */
export async function syncFile(path: string): Promise<void> {
  const handle = await nodeFiles.open(path, "r+");
  try {
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

/** Makes a new name in a folder survive a power cut. */
export async function syncFolder(folder: string, files: FileCalls = nodeFiles): Promise<void> {
  const handle = await files.open(folder, "r");
  try {
    await handle.sync();
  } catch (thrown) {
    // Some network file systems refuse to sync a folder; there is nothing better to do on them.
    if (!["EINVAL", "ENOTSUP"].includes((thrown as NodeJS.ErrnoException).code ?? "")) throw thrown;
  } finally {
    await handle.close();
  }
}

/** Writes a new file and syncs it; nothing is left of it when that fails. */
export async function writeNew(
  path: string,
  content: Uint8Array | string,
  files: FileCalls = nodeFiles,
): Promise<void> {
  const handle = await files.open(path, "wx", 0o644);
  try {
    try {
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (thrown) {
    await files.unlink(path).catch(() => {});
    throw thrown;
  }
}

async function renameWhole(from: string, to: string, files: FileCalls): Promise<void> {
  try {
    await files.rename(from, to);
  } catch (thrown) {
    await files.unlink(from).catch(() => {});
    throw thrown;
  }
}

/**
 * Writes a file so that a reader, at any moment and after any crash, finds the old content or the new one, whole.
 * Missing folders are made.
 *
 * @throws QuarryError ENVIRONMENT, naming the folder, when the disk is full or refuses.
 * @example
 * await writeFileDurably("runs/a/metrics.json", JSON.stringify(metrics));
 */
export async function writeFileDurably(
  path: string,
  content: Uint8Array | string,
  files: FileCalls = nodeFiles,
): Promise<void> {
  const folder = dirname(resolve(path));
  const temporary = temporaryName(resolve(path));
  try {
    const firstMade = await files.mkdir(folder, { recursive: true });
    await writeNew(temporary, content, files);
    await renameWhole(temporary, path, files);
    await syncFolder(folder, files);
    // A folder made just now is itself only a name in the one above it.
    for (let made = folder; firstMade !== undefined && made.length >= firstMade.length; made = dirname(made)) {
      await syncFolder(dirname(made), files);
    }
  } catch (thrown) {
    throw diskError(thrown, folder);
  }
}
