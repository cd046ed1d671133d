/** Raw tensors in binary frames: little endian, C order, described by a TensorSpec. */
import type { TensorSpec } from "./messages.js";
import { protocolError } from "./scan.js";

const ITEM_BYTES = { float32: 4, float16: 2, bfloat16: 2, int32: 4, int8: 1, uint8: 1 } as const;

/**
 * Describes a tensor that lies in binary frame `frameIndex` (from 1).
 *
 * @example
 * encodeMessage({ type: "queries", firstRow: 0, tensor: tensor("float32", [8, 384], 1) }, [bytes]);
 */
export function tensor(dtype: TensorSpec["dtype"], shape: readonly number[], frameIndex: number): TensorSpec {
  return { dtype, shape: [...shape], frame: frameIndex };
}

/** The bytes of a typed array, without a copy; they are little endian on every machine Node runs Quarry on. */
export function bytesOf(array: Float32Array | Int32Array | Uint8Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/**
 * A floating-point tensor as float32; float16 and bfloat16 are widened exactly.
 *
 * @throws QuarryError PROTOCOL when the frame is missing, has another size, or holds integers.
 */
export function toFloat32(spec: TensorSpec, frames: readonly Uint8Array[]): Float32Array {
  const bytes = frameOf(spec, frames);
  if (spec.dtype === "float32") return new Float32Array(...aligned(bytes, 4));
  if (spec.dtype === "bfloat16") {
    const halves = new Uint16Array(...aligned(bytes, 2));
    const words = new Uint32Array(halves.length);
    for (let index = 0; index < halves.length; index += 1) words[index] = (halves[index] as number) << 16;
    return new Float32Array(words.buffer);
  }
  if (spec.dtype === "float16") {
    const table = float16Table();
    const halves = new Uint16Array(...aligned(bytes, 2));
    const values = new Float32Array(halves.length);
    for (let index = 0; index < halves.length; index += 1) values[index] = table[halves[index] as number] as number;
    return values;
  }
  throw protocolError(`a tensor of ${spec.dtype} stands where floating-point numbers belong`);
}

/**
 * An int32 tensor.
 *
 * @throws QuarryError PROTOCOL when the frame is missing, has another size, or another type.
 */
export function toInt32(spec: TensorSpec, frames: readonly Uint8Array[]): Int32Array {
  const bytes = frameOf(spec, frames);
  if (spec.dtype !== "int32") throw protocolError(`a tensor of ${spec.dtype} stands where int32 belongs`);
  return new Int32Array(...aligned(bytes, 4));
}

/**
 * The bytes of a tensor as they came.
 *
 * @throws QuarryError PROTOCOL when the frame is missing or has another size.
 */
export function toBytes(spec: TensorSpec, frames: readonly Uint8Array[]): Uint8Array {
  return frameOf(spec, frames);
}

function frameOf(spec: TensorSpec, frames: readonly Uint8Array[]): Uint8Array {
  const bytes = frames[spec.frame - 1];
  if (bytes === undefined) throw protocolError(`a tensor lies in frame ${spec.frame}, of ${frames.length}`);
  const size = spec.shape.reduce((product, side) => product * side, ITEM_BYTES[spec.dtype]);
  if (bytes.byteLength !== size) {
    throw protocolError(`a tensor [${spec.shape.join(", ")}] of ${spec.dtype} lies in ${bytes.byteLength} bytes`);
  }
  return bytes;
}

/** Arguments of a typed array over these bytes; copied only when they do not start on a multiple of the item's size. */
function aligned(bytes: Uint8Array, itemBytes: number): [ArrayBuffer, number, number] {
  const source = bytes.byteOffset % itemBytes === 0 ? bytes : new Uint8Array(bytes);
  return [source.buffer as ArrayBuffer, source.byteOffset, source.byteLength / itemBytes];
}

let halves: Float32Array | undefined;

/** Every float16 as float32: 256 KiB, built on first use (Node 20 has no Float16Array). */
function float16Table(): Float32Array {
  if (halves !== undefined) return halves;
  const table = new Float32Array(65_536);
  for (let bits = 0; bits < 65_536; bits += 1) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 0x1f;
    const fraction = bits & 0x3ff;
    if (exponent === 0) table[bits] = sign * fraction * 2 ** -24;
    else if (exponent === 31) table[bits] = fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
    else table[bits] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }
  halves = table;
  return table;
}
