/** The vectors of some rows of a table, in their order, read from the store's shards when they are asked for. */
import { ArrowLayout } from "./arrow-layout.js";
import type { EmbeddingStore, Places } from "./store.js";

/** A list of units that a pool takes (UnitList of src/pool/types.ts). */
export interface VectorUnits {
  readonly count: number;
  id(index: number): string;
  rowCount(index: number): number;
  rows(index: number): Int32Array;
  frame(index: number): Uint8Array;
}

/** Vectors in one unit of a search; a unit's scores depend on the unit, so this is part of what a result depends on. */
const UNIT_ROWS = 8_192;
/** But no more bytes than this: several units wait in the memory of each worker. */
const UNIT_BYTES = 16 << 20;

export class VectorView {
  readonly rowCount: number;
  readonly #layout: ArrowLayout;

  /** @param places one for each row, none of them missing. */
  constructor(
    private readonly store: EmbeddingStore,
    private readonly rows: Int32Array,
    private readonly places: Places,
  ) {
    this.rowCount = rows.length;
    this.#layout = ArrowLayout.ofUnit(store.dtype, store.dimension);
  }

  get dtype(): EmbeddingStore["dtype"] {
    return this.store.dtype;
  }

  get dimension(): number {
    return this.store.dimension;
  }

  /** Rows of a unit for vectors of this size: a power of two. */
  get unitRows(): number {
    let rows = UNIT_ROWS;
    while (rows > 1 && rows * this.store.vectorBytes > UNIT_BYTES) rows /= 2;
    return rows;
  }

  /**
   * Units of work for a search.
   *
   * @param idRanks rank of each row's id, for ties.
   */
  units(idRanks: Int32Array, prefix: string): VectorUnits {
    const size = this.unitRows;
    const count = Math.ceil(this.rowCount / size);
    const rowsOf = (index: number): Int32Array => this.rows.subarray(index * size, (index + 1) * size);
    return {
      count,
      id: (index) => `${prefix}-${index}`,
      rowCount: (index) => rowsOf(index).length,
      rows: rowsOf,
      frame: (index) => {
        const frame = this.#frame(index * size, rowsOf(index), idRanks);
        this.#prefetch((index + 1) * size, (index + 2) * size);
        return frame;
      },
    };
  }

  /** Vectors [from, to) as they are kept, one behind the other, with the scales of int8. */
  read(from: number, to: number): { readonly bytes: Uint8Array<ArrayBuffer>; readonly scales: Float32Array | null } {
    const count = to - from;
    const bytes = new Uint8Array(count * this.store.vectorBytes);
    const scales = this.dtype === "int8" ? new Float32Array(count) : null;
    this.#copy(from, count, bytes, 0, scales === null ? null : new Uint8Array(scales.buffer), 0);
    return { bytes, scales };
  }

  /** @throws QuarryError INTEGRITY when a vector is damaged. */
  #frame(from: number, rows: Int32Array, idRanks: Int32Array): Uint8Array {
    const { bytes, starts } = this.#layout.frame(rows.length);
    new Int32Array(bytes.buffer, starts[0], rows.length).set(rows);
    const ranks = new Int32Array(bytes.buffer, starts[1], rows.length);
    for (let at = 0; at < rows.length; at += 1) ranks[at] = idRanks[rows[at] as number] as number;
    const scales = this.dtype === "int8" ? bytes : null;
    this.#copy(from, rows.length, bytes, starts[2] as number, scales, starts[3] ?? 0);
    return bytes;
  }

  #copy(
    from: number,
    count: number,
    target: Uint8Array,
    start: number,
    scales: Uint8Array | null,
    scaleStart: number,
  ): void {
    const { shards, vectorBytes } = this.store;
    for (const shard of shards) shard.checkLength();
    for (let at = 0; at < count; at += 1) {
      const shard = shards[this.places.shards[from + at] as number];
      const row = this.places.rows[from + at] as number;
      if (shard === undefined) throw new RangeError("the store was loaded anew under a view");
      shard.copy(row, 1, vectorBytes, target, start + at * vectorBytes);
      if (scales !== null) shard.copy(row, 2, 4, scales, scaleStart + at * 4);
    }
  }

  #prefetch(from: number, to: number): void {
    let last = -1;
    for (let at = from; at < Math.min(to, this.rowCount); at += 1) {
      const number = this.places.shards[at] as number;
      const row = this.places.rows[at] as number;
      // Neighbours mostly lie in different blocks; asking once for each block would need a set, asking twice is cheap.
      if (number * 2 ** 31 + row === last + 1) {
        last += 1;
        continue;
      }
      last = number * 2 ** 31 + row;
      this.store.shards[number]?.prefetch(row);
    }
  }
}
