/** Somebody else's ranking as a retriever: TREC runs, read by the data plane as judgements with their scores. */
import type { PreparedSource } from "../../data/types.js";
import { holds } from "../../data/views/ascending.js";
import type { SearchDataConfig, SourceConfig } from "../../experiment/schema.js";
import { ALGEBRA } from "../../experiment/sources.js";
import type { Retrieved } from "./cases.js";
import type { RankedList } from "./types.js";

/** What a source does to its own judgements; all else shapes its texts. */
const JUDGEMENT_OPTIONS: ReadonlySet<string> = new Set(["querySubset", ...ALGEBRA]);

/**
 * The source that holds a run: the very same passages and queries, with the run in the place of the judgements and
 * without what the source does to its own.
 */
export function runSource(data: SourceConfig, run: NonNullable<SourceConfig["qrels"]>): SearchDataConfig {
  const texts = Object.entries(data).filter(([name]) => !JUDGEMENT_OPTIONS.has(name));
  return { ...(Object.fromEntries(texts) as SourceConfig), qrels: run };
}

/**
 * The lists of a run in the order that trec_eval gives them: by score, then by passage id, both descending; the rank
 * column does not count. Passages beyond `topK` are no candidates, but their scores are known.
 */
export function retrievedFrom(run: PreparedSource, queryRows: Int32Array, topK: number): Retrieved {
  const { idRanks } = run.passages;
  return {
    list(index): RankedList {
      const queryRow = queryRows[index] as number;
      if (run.qrels === null || !holds(run.qrels.queryRows, queryRow))
        return { rows: new Int32Array(0), scores: new Float32Array(0) };
      const { rows, scores } = run.qrels.judgements(queryRow, 0);
      const order = [...rows.keys()].sort(
        (one, two) =>
          (scores[two] as number) - (scores[one] as number) ||
          (idRanks[rows[two] as number] as number) - (idRanks[rows[one] as number] as number),
      );
      const kept = order.slice(0, topK);
      const rest = order.slice(topK).map((at) => [rows[at] as number, scores[at] as number] as const);
      return {
        rows: Int32Array.from(kept, (at) => rows[at] as number),
        scores: Float32Array.from(kept, (at) => scores[at] as number),
        tracked: new Map(rest),
      };
    },
  };
}

/** How many of these queries a run does not rank. */
export function missingQueries(run: PreparedSource, queryRows: Int32Array): number {
  const listed = run.qrels?.queryRows ?? new Int32Array(0);
  return queryRows.reduce((sum, row) => sum + (holds(listed, row) ? 0 : 1), 0);
}
