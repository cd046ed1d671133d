/** Small JSON files with a checksum of their own: a damaged one reads as a missing one. */
import { closeSync, fsyncSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { crc32 } from "node:zlib";

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

/** The value of a sealed file, or null when the file is missing, unreadable or damaged. */
export function readSealed(path: string): unknown {
  try {
    const bytes = readFileSync(path);
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

/** Makes a rename or a new file in a folder survive a loss of power. */
export function syncFolder(folder: string): void {
  const fd = openSync(folder, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
