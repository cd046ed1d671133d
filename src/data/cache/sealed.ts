/** Small JSON files with a checksum of their own: a damaged one reads as a missing one. */
import { randomBytes } from "node:crypto";
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { crc32 } from "node:zlib";
import { isAbsent, readError } from "../failures.js";
import { removeQuietly } from "./folder.js";

/** Writes a value and its crc32, flushed to the disk; the file must not exist. */
export function writeSealed(path: string, value: unknown): void {
  const body = JSON.stringify(value);
  writeFileSync(path, `{"crc32":${crc32(body)},"value":${body}}\n`, { flag: "wx", mode: 0o644, flush: true });
}

/** As writeSealed, also where there is one already: a reader finds the old value or the new one, whole. */
export function replaceSealed(path: string, value: unknown): void {
  const temporary = `${path}.${randomBytes(8).toString("hex")}`;
  try {
    writeSealed(temporary, value);
    renameSync(temporary, path);
  } catch (thrown) {
    removeQuietly(temporary);
    throw thrown;
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
