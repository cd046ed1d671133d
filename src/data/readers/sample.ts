/** Takes the sample that formats are recognised by: the first 64 KiB of a file, uncompressed. */
import { closeSync, openSync, readSync } from "node:fs";
import { constants, gunzipSync } from "node:zlib";
import { sourceError, systemCode } from "../failures.js";
import type { Sample } from "./reader.js";

const HEAD_BYTES = 1 << 16;
/** Of a gzip file: text packs to a third or less, and unpacking it all would cost more than it tells. */
const PACKED_BYTES = 1 << 14;
const LINE_LIMIT = 100;

/** Whether bytes begin as gzip does, whatever the file is called. */
export function isGzip(head: Uint8Array): boolean {
  return head[0] === 0x1f && head[1] === 0x8b;
}

/**
 * The first bytes of a file as they lie on the disk; fewer when it is shorter.
 *
 * @throws QuarryError CONFIG when there is no such file, DATA when it cannot be read.
 */
export function firstBytes(path: string, count: number): Buffer {
  try {
    const file = openSync(path, "r");
    try {
      const bytes = Buffer.alloc(count);
      return bytes.subarray(0, readSync(file, bytes, 0, count, 0));
    } finally {
      closeSync(file);
    }
  } catch (thrown) {
    throw systemCode(thrown) === "" ? thrown : sourceError(path, thrown);
  }
}

/** The sample of a file; what is damaged shows as an empty head and is told when the file is read. */
export function takeSample(path: string): Sample {
  const name = path.toLowerCase().replace(/\.gz$/, "");
  const raw = firstBytes(path, HEAD_BYTES + 1);
  const isPacked = isGzip(raw);
  const head = isPacked ? unpack(raw.subarray(0, PACKED_BYTES)) : raw;
  const hasMark = head[0] === 0xef && head[1] === 0xbb && head[2] === 0xbf;
  const isCut = head.byteLength > HEAD_BYTES || (isPacked && raw.byteLength > PACKED_BYTES);
  return { name, head: head.subarray(hasMark ? 3 : 0, HEAD_BYTES), isCut };
}

function unpack(packed: Buffer): Buffer {
  try {
    return unpacked(packed);
  } catch {
    return Buffer.alloc(0);
  }
}

// A sync flush gives what there is, although the data are cut.
const unpacked = (packed: Buffer): Buffer => gunzipSync(packed, { finishFlush: constants.Z_SYNC_FLUSH });

/** The code of what is wrong with the beginning of a gzip file; "" where nothing is, or it is none. */
export function gzipFault(path: string): string {
  const packed = firstBytes(path, PACKED_BYTES);
  try {
    if (isGzip(packed)) unpacked(packed);
    return "";
  } catch (thrown) {
    return systemCode(thrown);
  }
}

const known = new WeakMap<Sample, readonly string[]>();

/** The sample's first 100 lines that are whole and not empty, without their ends; a cut one when there is no other. */
export function sampleLines(sample: Sample): readonly string[] {
  const before = known.get(sample);
  if (before !== undefined) return before;
  const lines = sample.head.toString("utf8").split("\n", LINE_LIMIT + 1);
  if (lines.length > 1 && (sample.isCut || lines.length > LINE_LIMIT)) lines.pop();
  const whole = lines.map((line) => line.replace(/\r$/, "")).filter((line) => line.trim() !== "");
  known.set(sample, whole);
  return whole;
}

/** The cells of each sampled line as cutAtWhiteSpace cuts them: ids may hold blanks beyond ASCII, at which \s and trim cut. */
export function sampleCells(sample: Sample): string[][] {
  return sampleLines(sample).map((line) => line.split(/[ \t\v\f]+/).filter((cell) => cell !== ""));
}

/** The first byte that is no white space, or -1. */
export function firstByte(sample: Sample): number {
  return sample.head.find((byte) => byte > 0x20) ?? -1;
}
