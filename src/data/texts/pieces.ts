/** Columns of strings in the making, and the Arrow IPC stream that they become. */
import { QuarryError } from "../../errors.js";
import { type ColumnShape, frameBatch } from "./ipc-stream.js";

const MAX_BYTES = 0x7fffffff;

/**
 * An Arrow IPC stream of one batch with row:int32, idRank:int32 and the columns of strings: title, text, and what comes
 * behind them.
 *
 * @param idRanks zeros where nobody asks.
 * @throws QuarryError CONFIG when a column takes 2 GiB or more.
 */
export function frameTexts(rows: Int32Array, idRanks: Int32Array | null, strings: readonly Pieces[]): Uint8Array {
  const count = rows.length;
  if (strings.some(({ byteLength }) => byteLength > MAX_BYTES)) {
    throw new QuarryError("CONFIG", `${count} texts make more than 2 GiB.`, {
      hint: "Make units (--workers.unitSize) or batches smaller, or cut long texts into passages.",
    });
  }
  const numeric: ColumnShape = { nullCount: 0, byteLengths: [0, count * 4] };
  const { bytes, starts } = frameBatch(count, [numeric, numeric, ...strings.map((column) => column.shape())]);
  new Int32Array(bytes.buffer, starts[1], count).set(rows);
  if (idRanks !== null) new Int32Array(bytes.buffer, starts[3], count).set(idRanks);
  for (const [index, column] of strings.entries()) column.write(bytes, starts.slice(4 + index * 3, 7 + index * 3));
  return bytes;
}

/** A column of strings in the making; null stands for a missing one. */
export class Pieces {
  readonly #pieces: (Uint8Array | null)[];
  #nullCount = 0;
  byteLength = 0;

  constructor(count: number) {
    this.#pieces = new Array<Uint8Array | null>(count);
  }

  put(at: number, piece: Uint8Array | null): void {
    this.#pieces[at] = piece;
    if (piece === null) this.#nullCount += 1;
    else this.byteLength += piece.byteLength;
  }

  shape(): ColumnShape {
    const count = this.#pieces.length;
    const bitmapBytes = this.#nullCount === 0 ? 0 : Math.ceil(count / 8);
    return { nullCount: this.#nullCount, byteLengths: [bitmapBytes, (count + 1) * 4, this.byteLength] };
  }

  /** @param starts of bitmap, offsets and bytes in `target`. */
  write(target: Uint8Array<ArrayBuffer>, [bitmap = 0, offsetsStart = 0, start = 0]: readonly number[]): void {
    const count = this.#pieces.length;
    const offsets = new Int32Array(target.buffer, offsetsStart, count + 1);
    let end = 0;
    for (let at = 0; at < count; at += 1) {
      const piece = this.#pieces[at] as Uint8Array | null;
      if (piece !== null && piece.byteLength > 0) {
        target.set(piece, start + end);
        end += piece.byteLength;
      }
      offsets[at + 1] = end;
      if (piece !== null && this.#nullCount > 0) {
        const byte = bitmap + (at >> 3);
        target[byte] = (target[byte] as number) | (1 << (at & 7));
      }
    }
  }
}
