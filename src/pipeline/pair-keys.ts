/** Names pairs by what they say: 16 bytes over model, query and passage, whatever ids and rows they have. */
import { createHash } from "node:crypto";
import { DIGEST_BYTES, digestTexts, distinctRows, type PairRows } from "../data/index.js";
import type { TextTable } from "../data/types.js";
import { placeOf } from "../data/views/ascending.js";
import { KEY_WORDS, KeyTable } from "../embeddings/index.js";

export const KEY_BYTES = 16;

/** The keys of a job's pairs. */
export class PairKeys {
  /** For each pair the first one with the same key: equal pairs are scored once. */
  readonly first: Int32Array;
  /** The bytes as KeyTable takes them. */
  readonly words: Int32Array;

  /** @param bytes KEY_BYTES for each pair, in their order. */
  constructor(readonly bytes: Uint8Array) {
    this.words = wordsOf(bytes);
    const count = bytes.byteLength / KEY_BYTES;
    const known = new KeyTable(count);
    this.first = new Int32Array(count);
    for (let pair = 0; pair < count; pair += 1) {
      known.add(this.words, pair * KEY_WORDS, pair);
      this.first[pair] = known.get(this.words, pair * KEY_WORDS);
    }
  }

  get count(): number {
    return this.first.length;
  }
}

/** A copy, for numbers may begin anywhere in a file. */
export function wordsOf(bytes: Uint8Array): Int32Array {
  return new Int32Array(new Uint8Array(bytes).buffer);
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
  const distinct = distinctRows(rows);
  const digests = digestTexts(table, distinct);
  return (pair) => {
    const start = placeOf(distinct, rows[pair] as number) * DIGEST_BYTES;
    return digests.subarray(start, start + DIGEST_BYTES);
  };
}
