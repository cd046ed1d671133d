/** The queries that are mined for, each with what the rules look at; taken from a source and the results of searches. */
import type { PreparedSource } from "../../data/types.js";
import type { MineConfig } from "../../experiment/schema.js";
import type { TopK } from "../top-k.js";
import type { QueryCase, RankedList, TextIdentity } from "./types.js";

/**
 * Scores of pairs that were asked for whatever their rank, by passage row: what a search hands in beside its ranking.
 *
 * @returns undefined for a query of which none was tracked.
 */
export type TrackedScores = (queryRow: number) => ReadonlyMap<number, number> | undefined;

/** What one retriever found for all queries. */
export interface Retrieved {
  /** The list of the i-th of the queries that are mined for. */
  list(index: number): RankedList;
}

/** A search's results as ranked lists. */
export function retrievedBy(ranked: TopK, queryRows: Int32Array, tracked?: TrackedScores): Retrieved {
  return {
    list(index) {
      const start = index * ranked.topK;
      const padding = ranked.rows.subarray(start, start + ranked.topK).indexOf(-1);
      const end = padding === -1 ? start + ranked.topK : start + padding;
      const list = { rows: ranked.rows.subarray(start, end), scores: ranked.scores.subarray(start, end) };
      const pairs = tracked?.(queryRows[index] as number);
      return pairs === undefined ? list : { ...list, tracked: pairs };
    },
  };
}

/** Rows of the queries that get negatives, ascending. */
export function queriesToMine(source: PreparedSource, queries: MineConfig["queries"]): Int32Array {
  return queries === "all" ? source.encodableQueries : (source.qrels?.queryRows ?? new Int32Array(0));
}

/** Each query's case, made when it is asked for. Relevant are the judgements above 0 that the source's options leave. */
export function* casesOf(
  source: PreparedSource,
  queryRows: Int32Array,
  retrieved: readonly Retrieved[],
): Generator<QueryCase> {
  const judged = new Set(source.qrels?.queryRows ?? []);
  for (const [index, queryRow] of queryRows.entries()) {
    const qrels = judged.has(queryRow) ? source.qrels : null;
    const judgements = qrels?.judgements(queryRow, 0);
    const positives = [...(judgements?.rows ?? [])].filter((_, at) => (judgements?.scores[at] as number) > 0);
    // A query whose judgements the filters took away is still annotated.
    const annotated = source.qrels === null ? [] : source.qrels.annotated(queryRow).rows;
    yield {
      queryRow,
      lists: retrieved.map((each) => each.list(index)),
      positives: [...new Set(positives)],
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
