/** The vectors of some rows of a table, in their order, read from the store's shards when they are asked for. */
import type { TextUnits } from "../data/units.js";
import { ArrowLayout } from "./arrow-layout.js";
import type { OpenShard } from "./open-shard.js";
import type { EmbeddingStore } from "./store.js";
import type { KeptPlaces } from "./stored-places.js";

/** Units that may also be given as places in files, for workers that see them. */
export interface VectorUnits extends TextUnits {
  readonly placed?: {
    readonly files: readonly string[];
    frame(index: number): Uint8Array;
  };
}

/** Vectors in one unit of a search; a unit's scores depend on the unit, so this is part of what a result depends on. */
const UNIT_ROWS = 8_192;
/** But no more bytes than this: several units wait in the memory of each worker. */
const UNIT_BYTES = 16 << 20;

/** More files than these are not named to a worker. */
const MOST_FILES = 1_000;
/** Where places in a file end that an int32 can name. */
const MOST_FILE_BYTES = 2 ** 31;

/** Vectors that lie side by side: places [at, at + count) of a list, rows [row, row + count) of a shard. */
interface Run {
  readonly shard: number;
  readonly row: number;
  readonly at: number;
  readonly count: number;
}

export class VectorView {
  readonly rowCount: number;
  readonly #layout: ArrowLayout;
  readonly #placesLayout: ArrowLayout;

  /** @param places one for each row, none of them missing; `order` is that of units, all places once. */
  constructor(
    private readonly store: EmbeddingStore,
    private readonly rows: Int32Array,
    private readonly places: KeptPlaces,
  ) {
    this.rowCount = rows.length;
    this.#layout = ArrowLayout.ofUnit(store.dtype, store.dimension);
    this.#placesLayout = ArrowLayout.ofPlaces(store.dtype);
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
    const listOf = (index: number): Int32Array => this.places.order.subarray(index * size, (index + 1) * size);
    const rowsOf = (index: number): Int32Array => listOf(index).map((at) => this.rows[at] as number);
    const readingAhead = (index: number, frame: Uint8Array): Uint8Array => {
      for (const { shard, row, count } of this.#runs(listOf(index + 1))) this.#shard(shard).prefetch(row, count);
      return frame;
    };
    const { shards } = this.store;
    const isPlaced = shards.length <= MOST_FILES && shards.every(({ fileBytes }) => fileBytes < MOST_FILE_BYTES);
    return {
      count,
      id: (index) => `${prefix}-${index}`,
      rowCount: (index) => listOf(index).length,
      rows: rowsOf,
      frame: (index) => readingAhead(index, this.#frame(listOf(index), rowsOf(index), idRanks)),
      ...(isPlaced && {
        placed: {
          files: shards.map(({ path }) => path),
          frame: (index) => readingAhead(index, this.#placesFrame(listOf(index), rowsOf(index), idRanks)),
        },
      }),
    };
  }

  /** Vectors [from, to) as they are kept, one behind the other, with the scales of int8. */
  read(from: number, to: number): { readonly bytes: Uint8Array<ArrayBuffer>; readonly scales: Float32Array | null } {
    const count = to - from;
    const bytes = new Uint8Array(count * this.store.vectorBytes);
    const scales = this.dtype === "int8" ? new Float32Array(count) : null;
    const list = Int32Array.from({ length: count }, (_, at) => from + at);
    this.#copy(list, bytes, 0, scales === null ? null : new Uint8Array(scales.buffer), 0);
    return { bytes, scales };
  }

  /** @throws QuarryError INTEGRITY when a vector is damaged. */
  #frame(list: Int32Array, rows: Int32Array, idRanks: Int32Array): Uint8Array {
    const { bytes, starts } = this.#layout.frame(rows.length);
    setNumbers(bytes, starts, rows, idRanks);
    const scales = this.dtype === "int8" ? bytes : null;
    this.#copy(list, bytes, starts[2] as number, scales, starts[3] ?? 0);
    return bytes;
  }

  /** @throws QuarryError INTEGRITY when a vector is damaged. */
  #placesFrame(list: Int32Array, rows: Int32Array, idRanks: Int32Array): Uint8Array {
    const { bytes, starts } = this.#placesLayout.frame(rows.length);
    setNumbers(bytes, starts, rows, idRanks);
    const [files, offsets, scaleOffsets] = starts
      .slice(2)
      .map((start) => new Int32Array(bytes.buffer, start, rows.length)) as [Int32Array, Int32Array, Int32Array?];
    this.#checkLengths();
    for (const { shard, row, at, count } of this.#runs(list)) {
      files.fill(shard, at, at + count);
      this.#shard(shard).offsets(row, count, 1, this.store.vectorBytes, offsets, at);
      if (scaleOffsets !== undefined) this.#shard(shard).offsets(row, count, 2, 4, scaleOffsets, at);
    }
    return bytes;
  }

  #checkLengths(): void {
    for (const shard of this.store.shards) shard.checkLength();
  }

  #copy(list: Int32Array, target: Uint8Array, start: number, scales: Uint8Array | null, scaleStart: number): void {
    const { vectorBytes } = this.store;
    this.#checkLengths();
    for (const { shard, row, at, count } of this.#runs(list)) {
      this.#shard(shard).copy(row, count, 1, vectorBytes, target, start + at * vectorBytes);
      if (scales !== null) this.#shard(shard).copy(row, count, 2, 4, scales, scaleStart + at * 4);
    }
  }

  /** Where the vectors of a list of places lie, as few runs as there can be. */
  *#runs(list: Int32Array): Generator<Run> {
    const { shards, rows } = this.places;
    for (let at = 0; at < list.length; ) {
      const shard = shards[list[at] as number] as number;
      const row = rows[list[at] as number] as number;
      let count = 1;
      for (; at + count < list.length; count += 1) {
        const next = list[at + count] as number;
        if (shards[next] !== shard || rows[next] !== row + count) break;
      }
      yield { shard, row, at, count };
      at += count;
    }
  }

  #shard(number: number): OpenShard {
    const shard = this.store.shards[number];
    if (shard === undefined) throw new RangeError("the store was loaded anew under a view");
    return shard;
  }
}

/** The columns that every unit begins with: rows and the ranks of their ids. */
function setNumbers(bytes: Uint8Array<ArrayBuffer>, starts: readonly number[], rows: Int32Array, idRanks: Int32Array) {
  new Int32Array(bytes.buffer, starts[0], rows.length).set(rows);
  const ranks = new Int32Array(bytes.buffer, starts[1], rows.length);
  for (let at = 0; at < rows.length; at += 1) ranks[at] = idRanks[rows[at] as number] as number;
}
