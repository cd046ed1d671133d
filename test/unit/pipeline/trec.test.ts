/** Runs hold what was found and nothing else; scores written as text read back as the very same float32. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { formatFloat32, prepareSource } from "../../../src/data/index.js";
import { writeRun } from "../../../src/pipeline/trec.js";
import { newCollection, passages, qrels, queries, sourceOf } from "../data/collection.js";

test("a query with fewer passages than were asked for has a line for each of them", async () => {
  const { context, dir } = newCollection({
    ...{ "corpus.jsonl": passages(2), "queries.jsonl": queries(2), "test.tsv": qrels([["q0", "d0", 1]]) },
  });
  const source = await prepareSource(sourceOf({ queries: "queries.jsonl", qrels: "test.tsv" }), context);
  const padding = Number.NEGATIVE_INFINITY;
  const found = { scores: Float32Array.of(0.5, padding, 2, 1), rows: Int32Array.of(1, -1, 0, 1) };
  const path = join(dir, "run.trec");
  await writeRun(path, { queryCount: 2, topK: 2, ...found }, Int32Array.of(0, 1), source, "quarry");
  source.close();
  expect(readFileSync(path, "utf8").split("\n")).toEqual([
    "q0 Q0 d1 1 0.5 quarry",
    "q1 Q0 d0 1 2 quarry",
    "q1 Q0 d1 2 1 quarry",
    "",
  ]);
});

test("a formatted score reads back as the same float32", () => {
  fc.assert(
    fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), (value) => {
      expect(Math.fround(Number(formatFloat32(value)))).toBe(value === 0 ? Number(formatFloat32(value)) : value);
    }),
    { numRuns: 5_000 },
  );
});

test("short scores stay short", () => {
  expect([0.5, 1, Math.fround(0.1), Math.fround(0.7123456)].map(formatFloat32)).toEqual([
    "0.5",
    "1",
    "0.1",
    "0.7123456",
  ]);
});
