/** What positives and negatives have in common: passages both relevant and not for a query, and negatives that copy a positive. */
import { basename } from "node:path";
import { EXAMPLE_LIMIT } from "../failures.js";
import { type Example, type Finding, judge, policyOf } from "../findings.js";
import type { MaterializedQrels } from "../qrels/materialized.js";
import { QueryLinks, rowOfSame } from "../qrels/query-links.js";
import type { OpenedSources } from "../source.js";
import { listFiles } from "../source-files.js";
import { GrowingNumbers, growingInt32 } from "../storage/growing.js";
import type { DataContext } from "../types.js";
import { holds, placeOf } from "./ascending.js";
import { type CommonPairs, openCommonPairs } from "./common-pairs.js";

const NOTHING = new Int32Array(0);

/** What must not serve as a negative, in the numbering of the view's pools. */
export interface Relations {
  /** Queries with such negatives, ascending. */
  readonly queries: Int32Array;
  /**
   * A query's negatives that are its known positives as well, and under the policy `drop` those that copy a positive;
   * ascending. Where this is empty, none of the query's negatives is a known positive.
   */
  excludedNegatives(query: number): Int32Array;
}

/** Nothing is left out: a view without explicit negatives. */
export const NO_RELATIONS: Relations = { queries: NOTHING, excludedNegatives: () => NOTHING };

/** The judged rows of one source of positives and one of negatives. */
interface Pair {
  readonly wanted: MaterializedQrels;
  readonly unwanted: MaterializedQrels;
  readonly isOneFile: boolean;
  readonly common: CommonPairs;
  /** Query row and passage row of the negatives as one number over the view's pools. */
  readonly keyOf: (query: number, passage: number) => number;
}

/**
 * Compares the judgements that subset and filters leave on both sides, judges what it finds by the policy, and gives
 * what the view must leave out. What the files themselves have in common lies in the cache and depends on no option.
 *
 * @throws QuarryError DATA where the policy says `error`.
 */
export async function openRelations(
  positives: OpenedSources,
  negatives: OpenedSources,
  context: DataContext,
): Promise<Relations> {
  const pairs: Pair[] = [];
  const width = negatives.passages.rowCount;
  for (const positive of positives.sources) {
    for (const negative of negatives.sources) {
      const [wanted, unwanted] = [positive.qrels, negative.qrels];
      if (wanted === null || unwanted === null) continue;
      const isOneFile = positive.qrelsKey === negative.qrelsKey;
      const key = [positive.qrelsKey ?? "", negative.qrelsKey ?? ""] as const;
      const common = await openCommonPairs(wanted.parts, unwanted.parts, key, context.cacheDir);
      pairs.push({ wanted, unwanted, isOneFile, common, keyOf: keysOver(negatives, unwanted, width) });
    }
  }
  const subject = `${namesOf(negatives)} against ${namesOf(positives)}`;
  const both = new Meetings();
  for (const pair of pairs) meetBoth(pair, both);
  const contradictions = both.keys();
  judge(context, {
    ...both.told(subject, contradictions.length),
    kind: "contradictions",
    words: ["negative is a positive of its query as well", "negatives are positives of their query as well"],
    hint:
      "They never serve as negatives. Of a training file that holds both, name one side with { path, part }; where the " +
      'rest is as it should be, validation.contradictions: "drop" leaves them out without a word.',
  });
  const copies = new Meetings((key) => holds(contradictions, key));
  for (const pair of pairs) meetCopies(pair, copies);
  const duplicates = copies.keys();
  judge(context, {
    ...copies.told(subject, duplicates.length),
    kind: "duplicateTexts",
    words: ["negative has the text of a positive of its query", "negatives have the text of a positive of their query"],
    hint: 'Remove them, or set validation.duplicateTexts to "drop" to leave them out.',
  });
  const isDropped = policyOf(context, "duplicateTexts") === "drop";
  return excluding(isDropped ? together(contradictions, duplicates) : contradictions, width);
}

/** Counts judgements of the negatives once each, and describes the first ten. */
class Meetings {
  readonly #found = new GrowingNumbers((length) => new Float64Array(length));
  readonly #examples = new Map<number, Example>();

  constructor(private readonly isSkipped: (key: number) => boolean = () => false) {}

  add(key: number, describe: () => Example): void {
    if (this.isSkipped(key)) return;
    this.#found.push(key);
    if (this.#examples.size < EXAMPLE_LIMIT && !this.#examples.has(key)) this.#examples.set(key, describe());
  }

  /** Ascending, each once. */
  keys(): Float64Array {
    const sorted = this.#found.filled().slice().sort();
    let count = 0;
    for (const key of sorted) {
      if (count > 0 && sorted[count - 1] === key) continue;
      sorted[count] = key;
      count += 1;
    }
    return sorted.subarray(0, count);
  }

  told(subject: string, total: number): Pick<Finding, "subject" | "count" | "examples"> {
    return { subject, count: total, examples: [...this.#examples.values()] };
  }
}

function keysOver(set: OpenedSources, qrels: MaterializedQrels, width: number): Pair["keyOf"] {
  const side = set.qrels?.sides.find((each) => each.qrels === qrels);
  if (side === undefined) throw new RangeError("the source is not part of the set");
  const links = new QueryLinks(set.queries, side.queries);
  return (row, passage) => links.numberOf(row) * width + passage + side.passageOffset;
}

/** Whether a passage is among a query's judgements that subset and filters leave. */
type IsKept = (passage: number) => boolean;

/** Below this many rows looking at each is faster than making a set. */
const SHORT = 64;

function keptIn(qrels: MaterializedQrels, query: number): IsKept {
  const { rows } = qrels.kept(query);
  if (rows.length <= SHORT) return (passage) => rows.includes(passage);
  const all = new Set(rows);
  return (passage) => all.has(passage);
}

/** What is kept of a query on both sides; pairs are grouped by query, so each is filtered once. */
function keptOf({ wanted, unwanted }: Pair): (query: number) => { isWanted: IsKept; isUnwanted: IsKept } {
  let last: { query: number; isWanted: IsKept; isUnwanted: IsKept } | null = null;
  return (query) => {
    if (last?.query === query) return last;
    const known = rowOfSame(unwanted.parts.queries, query, wanted.parts.queries);
    last = { query, isWanted: keptIn(wanted, known), isUnwanted: keptIn(unwanted, query) };
    return last;
  };
}

function meetBoth(pair: Pair, found: Meetings): void {
  const { queries, passages } = pair.common.both;
  const kept = keptOf(pair);
  const take = (query: number, passage: number): void =>
    found.add(pair.keyOf(query, passage), () => describe(pair, query, passage, passage));
  for (let at = 0; at < queries.length; at += 1) {
    const query = queries[at] as number;
    const passage = passages[at] as number;
    const left = kept(query);
    if (left.isWanted(passage) && left.isUnwanted(passage)) take(query, passage);
  }
  if (pair.isOneFile) meetInOneFile(pair, take);
}

function meetCopies(pair: Pair, found: Meetings): void {
  const { queries, negatives, positives } = pair.common.copies;
  const kept = keptOf(pair);
  for (let at = 0; at < queries.length; at += 1) {
    const query = queries[at] as number;
    const negative = negatives[at] as number;
    const positive = positives[at] as number;
    const left = kept(query);
    if (!left.isWanted(positive) || !left.isUnwanted(negative)) continue;
    found.add(pair.keyOf(query, negative), () => describe(pair, query, negative, positive));
  }
}

/** One file on both sides, told apart by scores and filters only: what passes both. Usually the scores exclude each other. */
function meetInOneFile({ wanted, unwanted }: Pair, take: (query: number, passage: number) => void): void {
  const algebras = [wanted.parts.algebra, unwanted.parts.algebra];
  const from = Math.max(...algebras.map(({ minScore }) => Math.fround(minScore ?? Number.NEGATIVE_INFINITY)));
  const below = Math.min(...algebras.map(({ maxScore }) => Math.fround(maxScore ?? Number.POSITIVE_INFINITY)));
  if (from >= below) return;
  const { stored } = wanted.parts;
  for (let query = 0; query < stored.queryCount; query += 1) {
    if (!stored.of(query).scores.some((score) => score >= from && score < below)) continue;
    const isWanted = keptIn(wanted, query);
    for (const passage of unwanted.kept(query).rows) if (isWanted(passage)) take(query, passage);
  }
}

function describe({ wanted, unwanted }: Pair, query: number, negative: number, positive: number): Example {
  const { queries, passages } = unwanted.parts;
  const here = unwanted.origin(query, negative);
  const there = wanted.origin(rowOfSame(queries, query, wanted.parts.queries), positive);
  const isSame = passages.fingerprint === wanted.parts.passages.fingerprint && negative === positive;
  const claim = isSame ? "is positive too" : `has the text of the positive "${wanted.parts.passages.id(positive)}"`;
  const at = there === null ? "" : ` (${basename(there.file)}:${there.line})`;
  return {
    place: here === null ? "" : `${here.file}:${here.line}`,
    detail: `passage "${passages.id(negative)}" of query "${queries.id(query)}" ${claim}${at}`,
  };
}

/** @param keys query × width + passage, ascending, each once. */
function excluding(keys: Float64Array, width: number): Relations {
  const passages = new Int32Array(keys.length);
  const [found, starts] = [growingInt32(), growingInt32()];
  for (let at = 0, last = -1; at < keys.length; at += 1) {
    const key = keys[at] as number;
    passages[at] = key % width;
    const query = Math.floor(key / width);
    if (query === last) continue;
    found.push(query);
    starts.push(at);
    last = query;
  }
  starts.push(keys.length);
  const [queries, begins] = [found.filled(), starts.filled()];
  return {
    queries,
    excludedNegatives: (query) => {
      const at = placeOf(queries, query);
      if (queries[at] !== query) return NOTHING;
      return passages.subarray(begins[at] as number, begins[at + 1] as number);
    },
  };
}

function together(one: Float64Array, other: Float64Array): Float64Array {
  const whole = new Float64Array(one.length + other.length);
  whole.set(one);
  whole.set(other, one.length);
  return whole.sort();
}

function namesOf({ sources }: OpenedSources): string {
  const files = sources.flatMap(({ config }) => (config.qrels === undefined ? [] : listFiles(config.qrels)));
  return [...new Set(files.map(({ path }) => path))].join(", ");
}
