/** Training files as whole sources: real samples of each format, and what becomes of texts and queries that come again. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { prepareSource } from "../../../../src/data/index.js";
import { flagEmbedding } from "../../../../src/data/readers/training/flagembedding.js";
import { tevatron } from "../../../../src/data/readers/training/tevatron.js";
import { jsonLines, newCollection } from "../collection.js";
import { Reading } from "./training-reading.js";

describe("one training file as corpus, queries and judgements", () => {
  const sourceOf = (file: string) => ({ kind: "source", corpus: file, queries: file, qrels: file }) as const;

  test("equal texts are one passage, and a query's judgements add up over its lines", async () => {
    const lines = [
      { query: "q", pos: ["a"], neg: ["b"] },
      { query: "r", pos: ["b"], neg: ["a"] },
      { query: "q", pos: ["c"], neg: ["d"] },
    ];
    const { context } = newCollection({ "train.jsonl": jsonLines(lines) });
    const { passages, queries, qrels, close } = await prepareSource(sourceOf("train.jsonl"), context);
    expect([passages.rowCount, queries.rowCount]).toEqual([4, 2]);
    const judged = [...(qrels?.queryRows ?? [])].map((row) => qrels?.annotated(row).rows.length);
    expect(judged).toEqual([4, 2]);
    close();
  });

  test("a docid with another text is a duplicate id, told with its line", async () => {
    const line = (text: string) => ({
      query_id: "q",
      query: "q",
      positive_passages: [{ docid: "d", text }],
      negative_passages: [],
    });
    const same = newCollection({ "train.jsonl": jsonLines([line("a"), line("a")]) });
    const { passages, close } = await prepareSource(sourceOf("train.jsonl"), same.context);
    expect(passages.rowCount).toBe(1);
    close();
    const other = newCollection({ "train.jsonl": jsonLines([line("a"), line("b")]) });
    await expect(prepareSource(sourceOf("train.jsonl"), other.context)).rejects.toMatchObject({
      code: "DATA",
      message: expect.stringMatching(/train\.jsonl:2: "d" \(first in line 1\)/) as string,
    });
  });
});

const samples = join(
  process.env["QUARRY_TEST_DATA"] ?? join(import.meta.dirname, "../../../../../shared/data"),
  "formats",
);
const areMissing = !existsSync(join(samples, "flagembedding"));

describe.skipIf(areMissing)(`real samples${areMissing ? " (skipped: no data; set QUARRY_TEST_DATA)" : ""}`, () => {
  const records = (name: string): Record<string, unknown>[] => {
    const bytes = readFileSync(join(samples, name));
    const text = (name.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString("utf8");
    return text
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  };

  test("SciFact's Tevatron file has the queries, passages and judgements that are in it", async () => {
    const name = "scifact.train.tevatron.jsonl.gz";
    const lines = records(name) as {
      query_id: string;
      positive_passages: { docid: string }[];
      negative_passages: { docid: string }[];
    }[];
    const file = new Reading(tevatron, join(samples, name));
    const passages = lines.flatMap((line) => [...line.positive_passages, ...line.negative_passages]);
    const found = await file.texts("corpus");
    expect(await file.isRecognised()).toBe(true);
    expect(found.length).toBe(passages.length);
    expect(found.map((each) => each.id)).toEqual(passages.map(({ docid }) => docid));
    expect((await file.texts("queries")).map((each) => each.id)).toEqual(lines.map((line) => line.query_id));
    const judgements = await file.judgements();
    expect(judgements.filter(([, , score]) => score === 1).length).toBe(919);
    expect(judgements.length).toBe(passages.length);
    expect(lines.length).toBe(809);
  });

  test.each([
    ["nq", 989],
    ["msmarco", 260],
    ["nli", 20],
  ])("FlagEmbedding's %s has ten queries with prompts and %d passages with scores", async (name, count) => {
    const path = join(samples, "flagembedding", `${name}.jsonl`);
    const lines = records(join("flagembedding", `${name}.jsonl`)) as {
      neg_scores: number[];
      pos_scores: number[];
      prompt: string;
    }[];
    const file = new Reading(flagEmbedding, path, { scores: "teacher" });
    expect(await file.isRecognised()).toBe(true);
    expect(await file.prompts()).toEqual(lines.map(({ prompt }) => prompt));
    const scores = (await file.judgements()).map(([, , score]) => score);
    expect(scores).toEqual(lines.flatMap((line) => [...line.pos_scores, ...line.neg_scores]).map(Math.fround));
    expect([new Set(await file.ids()).size, scores.length]).toEqual([10, count]);
  });
});
