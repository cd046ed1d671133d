/** A set of row numbers, one bit a row. */
export class RowSet {
  readonly #bits: Uint8Array;

  constructor(rows: Int32Array, rowCount: number) {
    this.#bits = new Uint8Array((rowCount + 7) >> 3);
    for (const row of rows) this.#bits[row >> 3] = (this.#bits[row >> 3] as number) | (1 << (row & 7));
  }

  has(row: number): boolean {
    return ((this.#bits[row >> 3] as number) & (1 << (row & 7))) !== 0;
  }
}
