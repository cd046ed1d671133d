/** Names pairs by what they say: 16 bytes over model, query and passage, whatever ids and rows they have. */
import { createHash } from "node:crypto";
import { DIGEST_BYTES, digestTexts, type PairRows } from "../data/index.js";
import type { TextTable } from "../data/types.js";

export const KEY_BYTES = 16;

/** The keys of a job's pairs, and which of its pairs has a given key. */
export class PairKeys {
  /** For each pair the first one with the same key: equal pairs are scored once. */
  readonly first: Int32Array;
  readonly #slots: Int32Array;
  readonly #mask: number;

  /** @param bytes KEY_BYTES for each pair, in their order. */
  constructor(readonly bytes: Buffer) {
    const count = bytes.byteLength / KEY_BYTES;
    let size = 16;
    while (size < 2 * count) size *= 2;
    this.#mask = size - 1;
    this.#slots = new Int32Array(size).fill(-1);
    this.first = new Int32Array(count);
    for (let pair = 0; pair < count; pair += 1) {
      const slot = this.#slotOf(bytes, pair * KEY_BYTES);
      if (this.#slots[slot] === -1) this.#slots[slot] = pair;
      this.first[pair] = this.#slots[slot] as number;
    }
  }

  get count(): number {
    return this.first.length;
  }

  /** The first pair whose key lies at `at` of these bytes, or -1. */
  find(bytes: Buffer, at: number): number {
    return this.#slots[this.#slotOf(bytes, at)] as number;
  }

  /** Where a key lies, or the empty slot where it would; keys are hashes, so their first bytes spread well. */
  #slotOf(bytes: Buffer, at: number): number {
    for (let slot = bytes.readUInt32LE(at) & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const pair = this.#slots[slot] as number;
      const start = pair * KEY_BYTES;
      if (pair === -1 || bytes.compare(this.bytes, start, start + KEY_BYTES, at, at + KEY_BYTES) === 0) return slot;
    }
  }
}

/**
 * The keys of pairs for one cross-encoder. Each text is read and hashed once, however many pairs it stands in.
 *
 * @param fingerprint of the cross-encoder: a key of one model is no key of another
 */
export function pairKeys(
  tables: { readonly queries: TextTable; readonly passages: TextTable },
  { queryRows, passageRows }: PairRows,
  fingerprint: string,
): PairKeys {
  const query = digestsOf(tables.queries, queryRows);
  const passage = digestsOf(tables.passages, passageRows);
  const bytes = Buffer.alloc(queryRows.length * KEY_BYTES);
  for (let pair = 0; pair < queryRows.length; pair += 1) {
    const hash = createHash("sha256").update(fingerprint).update(query(pair)).update(passage(pair));
    hash.digest().copy(bytes, pair * KEY_BYTES, 0, KEY_BYTES);
  }
  return new PairKeys(bytes);
}

function digestsOf(table: TextTable, rows: Int32Array): (pair: number) => Buffer {
  const distinct = Int32Array.from(new Set(rows)).sort();
  const digests = digestTexts(table, distinct);
  const places = new Map([...distinct].map((row, place) => [row, place]));
  return (pair) => {
    const start = (places.get(rows[pair] as number) as number) * DIGEST_BYTES;
    return digests.subarray(start, start + DIGEST_BYTES);
  };
}
