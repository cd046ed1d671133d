/** Bytes that carry their own checksum: eight letters that name the format, a crc32, and the body that it covers. */
import { crc32 } from "node:zlib";

const SUM_AT = 8;
const BODY_AT = 12;

/** Numbers are little endian on every machine Node runs Quarry on. */
type Part = Uint8Array | Int32Array | Float32Array;

/** Frames a body that is given in parts. Rename keeps half files away; the sum catches flipped bits. */
export function checkedBytes(magic: string, ...parts: readonly Part[]): Buffer {
  const body = parts.map(({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength));
  const bytes = Buffer.concat([Buffer.from(magic, "latin1"), Buffer.alloc(BODY_AT - SUM_AT), ...body]);
  bytes.writeUInt32LE(crc32(bytes.subarray(BODY_AT)), SUM_AT);
  return bytes;
}

/** The body, without a copy; null where the bytes are of another format or damaged. */
export function bodyOf(magic: string, bytes: Buffer): Buffer | null {
  if (bytes.length <= BODY_AT || bytes.toString("latin1", 0, SUM_AT) !== magic) return null;
  const body = bytes.subarray(BODY_AT);
  return crc32(body) === bytes.readUInt32LE(SUM_AT) ? body : null;
}
