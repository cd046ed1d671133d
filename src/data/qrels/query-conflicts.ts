/** Refuses queries that several tables know by one id and with different texts: only one text could be asked. */
import { QuarryError } from "../../errors.js";
import { EXAMPLE_LIMIT } from "../failures.js";
import { describeFinding, type Example } from "../findings.js";
import type { TablePart } from "../texts/gather.js";
import type { TextPool } from "../texts/text-pool.js";

/**
 * Queries are the same where their ids are (see QueryLinks), so their texts must be as well. Hashes are compared first;
 * with a single table nothing is looked at.
 *
 * @param known tables of the pool, from the first, that have been compared already.
 * @throws QuarryError DATA with the first ten, each with both places.
 */
export function refuseOtherTexts(queries: TextPool, known: number): void {
  const { parts } = queries;
  const examples: Example[] = [];
  let count = 0;
  for (let at = Math.max(1, known); at < parts.length; at += 1) {
    const { table, offset } = parts[at] as TablePart;
    const others = parts.slice(0, at);
    // The same texts under another style.
    if (others.some((other) => other.table.fingerprint === table.fingerprint)) continue;
    for (let row = 0; row < table.rowCount; row += 1) {
      const other = sameIn(others, table.idBytes(row));
      if (other === -1 || isSameText(queries, offset + row, other)) continue;
      count += 1;
      if (examples.length < EXAMPLE_LIMIT) examples.push(described(queries, offset + row, other));
    }
  }
  if (count === 0) return;
  const subject = [...new Set(parts.map(({ table }) => table.origin(0).file))].join(", ");
  const words = ["query has different texts under one id", "queries have different texts under one id"] as const;
  throw new QuarryError("DATA", describeFinding({ subject, words, count, examples }), {
    hint: "Queries are the same where their ids are: give the sources one file of queries, or the queries ids of their own.",
  });
}

/** The number of the query with this id in the first table that has it, or -1. */
function sameIn(parts: readonly TablePart[], id: Uint8Array): number {
  for (const { table, offset } of parts) {
    const row = table.rowOfBytes(id, 0, id.byteLength);
    if (row !== -1) return offset + row;
  }
  return -1;
}

function isSameText(queries: TextPool, one: number, other: number): boolean {
  return queries.textHash(one) === queries.textHash(other) && queries.isSameText(one, other);
}

function described(queries: TextPool, one: number, other: number): Example {
  const [here, there] = [queries.origin(one), queries.origin(other)];
  const id = JSON.stringify(queries.id(one));
  return { place: `${here.file}:${here.line}`, detail: `${id} has another text in ${there.file}:${there.line}` };
}
