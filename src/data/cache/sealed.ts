/** Small JSON files with a checksum of their own: a damaged one reads as a missing one. */
import { closeSync, fsyncSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { crc32 } from "node:zlib";
import { isAbsent, readError } from "../failures.js";

/** Writes a value and its crc32, flushed to the disk; the file must not exist. */
export function writeSealed(path: string, value: unknown): void {
  const body = JSON.stringify(value);
  const fd = openSync(path, "wx", 0o644);
  try {
    writeFileSync(fd, `{"crc32":${crc32(body)},"value":${body}}\n`);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * The value of a sealed file, or null when the file is missing or damaged.
 *
 * @throws QuarryError ENVIRONMENT when it cannot be read: it may be sound, and must not be taken for damaged.
 */
export function readSealed(path: string): unknown {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (thrown) {
    if (isAbsent(thrown)) return null;
    throw readError(path, thrown);
  }
  try {
    const text = bytes.toString("utf8");
    const [, prefix = "", sum, body] = /^(\{"crc32":(\d+),"value":)([^]*)\}\n$/.exec(text) ?? [];
    // The sum is over the bytes: several damaged ones may decode to one and the same character.
    const start = Buffer.byteLength(prefix);
    if (body === undefined || crc32(bytes.subarray(start, bytes.byteLength - 2)) !== Number(sum)) return null;
    return JSON.parse(body);
  } catch {
    return null;
  }
}

/** As readSealed, for a note that only saves time: null as well where it cannot be read. */
export function readNote(path: string): unknown {
  try {
    return readSealed(path);
  } catch {
    return null;
  }
}

/** Makes a rename or a new file in a folder survive a loss of power. */
export function syncFolder(folder: string): void {
  const fd = openSync(folder, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
