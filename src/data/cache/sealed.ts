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
    const text = readFileSync(path, "utf8");
    const match = /^\{"crc32":(\d+),"value":([^]*)\}\n$/.exec(text);
    if (match === null || crc32(match[2] as string) !== Number(match[1])) return null;
    return JSON.parse(match[2] as string);
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
