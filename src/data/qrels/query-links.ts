/** Which row of a source's own table stands for a query of the common numbering, and the other way round. */
import type { TablePart } from "../texts/gather.js";
import type { StoredTexts } from "../texts/stored-texts.js";
import type { TextPool } from "../texts/text-pool.js";

/**
 * Queries are the same where their ids are. A query that several tables of the pool hold has the number that the first
 * of them gives it.
 */
export class QueryLinks {
  /** For each part of the pool: whether its table is `own`, so that rows are equal and no id is looked up. */
  readonly #isOwn: boolean[] = [];

  constructor(
    private readonly pool: TextPool,
    private readonly own: StoredTexts,
  ) {}

  /** The row of a query in the source's own table, or -1. */
  rowOf(query: number): number {
    const parts = this.pool.parts;
    let home = parts.length - 1;
    while (home >= 0 && query < (parts[home]?.offset ?? 0)) home -= 1;
    const part = parts[home];
    if (part === undefined || query >= part.offset + part.table.rowCount) return -1;
    const row = query - part.offset;
    return this.#isOwnPart(home) ? row : find(part.table, row, this.own);
  }

  /** The number of the query that stands in a row of the source's own table. */
  numberOf(row: number): number {
    const parts = this.pool.parts;
    for (let index = 0; index < parts.length; index += 1) {
      const part = parts[index] as (typeof parts)[number];
      const found = this.#isOwnPart(index) ? row : find(this.own, row, part.table);
      if (found !== -1) return part.offset + found;
    }
    throw new RangeError(`query row ${row} has no number: its table is not in the pool`);
  }

  /** True while numbers are rows: the source's table is the first one of the pool. */
  get isIdentity(): boolean {
    return this.pool.parts.length > 0 && this.#isOwnPart(0);
  }

  #isOwnPart(index: number): boolean {
    // The pool may grow after the source was opened, so parts are looked at when they are first met.
    this.#isOwn[index] ??= this.pool.parts[index]?.table.fingerprint === this.own.fingerprint;
    return this.#isOwn[index];
  }
}

/** Rows of the pool whose query has a number already, from a table before theirs; with both tables. */
export function* repeatedQueries(pool: TextPool): Generator<{ number: number; part: TablePart; first: TablePart }> {
  for (const [at, part] of pool.parts.entries()) {
    const before = pool.parts.slice(0, at);
    if (before.length === 0) continue;
    for (let row = 0; row < part.table.rowCount; row += 1) {
      const first = before.find((other) => find(part.table, row, other.table) !== -1);
      if (first !== undefined) yield { number: part.offset + row, part, first };
    }
  }
}

function find(from: StoredTexts, row: number, to: StoredTexts): number {
  const id = from.idBytes(row);
  return to.rowOfBytes(id, 0, id.byteLength);
}
