/** How training files are told from others by their beginning, and how strictly their JSON is read. */
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { JsonFault } from "../../../../src/data/readers/json-line.js";
import { flagEmbedding } from "../../../../src/data/readers/training/flagembedding.js";
import { openingOf } from "../../../../src/data/readers/training/opening.js";
import { sentenceTransformers } from "../../../../src/data/readers/training/sentence-transformers.js";
import { parseStrictly } from "../../../../src/data/readers/training/strict-json.js";
import { tevatron } from "../../../../src/data/readers/training/tevatron.js";
import { jsonLines, newCollection } from "../collection.js";
import { Reading } from "./training-reading.js";

describe("the first line tells the format", () => {
  const formats = [tevatron, flagEmbedding, sentenceTransformers];
  test.each<[string, object, string | undefined]>([
    ["Tevatron", { query_id: "1", query: "q", positive_passages: [] }, "tevatron"],
    ["old Tevatron", { query: "q", positives: ["a"], negatives: [] }, "tevatron"],
    ["Tevatron by ids", { query_id: "1", query_text: "q", positive_document_ids: [] }, "tevatron"],
    ["FlagEmbedding", { query: "q", pos: ["a"], neg: ["b"] }, "flagembedding"],
    ["pairs", { anchor: "q", positive: "a" }, "sentence-transformers"],
    ["graded pairs", { sentence1: "q", sentence2: "a", score: 1 }, "sentence-transformers"],
    ["lists", ["q", "a", "n"], "sentence-transformers"],
    ["BEIR passages", { _id: "d1", title: "t", text: "x" }, undefined],
    ["BEIR queries", { _id: "q1", text: "x", metadata: { query: "q", pos: [] } }, undefined],
    ["grouped judgements", { qid: "q1", docid: ["a"], score: [1] }, undefined],
    ["queries with answers", { id: "1", question: "q", answer: "a" }, undefined],
    ["one list of objects", [{ query: "q", pos: ["a"] }], "flagembedding"],
    ["one list of BEIR passages", [{ _id: "d", text: "x" }], undefined],
  ])("%s", async (_, line, expected) => {
    const found = [];
    for (const format of formats)
      if (await new Reading(format, newCollection().write("train.jsonl", jsonLines([line]))).isRecognised())
        found.push(format.name);
    expect(found).toEqual(expected === undefined ? [] : [expected]);
  });

  test("also when it is longer than what is looked at, packed, or behind a byte order mark", async () => {
    const long = `{"query": "q \\" {", "pos": ["${"x".repeat(100_000)}"], "neg": []}\n`;
    const { write } = newCollection();
    for (const [name, content] of [
      ["a.json", long],
      ["b.jsonl.gz", gzipSync(long)],
      ["c.jsonl", `\ufeff${long}`],
    ] as const) {
      expect(await new Reading(flagEmbedding, write(name, content)).isRecognised()).toBe(true);
    }
  });
});

test("the opening has the keys of every object, however it is cut", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue(), { minKeys: 1 }), fc.nat(), (value, cut) => {
      const bytes = Buffer.from(JSON.stringify(value));
      expect(openingOf(bytes)?.keys).toEqual(new Set(Object.keys(value)));
      const part = openingOf(bytes.subarray(0, 1 + (cut % bytes.byteLength)));
      for (const key of part?.keys ?? []) expect(Object.keys(value)).toContain(key);
    }),
  );
});

test("strict JSON is what JSON.parse reads, and refuses every doubled key", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.string(), fc.jsonValue(), (value, key, other) => {
      const bytes = Buffer.from(JSON.stringify(value));
      expect(parseStrictly(bytes, 0, bytes.byteLength)).toEqual(JSON.parse(bytes.toString()));
      const name = JSON.stringify(key);
      const doubled = Buffer.from(`[{${name}: ${JSON.stringify(value)}, ${name}: ${JSON.stringify(other)}}]`);
      expect(() => parseStrictly(doubled, 0, doubled.byteLength)).toThrow(JsonFault);
    }),
  );
});
