/** Which row of a source's own table stands for a query of the common numbering, and the other way round. */
import type { TablePart } from "../texts/gather.js";
import type { StoredTexts } from "../texts/stored-texts.js";
import type { TextPool } from "../texts/text-pool.js";

/**
 * Queries are the same where their ids are. A query that several tables of the pool hold has the number that the first
 * of them gives it.
 */
export class QueryLinks {
  constructor(
    private readonly pool: TextPool,
    private readonly own: StoredTexts,
  ) {}

  /** The row of a query in the source's own table, or -1. */
  rowOf(query: number): number {
    const part = this.pool.parts.findLast(({ offset }) => query >= offset);
    if (part === undefined || query >= part.offset + part.table.rowCount) return -1;
    return rowOfSame(part.table, query - part.offset, this.own);
  }

  /** The number of the query that stands in a row of the source's own table. */
  numberOf(row: number): number {
    for (const { table, offset } of this.pool.parts) {
      const found = rowOfSame(this.own, row, table);
      if (found !== -1) return offset + found;
    }
    throw new RangeError(`query row ${row} has no number: its table is not in the pool`);
  }

  /** True while numbers are rows: the source's table is the first one of the pool. */
  get isIdentity(): boolean {
    return this.pool.parts[0]?.table.fingerprint === this.own.fingerprint;
  }
}

/** Rows of the pool whose query has a number already, from a table before theirs; with both tables. */
export function* repeatedQueries(pool: TextPool): Generator<{ number: number; part: TablePart; first: TablePart }> {
  for (const [at, part] of pool.parts.entries()) {
    const before = pool.parts.slice(0, at);
    if (before.length === 0) continue;
    for (let row = 0; row < part.table.rowCount; row += 1) {
      const first = before.find((other) => rowOfSame(part.table, row, other.table) !== -1);
      if (first !== undefined) yield { number: part.offset + row, part, first };
    }
  }
}

/** The row of the same query (by id) in another table, or -1. */
export function rowOfSame(from: StoredTexts, row: number, to: StoredTexts): number {
  if (from.fingerprint === to.fingerprint) return row;
  const id = from.idBytes(row);
  return to.rowOfBytes(id, 0, id.byteLength);
}
