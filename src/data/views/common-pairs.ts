/** Walks two sets of judgements side by side, query by query, and lists the passages that both name and those with equal texts. */
import { join } from "node:path";
import { z } from "zod";
import { openEntry } from "../cache/entry.js";
import { rowOfSame } from "../qrels/query-links.js";
import type { StoredQrels } from "../qrels/stored-qrels.js";
import { readChecked } from "../storage/checked-file.js";
import { writeChecked } from "../storage/checked-writer.js";
import { growingInt32 } from "../storage/growing.js";
import { hasSameText, type StoredTexts } from "../texts/stored-texts.js";

/** Changes when the layout of the entry changes. */
const VERSION = "relations/1";
const PAIRS_FILE = "relations.rows";

const count = z.int().min(0);
const content = z.strictObject({ bothCount: count, copyCount: count });
type Content = z.output<typeof content>;

/** Judgements as stored, and the tables that their row numbers stand for. */
export interface JudgedTables {
  readonly stored: StoredQrels;
  readonly queries: StoredTexts;
  readonly passages: StoredTexts;
}

/** Pairs in rows of the negatives' tables, grouped by query; `positives` are rows of the positives' table of passages. */
export interface CommonPairs {
  /** A query and a passage that both sets judge. */
  readonly both: { readonly queries: Int32Array; readonly passages: Int32Array };
  /** A query, a passage of the negatives, and another one of the positives with the same title and text. */
  readonly copies: { readonly queries: Int32Array; readonly negatives: Int32Array; readonly positives: Int32Array };
}

/**
 * What two sets have in common, from the cache or built. Where both are the same stored judgements, `both` is empty:
 * every pair would stand there.
 *
 * @param key names the two sets of stored judgements, those of the positives first.
 */
export async function openCommonPairs(
  positives: JudgedTables,
  negatives: JudgedTables,
  key: readonly [positives: string, negatives: string],
  cacheDir: string,
): Promise<CommonPairs> {
  return openEntry<Content, CommonPairs>(cacheDir, {
    kind: "relations",
    key: [VERSION, key[0], "|", key[1]],
    reader: VERSION,
    sources: [],
    basis: [
      ...[positives, negatives].flatMap(({ queries, passages }) => [queries.fingerprint, passages.fingerprint]),
      ...key,
    ],
    content,
    build: async (folder) => {
      const { both, copies } = findCommonPairs(positives, negatives, key[0] === key[1]);
      const columns = [both.queries, both.passages, copies.queries, copies.negatives, copies.positives];
      return {
        files: { [PAIRS_FILE]: writeChecked(join(folder, PAIRS_FILE), columns) },
        content: { bothCount: both.queries.length, copyCount: copies.queries.length },
      };
    },
    open: (folder, { bothCount, copyCount }, onDamage) => {
      const lengths = [bothCount, bothCount, copyCount, copyCount, copyCount] as const;
      const [queries, passages, ...copies] = readChecked(join(folder, PAIRS_FILE), lengths, onDamage);
      return {
        both: { queries: queries.slice(), passages: passages.slice() },
        copies: { queries: copies[0].slice(), negatives: copies[1].slice(), positives: copies[2].slice() },
      };
    },
  });
}

/**
 * Before any option of the algebra: every judgement counts. Texts are told apart by their 32-bit hashes, read in one
 * sweep over the table, and compared only where these are equal.
 *
 * @param skipBoth leaves `both` empty: the two sets are the same file, so every pair would stand there.
 */
function findCommonPairs(positives: JudgedTables, negatives: JudgedTables, skipBoth: boolean): CommonPairs {
  const isOneTable = positives.passages.fingerprint === negatives.passages.fingerprint;
  const negativeHashes = textHashes(negatives.passages);
  const positiveHashes = isOneTable ? negativeHashes : textHashes(positives.passages);
  const both = { queries: growingInt32(), passages: growingInt32() };
  const copies = { queries: growingInt32(), negatives: growingInt32(), positives: growingInt32() };
  const chains = new HashChains();
  for (let query = 0; query < negatives.stored.queryCount; query += 1) {
    const unwanted = negatives.stored.of(query).rows;
    if (unwanted.length === 0) continue;
    const known = rowOfSame(negatives.queries, query, positives.queries);
    const wanted = known === -1 ? unwanted.subarray(0, 0) : positives.stored.of(known).rows;
    if (wanted.length === 0) continue;
    chains.begin(wanted.length);
    for (let at = 0; at < wanted.length; at += 1) chains.add(at, positiveHashes[wanted[at] as number] as number);
    for (const negative of unwanted) {
      const hash = negativeHashes[negative] as number;
      for (let at = chains.first(hash); at !== -1; at = chains.next(at)) {
        const positive = wanted[at] as number;
        if (positiveHashes[positive] !== hash) continue;
        if (isOneTable && positive === negative) {
          if (skipBoth) continue;
          both.queries.push(query);
          both.passages.push(negative);
        } else if (hasSameText(negatives.passages, negative, positives.passages, positive)) {
          copies.queries.push(query);
          copies.negatives.push(negative);
          copies.positives.push(positive);
        }
      }
    }
  }
  return {
    both: { queries: both.queries.filled(), passages: both.passages.filled() },
    copies: {
      queries: copies.queries.filled(),
      negatives: copies.negatives.filled(),
      positives: copies.positives.filled(),
    },
  };
}

/** 4 bytes a row: asking the table 15 million times costs more than reading its column once. */
function textHashes(table: StoredTexts): Int32Array {
  const hashes = new Int32Array(table.rowCount);
  for (let row = 0; row < hashes.length; row += 1) hashes[row] = table.textHash(row);
  return hashes;
}

/** A hash table of one query's positives whose memory serves all queries: a slot counts only with the query's stamp. */
class HashChains {
  #stamp = 0;
  #stamps = new Int32Array(64);
  #heads = new Int32Array(64);
  #nexts = new Int32Array(32);

  begin(count: number): void {
    this.#stamp += 1;
    if (count <= this.#nexts.length) return;
    const slots = 2 ** Math.ceil(Math.log2(count * 2));
    this.#stamps = new Int32Array(slots);
    this.#heads = new Int32Array(slots);
    this.#nexts = new Int32Array(slots / 2);
  }

  add(at: number, hash: number): void {
    const slot = hash & (this.#heads.length - 1);
    this.#nexts[at] = this.#stamps[slot] === this.#stamp ? (this.#heads[slot] as number) : -1;
    this.#heads[slot] = at;
    this.#stamps[slot] = this.#stamp;
  }

  /** The last one added of those in a hash's slot, or -1; other hashes may share the slot. */
  first(hash: number): number {
    const slot = hash & (this.#heads.length - 1);
    return this.#stamps[slot] === this.#stamp ? (this.#heads[slot] as number) : -1;
  }

  next(at: number): number {
    return this.#nexts[at] as number;
  }
}
