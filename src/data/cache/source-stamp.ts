/** Recognises a source file: by size, times and inode when it was seen before, by its content otherwise. */
import { createHash } from "node:crypto";
import { type FileHandle, open, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { QuarryError, stopIfAborted } from "../../errors.js";
import { makeFolder } from "../../make-folder.js";
import { sourceError } from "../failures.js";
import { type SourceStamp, sourceStamp } from "./manifest.js";
import { readNote, replaceSealed } from "./sealed.js";

/** At most; to set aside more than a small file has costs more than to read it. */
const CHUNK_BYTES = 4 << 20;
/** A file changed this recently may change again without its times moving on: clocks of file systems are coarse. */
const SETTLED_MS = 2000;

/**
 * The stamp of a source file. A file seen before costs one stat; another one is read once (about 1.5 GB/s).
 *
 * @throws QuarryError CONFIG when the file is missing, DATA when it cannot be read.
 */
export async function stampSource(path: string, cacheDir: string, signal?: AbortSignal): Promise<SourceStamp> {
  const handle = await openSource(path);
  try {
    const before = await outerStamp(handle, path);
    const note = join(notesFolder(cacheDir), `${createHash("sha256").update(path).digest("hex").slice(0, 32)}.json`);
    const known = sourceStamp.safeParse(readNote(note));
    if (known.success && isSame(known.data, before.stamp)) return known.data;
    const sha256 = await hashContent(handle, before.stamp.size, signal);
    const after = await outerStamp(handle, path);
    if (!isSame(before.stamp, after.stamp)) throw changedError(path);
    const stamp = { ...before.stamp, sha256 };
    if (Date.now() - before.changedMs > SETTLED_MS) writeNote(note, stamp);
    return stamp;
  } finally {
    await handle.close();
  }
}

/** Where notes on files seen before lie: a stamp each, under the hash of the file's path. */
export function notesFolder(cacheDir: string): string {
  return join(cacheDir, "sources");
}

/** What is thrown when a source changes while it is read. */
export function changedError(path: string): QuarryError {
  return new QuarryError("ENVIRONMENT", `${path}: the file changed while it was being read.`, {
    hint: "Run again when nothing writes to it any more.",
    isRetryable: true,
  });
}

async function openSource(path: string): Promise<FileHandle> {
  try {
    // Opening a pipe that nobody writes to would wait for ever.
    if ((await stat(path)).isFile()) return await open(path, "r");
  } catch (thrown) {
    throw sourceError(path, thrown);
  }
  throw new QuarryError("CONFIG", `${path} is not a regular file.`, {
    hint: "Name a file: a source is read more than once, so a pipe or a device cannot be one.",
  });
}

type OuterStamp = Omit<SourceStamp, "sha256">;

async function outerStamp(handle: FileHandle, path: string): Promise<{ stamp: OuterStamp; changedMs: number }> {
  const { size, mtimeNs, ctimeNs, ino } = await handle.stat({ bigint: true });
  const newest = mtimeNs > ctimeNs ? mtimeNs : ctimeNs;
  return {
    stamp: { path, size: Number(size), mtimeNs: `${mtimeNs}`, ctimeNs: `${ctimeNs}`, inode: `${ino}` },
    changedMs: Number(newest / 1_000_000n),
  };
}

function isSame(one: OuterStamp, other: OuterStamp): boolean {
  return (
    one.path === other.path &&
    one.size === other.size &&
    one.mtimeNs === other.mtimeNs &&
    one.ctimeNs === other.ctimeNs &&
    one.inode === other.inode
  );
}

async function hashContent(handle: FileHandle, size: number, signal: AbortSignal | undefined): Promise<string> {
  const hash = createHash("sha256");
  const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, size + 1));
  for (let position = 0; ; ) {
    stopIfAborted(signal);
    const { bytesRead } = await handle.read(chunk, 0, chunk.byteLength, position);
    if (bytesRead === 0) return hash.digest("hex");
    hash.update(chunk.subarray(0, bytesRead));
    position += bytesRead;
  }
}

/** Notes only save time later, so a cache that cannot be written is no failure here. */
export function writeNote(note: string, value: unknown): void {
  try {
    makeFolder(dirname(note));
    replaceSealed(note, value);
  } catch {}
}
