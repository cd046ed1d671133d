/** The two checksums that every row carries, and that are compared when a row is first read. */
import { crc32 } from "node:zlib";

/** Starts a checksum, so that a page of zeros does not pass for an empty row. */
const SEED = 0x51f15e3d;
const NEWLINE = Uint8Array.of(10);
/** Up to this length a table in JavaScript is faster than a view and a call into zlib. */
const SHORT_BYTES = 16;

/** The crc32 of every single byte. */
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let sum = byte;
  for (let bit = 0; bit < 8; bit += 1) sum = (sum & 1) === 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1;
  return sum;
});

/** What most texts start from: no title. */
const UNTITLED = crc32(NEWLINE, SEED);

/** zlib's crc32 over [start, end) of `bytes`, going on from `before`; over nothing it is `before` (zlib gives 0 there). */
export function crc32Of(bytes: Uint8Array, start: number, end: number, before: number): number {
  if (end - start > SHORT_BYTES) return crc32(bytes.subarray(start, end), before);
  let sum = ~before;
  for (let at = start; at < end; at += 1) {
    sum = (sum >>> 8) ^ (TABLE[(sum ^ (bytes[at] as number)) & 0xff] as number);
  }
  return ~sum >>> 0;
}

/** Over an id, [start, end) of `bytes`, and its line. */
export function idChecksumOf(bytes: Uint8Array, start: number, end: number, line: number): number {
  return crc32Of(bytes, start, end, (line ^ SEED) >>> 0) | 0;
}

/** An id's checksum gone on over the record's own prompt or extras; without any it stays as it is. */
export function promptChecksumOf(check: number, bytes: Uint8Array, start: number, end: number): number {
  return crc32Of(bytes, start, end, check >>> 0) | 0;
}

/** What the checksum of a text goes on from: its title, [start, end) of `bytes`. */
export function titleChecksumOf(bytes: Uint8Array, start: number, end: number): number {
  return start === end ? UNTITLED : crc32Of(NEWLINE, 0, 1, crc32Of(bytes, start, end, SEED));
}

/** Over title and text; equal texts under equal titles have equal checksums. */
export function textChecksumOf(title: number, bytes: Uint8Array, start: number, end: number): number {
  return crc32Of(bytes, start, end, title) | 0;
}

/** Over id and line. */
export function idChecksum(id: Uint8Array, line: number): number {
  return idChecksumOf(id, 0, id.byteLength, line);
}

/** As textChecksumOf, over whole arrays. */
export function textChecksum(title: Uint8Array, text: Uint8Array): number {
  return textChecksumOf(titleChecksumOf(title, 0, title.byteLength), text, 0, text.byteLength);
}
