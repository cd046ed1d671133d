/** The queries that are mined for, each with what the rules look at; taken from a source and the results of searches. */
import { growingInt32 } from "../../data/storage/growing.js";
import type { PreparedSource } from "../../data/types.js";
import { holds, placeOf } from "../../data/views/ascending.js";
import type { TrackedPairs } from "../../pool/types.js";
import type { TopK } from "../top-k.js";
import type { QueryCase, RankedList, TextIdentity } from "./types.js";

/** Each query with each of its positives, query by query, so that a search hands in their scores whatever their rank. */
export function positivePairs(source: PreparedSource, queryRows: Int32Array): TrackedPairs {
  const positivesOf = positivesIn(source);
  const [queries, rows] = [growingInt32(), growingInt32()];
  for (const [place, queryRow] of queryRows.entries()) {
    for (const row of positivesOf(queryRow)) {
      queries.push(place);
      rows.push(row);
    }
  }
  return { queries: queries.filled(), rows: rows.filled() };
}

/**
 * A query's positives by its row: judgements above 0 that the source's options leave, each once. Random group steps
 * choose as in epoch 0.
 */
export function positivesIn({ qrels }: PreparedSource): (queryRow: number) => number[] {
  return (queryRow) => {
    if (qrels === null || !holds(qrels.queryRows, queryRow)) return [];
    const { rows, scores } = qrels.judgements(queryRow, 0);
    return [...new Set([...rows].filter((_, at) => (scores[at] as number) > 0))];
  };
}

/** What one retriever found for all queries. */
export interface Retrieved {
  /** The list of the i-th of the queries that are mined for. */
  list(index: number): RankedList;
}

/**
 * A search's results as ranked lists.
 *
 * @param tracked pairs that were asked for, query by query as positivePairs() gives them, with their scores; NaN for
 *   passages that were not searched
 */
export function retrievedBy(
  ranked: TopK,
  tracked: { readonly pairs: TrackedPairs; readonly scores: Float32Array } | null,
): Retrieved {
  // Made for one query when it is asked for: a map of all queries would end at 16.7 million.
  const knownOf = (query: number): Map<number, number> => {
    const known = new Map<number, number>();
    if (tracked === null) return known;
    const { pairs, scores } = tracked;
    for (let pair = placeOf(pairs.queries, query); pairs.queries[pair] === query; pair += 1) {
      const score = scores[pair] as number;
      if (!Number.isNaN(score)) known.set(pairs.rows[pair] as number, score);
    }
    return known;
  };
  return {
    list(index) {
      const start = index * ranked.topK;
      const padding = ranked.rows.subarray(start, start + ranked.topK).indexOf(-1);
      const end = padding === -1 ? start + ranked.topK : start + padding;
      const list = { rows: ranked.rows.subarray(start, end), scores: ranked.scores.subarray(start, end) };
      const known = knownOf(index);
      return known.size === 0 ? list : { ...list, tracked: known };
    },
  };
}

/** Each query's case, made when it is asked for. */
export function* casesOf(
  source: PreparedSource,
  queryRows: Int32Array,
  retrieved: readonly Retrieved[],
): Generator<QueryCase> {
  const positivesOf = positivesIn(source);
  for (const [index, queryRow] of queryRows.entries()) {
    // A query whose judgements the filters took away is still annotated.
    const annotated = source.qrels === null ? [] : source.qrels.annotated(queryRow).rows;
    yield {
      queryRow,
      lists: retrieved.map((each) => each.list(index)),
      positives: positivesOf(queryRow),
      annotated: new Set(annotated),
    };
  }
}

/** Which texts of a source are the same. */
export function identityOf({ passages, queries }: PreparedSource): TextIdentity {
  return {
    passageHash: (row) => passages.textHash(row),
    queryHash: (row) => queries.textHash(row),
    isSamePassage: (row, other) =>
      passages.title(row) === passages.title(other) && passages.text(row) === passages.text(other),
    isQueryText: (queryRow, row) =>
      queries.title(queryRow) === passages.title(row) && queries.text(queryRow) === passages.text(row),
    isSameId: (queryRow, row) => queries.id(queryRow) === passages.id(row),
  };
}
