/** Mining for more queries than a set or a map of JavaScript holds: 16.7 million. */
import { expect, test } from "vitest";
import { countUp } from "../../../../src/data/index.js";
import type { PreparedSource, Qrels } from "../../../../src/data/types.js";
import { positivePairs, retrievedBy } from "../../../../src/pipeline/mining/cases.js";
import { missingQueries, retrievedFrom } from "../../../../src/pipeline/mining/runs.js";

const QUERIES = 2 ** 24 + 2;
const last = QUERIES - 1;

/** Query q judges passage q alone; only what mining asks of a source. */
function manyQueries(): PreparedSource {
  const qrels: Partial<Qrels> = {
    queryRows: countUp(QUERIES),
    judgements: (row) => ({ rows: Int32Array.of(row), scores: Float32Array.of(row / 2 ** 24) }),
  };
  return { qrels, passages: { idRanks: countUp(QUERIES) } } as unknown as PreparedSource;
}

test("each of them has its positives", () => {
  const { queries, rows } = positivePairs(manyQueries(), Int32Array.of(7, last));
  expect([queries, rows]).toEqual([Int32Array.of(0, 1), Int32Array.of(7, last)]);
});

test("each of them has the scores of its tracked pairs", () => {
  const rows = countUp(QUERIES);
  const scores = new Float32Array(QUERIES).fill(0.5);
  scores[3] = Number.NaN;
  const ranked = { queryCount: QUERIES, topK: 1, rows, scores };
  const retrieved = retrievedBy(ranked, { pairs: { queries: rows, rows }, scores });
  expect(retrieved.list(last)).toEqual({
    rows: Int32Array.of(last),
    scores: Float32Array.of(0.5),
    tracked: new Map([[last, 0.5]]),
  });
  expect(retrieved.list(3).tracked).toBeUndefined();
});

test("each of them is looked up in a run", () => {
  const run = manyQueries();
  expect(missingQueries(run, Int32Array.of(0, last, QUERIES))).toBe(1);
  expect(retrievedFrom(run, Int32Array.of(0, last), 5).list(1).rows).toEqual(Int32Array.of(last));
});
