/** Training files of other toolkits: what each shape of a line becomes, and how broken lines are told. */
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { Format } from "../../../../src/data/readers/reader.js";
import { flagEmbedding } from "../../../../src/data/readers/training/flagembedding.js";
import { sentenceTransformers } from "../../../../src/data/readers/training/sentence-transformers.js";
import { tevatron } from "../../../../src/data/readers/training/tevatron.js";
import { QuarryError } from "../../../../src/errors.js";
import type { FileConfig } from "../../../../src/experiment/schema.js";
import { newCollection } from "../collection.js";
import { Reading } from "./training-reading.js";

const id = (kind: "q" | "p", ...parts: string[]): string =>
  `${kind}-${createHash("sha256").update(parts.join("\0")).digest("hex").slice(0, 24)}`;

function reading(
  format: Format,
  lines: readonly unknown[],
  options: Partial<FileConfig> = {},
  isLenient = false,
): Reading {
  const content = lines.map((line) => `${typeof line === "string" ? line : JSON.stringify(line)}\n`).join("");
  return new Reading(
    format,
    newCollection({ "train.jsonl": content }).write("train.jsonl", content),
    options,
    isLenient,
  );
}

async function failure(work: Promise<unknown>): Promise<QuarryError> {
  const thrown = await work.then(
    () => null,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(QuarryError);
  return thrown as QuarryError;
}

describe("Tevatron", () => {
  const line = {
    query_id: "q1",
    query: "what?",
    answers: ["x"],
    positive_passages: [{ docid: "d1", title: "T", text: "one" }],
    negative_passages: [{ docid: "d2", title: null, text: "two", score: 3 }, { text: "three" }],
  };

  test("passages as objects give corpus, queries, judgements and query ids", async () => {
    const file = reading(tevatron, [line]);
    expect(await file.texts("corpus")).toEqual([
      { id: "d1", title: "T", text: "one", line: 1 },
      { id: "d2", title: "", text: "two", line: 1 },
      { id: id("p", "three"), title: "", text: "three", line: 1 },
    ]);
    expect(await file.texts("queries")).toEqual([{ id: "q1", title: "", text: "what?", line: 1 }]);
    expect(await file.judgements()).toEqual([
      ["q1", "d1", 1],
      ["q1", "d2", 0],
      ["q1", id("p", "three"), 0],
    ]);
    expect(await file.ids()).toEqual(["q1"]);
  });

  test("a passage without docid has an id of its title and text", async () => {
    const file = reading(tevatron, [
      { query: "q", positive_passages: [{ title: "T", text: "x" }], negative_passages: [] },
    ]);
    expect(await file.judgements()).toEqual([[id("q", "q"), id("p", "T", "x"), 1]]);
  });

  test("plain lists of texts are read, and token ids refused", async () => {
    const file = reading(tevatron, [{ query: "q", positives: ["a"], negatives: ["b", "c"] }]);
    expect((await file.judgements()).map(([, , score]) => score)).toEqual([1, 0, 0]);
    const tokens = reading(tevatron, [{ query: [101, 2054], positives: [[7, 8]], negatives: [] }]);
    const error = await failure(tokens.texts("corpus"));
    expect(error.code).toBe("DATA");
    expect(error.message).toMatch(/train\.jsonl:1: the field "query" holds token ids/);
  });

  test("ids alone give queries and judgements, and a CONFIG error for a corpus", async () => {
    const file = reading(tevatron, [
      {
        query_id: "q1",
        query_text: "what?",
        query_image: null,
        positive_document_ids: ["d1"],
        negative_document_ids: ["d2"],
      },
    ]);
    expect(await file.judgements()).toEqual([
      ["q1", "d1", 1],
      ["q1", "d2", 0],
    ]);
    expect((await file.texts("queries"))[0]?.text).toBe("what?");
    expect((await failure(file.texts("corpus"))).code).toBe("CONFIG");
  });

  test("part picks positives or negatives", async () => {
    const scores = async (part: "positives" | "negatives"): Promise<number[]> =>
      (await reading(tevatron, [line], { part }).judgements()).map(([, , score]) => score);
    expect(await scores("positives")).toEqual([1]);
    expect(await scores("negatives")).toEqual([0, 0]);
  });

  test("a teacher's scores count where they are written, else they are a CONFIG error", async () => {
    const scored = { ...line, positive_passages: [{ docid: "d1", text: "one", score: 9.5 }], negative_passages: [] };
    const options = { scores: "teacher" } as const;
    expect(await reading(tevatron, [scored], options).judgements()).toEqual([["q1", "d1", 9.5]]);
    expect((await failure(reading(tevatron, [line], options).judgements())).code).toBe("CONFIG");
    const later = await failure(reading(tevatron, [scored, line], options).judgements());
    expect([later.code, later.message.includes("train.jsonl:2:")]).toEqual(["DATA", true]);
  });
});

describe("FlagEmbedding", () => {
  const line = {
    query: "q",
    pos: ["a"],
    neg: ["b", "c"],
    pos_scores: [0.9],
    neg_scores: [0.25, 0.5],
    prompt: "Find",
    type: "normal",
  };

  test("labels are 1 and 0, a teacher's scores those written, and the prompt is the query's own", async () => {
    const query = id("q", "Find", "q");
    expect(await reading(flagEmbedding, [line]).judgements()).toEqual([
      [query, id("p", "a"), 1],
      [query, id("p", "b"), 0],
      [query, id("p", "c"), 0],
    ]);
    const scored = await reading(flagEmbedding, [line], { scores: "teacher" }).judgements();
    expect(scored.map(([, , score]) => score)).toEqual([Math.fround(0.9), 0.25, 0.5]);
    expect(await reading(flagEmbedding, [line]).prompts()).toEqual(["Find"]);
    expect(flagEmbedding.hasPrompts).toBe("queries");
  });

  test("negatives, scores and prompt may be missing", async () => {
    const file = reading(flagEmbedding, [
      { query: "q", pos: ["a"] },
      { query: "r", pos: "b", neg: [], pos_scores: null },
    ]);
    expect(await file.judgements()).toEqual([
      [id("q", "q"), id("p", "a"), 1],
      [id("q", "r"), id("p", "b"), 1],
    ]);
    expect(await file.prompts()).toEqual(["", ""]);
  });

  test("lists of unequal length are faults with file and line, in every role alike", async () => {
    const bad = { ...line, neg_scores: [0.25] };
    for (const role of ["corpus", "queries"] as const) {
      const error = await failure(reading(flagEmbedding, [line, bad]).texts(role));
      expect(error.message).toMatch(/train\.jsonl:2: 1 number in "neg_scores" for 2 texts in "neg"/);
    }
    const lenient = reading(flagEmbedding, [bad, line], {}, true);
    expect([(await lenient.texts("corpus")).length, lenient.faults.length]).toEqual([3, 1]);
    expect([(await lenient.judgements()).length, lenient.faults.length]).toEqual([3, 2]);
  });

  test("the same question under two prompts is two queries", async () => {
    const ids = await reading(flagEmbedding, [line, { ...line, prompt: "Other" }, line]).ids();
    expect([ids[0] === ids[2], ids[0] === ids[1]]).toEqual([true, false]);
  });
});

describe("sentence-transformers", () => {
  const judged = async (line: unknown, options: Partial<FileConfig> = {}): Promise<[string, number][]> =>
    (await reading(sentenceTransformers, [line], options).judgements()).map(([, passage, score]) => [passage, score]);
  const [a, b, c] = [id("p", "a"), id("p", "b"), id("p", "c")];

  test.each([
    ["anchor, positive", { anchor: "q", positive: "a" }, [[a, 1]]],
    [
      "query, positive, negative",
      { query: "q", positive: "a", negative: "b" },
      [
        [a, 1],
        [b, 0],
      ],
    ],
    [
      "negatives with numbers, in their order",
      { negative_10: "c", anchor: "q", positive: "a", negative_2: "b" },
      [
        [a, 1],
        [b, 0],
        [c, 0],
      ],
    ],
    [
      "query, pos, neg",
      { query: "q", pos: ["a", "b"], neg: ["c"] },
      [
        [a, 1],
        [b, 1],
        [c, 0],
      ],
    ],
    ["a pair as a list", ["q", "a"], [[a, 1]]],
    [
      "a triplet as a list",
      ["q", "a", "b"],
      [
        [a, 1],
        [b, 0],
      ],
    ],
    ["a pair with a grade", { sentence1: "q", sentence2: "a", score: 0.25 }, [[a, 0.25]]],
    ["a pair with the label 0", { anchor: "q", positive: "b", label: 0 }, [[b, 0]]],
    [
      "a list with labels",
      { anchor: "q", positive: ["a", "b"], labels: [1, 0] },
      [
        [a, 1],
        [b, 0],
      ],
    ],
  ])("%s", async (_, line, expected) => {
    expect(await judged(line)).toEqual(expected);
  });

  test("scores beside negatives are a teacher's, positives first", async () => {
    const line = { negative_2: "c", anchor: "q", positive: "a", negative_1: "b", scores: [3, 2, 1] };
    expect(await judged(line)).toEqual([
      [a, 1],
      [b, 0],
      [c, 0],
    ]);
    expect(await judged(line, { scores: "teacher" })).toEqual([
      [a, 3],
      [b, 2],
      [c, 1],
    ]);
  });

  test("a margin is no score of a passage", async () => {
    const line = { query: "q", positive: "a", negative: "b", label: 4.5 };
    expect(await judged(line)).toEqual([
      [a, 1],
      [b, 0],
    ]);
    expect((await failure(judged(line, { scores: "teacher" }))).code).toBe("CONFIG");
  });

  test("part goes by the grade where a line has one", async () => {
    expect(await judged({ anchor: "q", positive: "b", label: 0 }, { part: "negatives" })).toEqual([[b, 0]]);
  });

  test("fields may name the query and the positives", async () => {
    const line = { frage: "q", antwort: "a" };
    expect(await judged(line, { fields: { query: "frage", passage: "antwort" } })).toEqual([[a, 1]]);
    expect((await failure(judged(line, { fields: { title: "frage" } }))).code).toBe("CONFIG");
  });
});

describe("broken lines are a DATA error that names file and line", () => {
  const good = '{"query": "q", "pos": ["a"]}';
  test.each<[string, Format, unknown, RegExp]>([
    ["bad JSON", flagEmbedding, '{"query": "q", "pos": ["a"}', /column \d+: bad JSON/],
    ["a key twice", flagEmbedding, '{"query": "q", "query": "r", "pos": []}', /"query" occurs twice/],
    [
      "a key twice, inside",
      tevatron,
      '{"query": "q", "positive_passages": [{"text": "a:b", "text": "c"}]}',
      /key occurs twice/,
    ],
    ["half a surrogate pair", flagEmbedding, '{"query": "\\ud800", "pos": ["a"]}', /lone surrogate/],
    ["no query", flagEmbedding, { pos: ["a"] }, /no field "query".*the line/],
    ["a query that is no string", flagEmbedding, { query: 7, pos: ["a"] }, /"query" is no string: 7/],
    ["a positive that is no string", flagEmbedding, { query: "q", pos: [{ text: "a" }] }, /"pos" is no string/],
    [
      "a score that is no number",
      flagEmbedding,
      { query: "q", pos: ["a"], pos_scores: ["1"] },
      /"pos_scores" holds "1"/,
    ],
    ["a score beyond float32", flagEmbedding, '{"query": "q", "pos": ["a"], "pos_scores": [1e39]}', /holds 1e\+39/],
    [
      "a numeric docid",
      tevatron,
      '{"query": "q", "positive_passages": [{"docid": 9007199254740993, "text": "a"}]}',
      /"docid" is a number/,
    ],
    [
      "white space in a docid",
      tevatron,
      { query: "q", positive_passages: [{ docid: "a b", text: "a" }] },
      /white space/,
    ],
    [
      "a passage without text",
      tevatron,
      { query: "q", positive_passages: [{ docid: "d" }] },
      /no field "text" in a passage/,
    ],
    ["no passages", tevatron, { query: "q" }, /no field "positive_passages"/],
    ["a list of one", sentenceTransformers, ["q"], /a list of 1 text\./],
    ["a set", sentenceTransformers, { set: ["a", "b"] }, /no field "anchor"/],
    ["no object", flagEmbedding, '"q"', /JSON object was expected/],
  ])("%s", async (_, format, line, words) => {
    const first = format === flagEmbedding ? good : '["q", "a"]';
    const lines = format === tevatron ? [line] : [first, line];
    const error = await failure(reading(format, lines).texts("corpus"));
    expect(error.code).toBe("DATA");
    expect(error.message).toContain(`train.jsonl:${lines.length}: `);
    expect(error.message).toMatch(words);
    expect(error.hint).toBeTruthy();
  });

  test("a file that is one list of objects is read element by element, each with its line", async () => {
    const content = '[{"query": "q", "pos": ["a"]},\n {"query": "r",\n  "pos": ["b"]},\n {"query": 1, "pos": []}]\n';
    const file = new Reading(flagEmbedding, newCollection().write("train.json", content), {}, true);
    expect((await file.texts("queries")).map(({ text, line }) => [text, line])).toEqual([
      ["q", 1],
      ["r", 2],
    ]);
    expect(file.faults).toEqual(['4: the field "query" is no string: 1.']);
  });

  test("where bad lines are left out, the others are read", async () => {
    const file = reading(flagEmbedding, [good, "{", { query: 1, pos: [] }, good], {}, true);
    expect((await file.ids()).length).toBe(2);
    expect(file.faults.map((fault) => fault.split(":")[0])).toEqual(["2", "3"]);
  });
});
