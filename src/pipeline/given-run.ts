/** Somebody else's ranking in the place of a search: opened beside the data that it ranks, and checked against it. */
import { counted } from "../counted.js";
import type { PreparedSource } from "../data/types.js";
import { QuarryError } from "../errors.js";
import type { RunContext } from "./context.js";
import type { Retrieved } from "./mining/cases.js";
import { missingQueries, retrievedFrom } from "./mining/runs.js";
import type { TopK } from "./top-k.js";

/** A run that is open, and what messages call it and the data that it ranks. */
export interface GivenRun {
  readonly run: PreparedSource;
  readonly name: string;
  /** Path of the data's option, e.g. "mine.data". */
  readonly data: string;
}

/**
 * The lists of a run for these queries; what it does not rank is told.
 *
 * @throws QuarryError DATA where the files changed while they were read
 */
export function listsOf(
  context: RunContext,
  { run, name, data }: GivenRun,
  source: PreparedSource,
  queryRows: Int32Array,
  topK: number,
): Retrieved {
  checkSameTexts(run, source, name, data);
  const missing = missingQueries(run, queryRows);
  if (missing > 0) {
    context.events.emit({
      type: "warning",
      message: `${missing} of ${counted(queryRows.length, "queries")} ${missing === 1 ? "is" : "are"} not ranked in the run ${name}`,
      hint: `Are its query ids those of ${data}?`,
    });
  }
  return retrievedFrom(run, queryRows, topK);
}

/** The same as a search gives it: the `topK` best of each query. */
export function rankedIn(
  context: RunContext,
  given: GivenRun,
  source: PreparedSource,
  queryRows: Int32Array,
  topK: number,
): TopK {
  const lists = listsOf(context, given, source, queryRows, topK);
  const rows = new Int32Array(queryRows.length * topK).fill(-1);
  const scores = new Float32Array(queryRows.length * topK).fill(Number.NEGATIVE_INFINITY);
  for (const query of queryRows.keys()) {
    const list = lists.list(query);
    rows.set(list.rows, query * topK);
    scores.set(list.scores, query * topK);
  }
  return { queryCount: queryRows.length, topK, rows, scores };
}

/** Rows mean the same in both, or the run's would name other passages. */
function checkSameTexts(run: PreparedSource, source: PreparedSource, name: string, data: string): void {
  const isSame =
    run.passages.fingerprint === source.passages.fingerprint && run.queries.fingerprint === source.queries.fingerprint;
  if (isSame) return;
  throw new QuarryError("DATA", `the files of ${data} changed while the run ${name} was read`, {
    hint: "Give the same command again once they stay as they are.",
  });
}
