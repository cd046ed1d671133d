/** The queries that are mined for, each with what the rules look at; taken from a source and the results of searches. */
import type { PreparedSource } from "../../data/types.js";
import type { TrackedPairs } from "../../pool/types.js";
import type { TopK } from "../top-k.js";
import type { QueryCase, RankedList, TextIdentity } from "./types.js";

/** Each query with each of its positives, so that a search hands in their scores whatever their rank. */
export function positivePairs(source: PreparedSource, queryRows: Int32Array): TrackedPairs {
  const positivesOf = positivesIn(source);
  const queries: number[] = [];
  const rows: number[] = [];
  for (const [place, queryRow] of queryRows.entries()) {
    for (const row of positivesOf(queryRow)) {
      queries.push(place);
      rows.push(row);
    }
  }
  return { queries: Int32Array.from(queries), rows: Int32Array.from(rows) };
}

/**
 * A query's positives by its row: judgements above 0 that the source's options leave, each once. Random group steps
 * choose as in epoch 0.
 */
function positivesIn({ qrels }: PreparedSource): (queryRow: number) => number[] {
  const judged = new Set(qrels?.queryRows ?? []);
  return (queryRow) => {
    if (qrels === null || !judged.has(queryRow)) return [];
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
 * @param tracked pairs that were asked for with their scores; NaN for passages that were not searched
 */
export function retrievedBy(
  ranked: TopK,
  tracked: { readonly pairs: TrackedPairs; readonly scores: Float32Array } | null,
): Retrieved {
  const known = new Map<number, Map<number, number>>();
  for (const [pair, score] of tracked?.scores.entries() ?? []) {
    if (Number.isNaN(score)) continue;
    const place = tracked?.pairs.queries[pair] as number;
    const scores = known.get(place) ?? new Map<number, number>();
    known.set(place, scores.set(tracked?.pairs.rows[pair] as number, score));
  }
  return {
    list(index) {
      const start = index * ranked.topK;
      const padding = ranked.rows.subarray(start, start + ranked.topK).indexOf(-1);
      const end = padding === -1 ? start + ranked.topK : start + padding;
      const list = { rows: ranked.rows.subarray(start, end), scores: ranked.scores.subarray(start, end) };
      const pairs = known.get(index);
      return pairs === undefined ? list : { ...list, tracked: pairs };
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
