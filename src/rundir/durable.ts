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
  return new QuarryError("ENVIRONMENT", `Cannot write in ${folder}: ${(thrown as Error).message}.`, {
    cause: thrown,
    ...(code === "EFBIG" ? { hint: "Raise the limit on the size of files (ulimit -f), or that of the disk." } : {}),
  });
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

/** A file in the making: it appears under its name when it is finished, whole and durable; missing folders are made. */
export class NewFile {
  private constructor(
    private readonly path: string,
    private readonly temporary: string,
    /** The topmost folder that had to be made. */
    private readonly firstMade: string | undefined,
    private readonly handle: OpenFile,
    private readonly files: FileCalls,
  ) {}

  /** @throws QuarryError ENVIRONMENT, naming the folder, when the disk is full or refuses; so do the others. */
  static async open(path: string, files: FileCalls = nodeFiles): Promise<NewFile> {
    const target = resolve(path);
    return naming(dirname(target), async () => {
      const firstMade = await files.mkdir(dirname(target), { recursive: true });
      const temporary = temporaryName(target);
      return new NewFile(target, temporary, firstMade, await files.open(temporary, "wx", 0o644), files);
    });
  }

  /** Adds a piece; wait for it before the next one. */
  async write(piece: Uint8Array | string): Promise<void> {
    // Not FileHandle.write: it may take only a part on a disk that is nearly full.
    await naming(dirname(this.path), () => this.handle.writeFile(piece));
  }

  async finish(): Promise<void> {
    const folder = dirname(this.path);
    await naming(folder, async () => {
      await this.handle.sync();
      await this.handle.close();
      await this.files.rename(this.temporary, this.path);
      await syncFolder(folder, this.files);
      // A folder made just now is itself only a name in the one above it.
      const top = this.firstMade?.length ?? Number.POSITIVE_INFINITY;
      for (let made = folder; made.length >= top; made = dirname(made)) await syncFolder(dirname(made), this.files);
    });
  }

  /** Leaves nothing behind; does nothing once the file is finished. */
  async abandon(): Promise<void> {
    await this.handle.close().catch(() => {});
    await this.files.unlink(this.temporary).catch(() => {});
  }
}

/**
 * Writes a file so that a reader, at any moment and after any crash, finds the old content or the new one, whole.
 * Missing folders are made.
 *
 * @param content the bytes or the text, or what writes them piece by piece
 * @throws QuarryError ENVIRONMENT, naming the folder, when the disk is full or refuses.
 * @example
 * await writeFileDurably("runs/a/metrics.json", JSON.stringify(metrics));
 */
export async function writeFileDurably(
  path: string,
  content: Uint8Array | string | ((file: Pick<NewFile, "write">) => Promise<void>),
  files: FileCalls = nodeFiles,
): Promise<void> {
  const file = await NewFile.open(path, files);
  try {
    await (typeof content === "function" ? content(file) : file.write(content));
    await file.finish();
  } catch (thrown) {
    await file.abandon();
    throw thrown;
  }
}

async function naming<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    throw diskError(thrown, folder);
  }
}
