/** Ids over several tables: what tells equal ones apart in run files, and their common order. */
import { keepRows } from "../rows.js";
import type { TablePart } from "./gather.js";
import { areEqual } from "./id-hash.js";

/**
 * An id stays as it is where no other table has it; else it stands behind the name of its table and a colon. An id that
 * begins like that by itself is qualified as well, so no two rows share one.
 */
export class QualifiedIds {
  readonly #prefixes: readonly Buffer[];

  /** @param names one for each part, all different, without white space and colons. */
  constructor(
    private readonly parts: readonly TablePart[],
    names: readonly string[],
  ) {
    this.#prefixes = names.map((name) => Buffer.from(`${name}:`, "utf8"));
  }

  /** The id of a part's row as UTF-8 bytes; not to be written to. */
  bytes(part: number, row: number): Uint8Array {
    const id = (this.parts[part] as TablePart).table.idBytes(row);
    return this.#isPlain(part, id) ? id : Buffer.concat([this.#prefixes[part] as Buffer, id]);
  }

  /** The row, in the parts' numbering, whose qualified id this is, or -1. */
  rowOf(id: Uint8Array): number {
    const named = this.#prefixes.findIndex((prefix) => beginsWith(id, prefix));
    const own = id.subarray(this.#prefixes[named]?.byteLength ?? 0);
    for (const [part, { table, offset }] of this.parts.entries()) {
      if (named !== -1 && named !== part) continue;
      const row = table.rowOfBytes(own, 0, own.byteLength);
      if (row !== -1 && this.#isPlain(part, own) === (named === -1)) return row + offset;
    }
    return -1;
  }

  /**
   * The rank of each row's qualified id among all, in the parts' numbering: merges the orders that the tables have, for
   * prefixes leave the order within a table as it is.
   */
  ranks(): Int32Array {
    const total = this.parts.reduce((sum, { table }) => sum + table.rowCount, 0);
    const ranks = new Int32Array(total);
    const lists = this.parts.flatMap((_, part) => this.#sorted(part)).filter(({ rows }) => rows.length > 0);
    for (const list of lists) this.#step(list);
    for (let rank = 0; rank < total; rank += 1) {
      let least = lists[0] as Sorted;
      for (const list of lists)
        if (list.head !== null && (least.head === null || isBefore(list.head, least.head))) least = list;
      ranks[(this.parts[least.part] as TablePart).offset + (least.rows[least.at - 1] as number)] = rank;
      this.#step(least);
    }
    return ranks;
  }

  #isPlain(part: number, id: Uint8Array): boolean {
    if (this.#prefixes.some((prefix) => beginsWith(id, prefix))) return false;
    return this.parts.every(({ table }, other) => other === part || table.rowOfBytes(id, 0, id.byteLength) === -1);
  }

  /** Rows of a part by id: those that stay as they are, and those that are qualified. */
  #sorted(part: number): Sorted[] {
    const { table } = this.parts[part] as TablePart;
    const order = new Int32Array(table.rowCount);
    for (let row = 0; row < order.length; row += 1) order[table.idRanks[row] as number] = row;
    const isPlain = new Uint8Array(table.rowCount);
    for (let row = 0; row < order.length; row += 1) isPlain[row] = this.#isPlain(part, table.idBytes(row)) ? 1 : 0;
    const list = (rows: Int32Array, prefix: Buffer | null): Sorted => ({ part, rows, prefix, at: 0, head: null });
    return [
      list(
        keepRows(order, (row) => isPlain[row] === 1),
        null,
      ),
      list(
        keepRows(order, (row) => isPlain[row] === 0),
        this.#prefixes[part] as Buffer,
      ),
    ];
  }

  #step(list: Sorted): void {
    const row = list.rows[list.at];
    list.at += 1;
    if (row === undefined) {
      list.head = null;
      return;
    }
    const id = (this.parts[list.part] as TablePart).table.idBytes(row);
    list.head = list.prefix === null ? id : Buffer.concat([list.prefix, id]);
  }
}

/** Rows in the order of their ids, and the id of the row before `at`; null behind the last. */
interface Sorted {
  readonly part: number;
  readonly rows: Int32Array;
  readonly prefix: Buffer | null;
  at: number;
  head: Uint8Array | null;
}

function beginsWith(id: Uint8Array, prefix: Uint8Array): boolean {
  return id.byteLength >= prefix.byteLength && areEqual(id, 0, prefix, 0, prefix.byteLength);
}

function isBefore(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) < 0;
}
