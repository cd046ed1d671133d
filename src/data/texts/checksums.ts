/** The two checksums that every row carries, and that are compared when a row is first read. */
import { crc32 } from "node:zlib";

/** Starts a checksum, so that a page of zeros does not pass for an empty row. */
const SEED = 0x51f15e3d;
const NEWLINE = Uint8Array.of(10);

/** Over id and line. */
export function idChecksum(id: Uint8Array, line: number): number {
  return crc32(id, (line ^ SEED) >>> 0) | 0;
}

/** Over title and text; equal texts under equal titles have equal checksums. */
export function textChecksum(title: Uint8Array, text: Uint8Array): number {
  return crc32(text, crc32(NEWLINE, crc32(title, SEED))) | 0;
}
