/** Several retrievers: how their lists become one, whose limits count, and runs as somebody else's ranking. */
import { describe, expect, test } from "vitest";
import { prepareSource } from "../../../../src/data/index.js";
import type { MineConfig } from "../../../../src/experiment/schema.js";
import { fuse } from "../../../../src/pipeline/mining/fuse.js";
import { ReportBuilder } from "../../../../src/pipeline/mining/report.js";
import { missingQueries, retrievedFrom, runSource } from "../../../../src/pipeline/mining/runs.js";
import type { MiningRules, ScoreLimits } from "../../../../src/pipeline/mining/types.js";
import { reportRows, warningsOf } from "../../../../src/pipeline/mining/words.js";
import { newCollection, passages, queries } from "../../data/collection.js";
import { DISTINCT, list, PLAIN_RULES, query, selectNegatives } from "./cases.js";

const dense = list([1, 0.9], [2, 0.8], [3, 0.7]);
const sparse = list([4, 12], [2, 11], [1, 10], [5, 9]);

describe("lists become one", () => {
  const fused = (fusion: MiningRules["fusion"], rrfK = 60) =>
    fuse([dense, sparse], { fusion, rrfK }).map(({ row, retriever }) => [row, retriever]);

  test("in turns: each retriever gives its best passage that none gave before", () => {
    expect(fused("roundRobin")).toEqual([
      [1, 0],
      [4, 1],
      [2, 0],
      [5, 1],
      [3, 0],
    ]);
  });

  test("as a union: the best rank in any list counts, between equal ones the order of the retrievers", () => {
    expect(fused("union")).toEqual([
      [1, 0],
      [4, 1],
      [2, 0],
      [3, 0],
      [5, 1],
    ]);
  });

  test("by reciprocal rank: what both rank high comes first", () => {
    expect(fused("reciprocalRank").map(([row]) => row)).toEqual([1, 2, 4, 3, 5]);
    const [first] = fuse([dense, sparse], { fusion: "reciprocalRank", rrfK: 60 });
    expect(first?.score).toBeCloseTo(1 / 61 + 1 / 63, 12);
  });

  test("every candidate keeps what each retriever scored it", () => {
    const found = new Map(fuse([dense, sparse], { fusion: "union", rrfK: 60 }).map(({ row, scores }) => [row, scores]));
    expect(found.get(2)).toEqual([Math.fround(0.8), 11]);
    expect(found.get(4)).toEqual([undefined, 12]);
  });
});

test("a margin compares a passage with the positive as the same retriever scores both; one that says no is enough", () => {
  const rules = { ...PLAIN_RULES, limits: [{ relativeMargin: 0.05 }, { relativeMargin: 0.05 }] };
  const given = query([dense, sparse], [2]);
  const { negatives, dropped } = selectNegatives(given, rules, DISTINCT);
  // 1 lies above the positive in the first list, though below it in the second; 4 the other way round.
  expect(negatives.map(({ row }) => row)).toEqual([5, 3]);
  expect(dropped).toEqual({ annotated: 1, relativeMargin: 2 });
});

test("a query may have more positives than a call takes arguments", () => {
  const positives = Array.from({ length: 150_000 }, (_, row) => row + 10);
  const ranked = { rows: Int32Array.from([1].concat(positives)), scores: new Float32Array(150_001).fill(0.75) };
  ranked.scores.set([0.25, 0.5]);
  const given = query([ranked], positives);
  const report = new ReportBuilder(10, ["base"]);
  report.add(selectNegatives(given, PLAIN_RULES, DISTINCT), null);
  const { scores } = report.finish();
  expect(scores.positives).toMatchObject({ count: 150_000, min: 0.5, max: 0.75 });
  expect(scores.differences).toMatchObject({ count: 1, mean: 0.25 });
});

test("a limit that drops candidates is named where it stands", () => {
  const named = (limits: ScoreLimits[], mine: Partial<MineConfig>): string[] => {
    const report = new ReportBuilder(10, ["base", "bm25"]);
    report.add(selectNegatives(query([dense, sparse]), { ...PLAIN_RULES, limits }, DISTINCT), null);
    const options = { rangeMin: 0, negativesPerQuery: 10, retrievers: [], ...mine } as unknown as MineConfig;
    const [warning] = warningsOf(report.finish(), [], options);
    return [...reportRows(report.finish(), options).map(([name]) => name), warning?.hint ?? ""];
  };
  const own = named([{}, { maxScore: 10.5 }], { retrievers: [{ run: "bm25.run", maxScore: 10.5 }] });
  expect(own).toContain("dropped: above mine.retrievers.0.maxScore");
  expect(own).toContain("Raise mine.topK, or loosen mine.retrievers.0.maxScore.");
  const both = { maxScore: 0.85, retrievers: [{ run: "bm25.run", maxScore: 10.5 }] };
  expect(named([{ maxScore: 0.85 }, { maxScore: 10.5 }], both)).toContain(
    "dropped: above mine.maxScore or mine.retrievers.0.maxScore",
  );
});

describe("a run", () => {
  const files = {
    "corpus.jsonl": passages(12),
    "queries.jsonl": queries(3),
    "qrels.tsv": "query-id\tcorpus-id\tscore\nq0\td1\t1\nq2\td1\t1\n",
    // Ranks that contradict the scores, a tie, and the best passage last.
    "bm25.run": "q0 Q0 d3 1 1.5 t\nq0 Q0 d10 2 2.5 t\nq0 Q0 d2 3 2.5 t\nq0 Q0 d1 4 9.25 t\nq1 Q0 d7 1 1 t\n",
  };

  test("is ordered by score, then by id from behind, whatever its ranks say; deeper scores are known, not candidates", async () => {
    const { context } = newCollection(files);
    const data = {
      kind: "source",
      corpus: "corpus.jsonl",
      queries: "queries.jsonl",
      qrels: "qrels.tsv",
      minScore: 1,
    } as const;
    const run = await prepareSource(runSource(data, "bm25.run"), context);
    const rows = Int32Array.of(0, 2);
    const { rows: found, scores, tracked } = retrievedFrom(run, rows, 3).list(0);
    expect([...found].map((row) => run.passages.id(row))).toEqual(["d1", "d2", "d10"]);
    expect([...scores]).toEqual([9.25, 2.5, 2.5]);
    expect([...(tracked ?? [])].map(([row, score]) => [run.passages.id(row), score])).toEqual([["d3", 1.5]]);
    expect(retrievedFrom(run, rows, 3).list(1).rows).toHaveLength(0);
    expect(missingQueries(run, rows)).toBe(1);
    run.close();
  });
});
