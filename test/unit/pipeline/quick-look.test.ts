/** Parts of a corpus and of its queries: the same for the same seed, all judged passages among them, never too small. */
import { expect, test } from "vitest";
import type { PreparedSource, Qrels } from "../../../src/data/types.js";
import { quickLook } from "../../../src/pipeline/quick-look.js";

const countTo = (count: number): Int32Array => new Int32Array(count).map((_, row) => row);

/** 40 queries over 1,000 passages; query q judges passages 3 q and 3 q + 1. */
const qrels: Qrels = {
  queryRows: countTo(40),
  judgements: (query) => ({ rows: Int32Array.of(3 * query, 3 * query + 1), scores: Float32Array.of(1, 0) }),
  annotated: (query) => ({ rows: Int32Array.of(3 * query, 3 * query + 1), scores: Float32Array.of(1, 0) }),
  origin: () => null,
};
const sourceOf = (searchRows: Int32Array): PreparedSource => {
  const passages = { rowCount: (searchRows.at(-1) ?? -1) + 1 };
  return { passages, searchRows, qrels, fingerprint: "f", close: () => {} } as unknown as PreparedSource;
};
const source = sourceOf(countTo(1000));

test("without a part everything stays as it is", () => {
  const look = quickLook(source, qrels, {}, 42);
  expect(look).toEqual({ source, qrels, part: null, ofQueries: null });
  expect(quickLook(source, qrels, { subCorpus: { passages: 1000 }, sampleQueries: 40 }, 42)).toEqual(look);
});

test("a part holds all judged passages and a sample of the others, ascending", () => {
  const { source: narrow, part } = quickLook(source, qrels, { subCorpus: { passages: 200 } }, 42);
  expect(part).toEqual({ unjudged: 920, sampled: 120, searched: 200, total: 1000 });
  const rows = [...narrow.searchRows];
  expect(rows).toHaveLength(200);
  expect(rows).toEqual([...new Set(rows)].sort((one, other) => one - other));
  for (let query = 0; query < 40; query++) expect(rows).toEqual(expect.arrayContaining([3 * query, 3 * query + 1]));
  // A vector for whoever writes this again in another language.
  expect(rows.filter((row) => row >= 120).slice(0, 6)).toMatchInlineSnapshot(`
    [
      125,
      138,
      145,
      154,
      155,
      156,
    ]
  `);
});

test("the sample depends on the seed and nothing else", () => {
  const of = (passages: number, seed: number, own?: number) => {
    const subCorpus = own === undefined ? { passages } : { passages, seed: own };
    return [...quickLook(source, qrels, { subCorpus }, seed).source.searchRows];
  };
  expect(of(200, 42)).toEqual(of(200, 42));
  expect(of(200, 42)).not.toEqual(of(200, 43));
  expect(of(200, 42, 7)).toEqual(of(200, 43, 7));
  // A larger part holds the smaller one, so that looks of several sizes can be told apart by size alone.
  expect(of(300, 42)).toEqual(expect.arrayContaining(of(200, 42)));
});

test("sampled queries judge fewer passages, and the others' passages may stay away", () => {
  const look = quickLook(source, qrels, { subCorpus: { passages: 100 }, sampleQueries: 10 }, 42);
  expect(look.ofQueries).toBe(40);
  expect(look.qrels.queryRows).toHaveLength(10);
  expect(look.part).toEqual({ unjudged: 980, sampled: 80, searched: 100, total: 1000 });
  expect([...quickLook(source, qrels, { sampleQueries: 10 }, 42).qrels.queryRows]).toEqual([...look.qrels.queryRows]);
});

test("a part without room beside the judged passages is refused", () => {
  expect(() => quickLook(source, qrels, { subCorpus: { passages: 80 } }, 42)).toThrow(
    "evaluate.subCorpus.passages: 80 leave no room beside the 80 judged passages",
  );
});

test("more judged passages than a Set holds stay", () => {
  const all = countTo(2 ** 24 + 300);
  const rows = all.subarray(0, -200);
  const judged: Qrels = { ...qrels, queryRows: countTo(1), judgements: () => ({ rows, scores: new Float32Array(0) }) };
  const { part } = quickLook(sourceOf(all.subarray(-600)), judged, { subCorpus: { passages: 500 } }, 42);
  expect(part).toEqual({ unjudged: 200, sampled: 100, searched: 500, total: 600 });
});
