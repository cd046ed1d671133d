/** Writes stored vectors into files that other programs read; block by block, so that no matrix is ever whole in memory. */
import type { VectorView } from "../embeddings/index.js";
import { writeFileDurably } from "../rundir/durable.js";
import { type NpyType, npyHeader } from "./npy.js";

/** Vectors read at a time. */
const BLOCK_ROWS = 4_096;

/**
 * Writes a matrix that numpy.load reads.
 *
 * @param scales file for the scales of int8; written only for those: vector ≈ scale × codes
 * @returns whether there are scales
 */
export async function exportNpy(view: VectorView, path: string, scales: string): Promise<boolean> {
  const { rowCount, dimension, dtype } = view;
  // NumPy knows no bfloat16, so its vectors are widened, which changes none.
  const type = { float32: "<f4", float16: "<f2", bfloat16: "<f4", int8: "|i1" }[dtype] as NpyType;
  await writeNpy(path, type, [rowCount, dimension], function* () {
    for (let from = 0; from < rowCount; from += BLOCK_ROWS) {
      const { bytes } = view.read(from, Math.min(rowCount, from + BLOCK_ROWS));
      yield dtype === "bfloat16" ? widened(bytes) : bytes;
    }
  });
  if (dtype !== "int8") return false;
  await writeNpy(scales, "<f4", [rowCount], function* () {
    for (let from = 0; from < rowCount; from += BLOCK_ROWS) {
      const { scales: part } = view.read(from, Math.min(rowCount, from + BLOCK_ROWS));
      if (part !== null) yield new Uint8Array(part.buffer, part.byteOffset, part.byteLength);
    }
  });
  return true;
}

/** Writes an array in C order from its bytes; it appears when it is whole. */
export async function writeNpy(
  path: string,
  type: NpyType,
  shape: readonly number[],
  blocks: () => Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  await writeFileDurably(path, async (file) => {
    await file.write(npyHeader(type, shape));
    for await (const block of blocks()) await file.write(block);
  });
}

/** The upper halves of float32 numbers become those numbers. */
function widened(bytes: Uint8Array<ArrayBuffer>): Uint8Array {
  const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
  const words = new Uint32Array(halves.length);
  for (let at = 0; at < halves.length; at += 1) words[at] = (halves[at] as number) << 16;
  return new Uint8Array(words.buffer);
}
