/** Every format of mined negatives, read back by the data plane's own readers: the same triples, the same scores. */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { TextTable } from "../../../../src/data/types.js";
import { type Mined, mineToFiles, readBack } from "./mined-files.js";

/** Judgements of one side, with the label or the score as the last column. */
function expected(mined: Mined, side: "positives" | "negatives" | "both", value: "label" | "score"): string[] {
  return mined.judgements
    .map((line) => line.split(" | "))
    .filter(([, , label]) => side === "both" || label === (side === "positives" ? "1" : "0"))
    .map(([query, passage, label, score]) => [query, passage, value === "label" ? label : score].join(" | "))
    .sort();
}

const texts = { corpus: "corpus.jsonl", queries: "queries.jsonl" } as const;
const all = { part: "all", scores: "labels" } as const;

describe("formats with ids", () => {
  test.each(["negatives.tsv", "negatives.grouped.jsonl", "negatives.run"])(
    "%s is read as qrels of negatives",
    async (file) => {
      const mined = await mineToFiles();
      const found = await readBack(mined.collection, { ...texts, qrels: mined.path(file) });
      expect(found).toEqual(expected(mined, "negatives", "score"));
      expect(found).toHaveLength(4 * 3);
    },
  );

  test("triples hold each positive with each negative", async () => {
    const mined = await mineToFiles();
    const path = mined.path("negatives.triples.tsv");
    expect(await readBack(mined.collection, { ...texts, qrels: path })).toEqual(expected(mined, "both", "label"));
    expect(readFileSync(path, "utf8").trim().split("\n")).toHaveLength((2 + 1 + 1 + 1) * 3);
  });

  test("with scores, the positives get a file of their own", async () => {
    const mined = await mineToFiles({ scores: true });
    const found = await readBack(mined.collection, { ...texts, qrels: mined.path("positives.tsv") });
    expect(found).toEqual(expected(mined, "positives", "score"));
    const plain = await mineToFiles();
    expect(readdirSync(plain.path(""))).not.toContain("positives.tsv");
  });
});

describe("training files of other toolkits", () => {
  const files = [
    "negatives.tevatron.jsonl",
    "negatives.flagembedding.jsonl",
    "negatives.triplet.jsonl",
    "negatives.n-tuple.jsonl",
    "negatives.labeled-pair.jsonl",
    "negatives.labeled-list.jsonl",
  ];

  test.each(files)("%s is recognised and gives the same positives and negatives", async (name) => {
    const mined = await mineToFiles();
    const file = mined.path(name);
    expect(await readBack(mined.collection, { corpus: file, queries: file, qrels: file })).toEqual(
      expected(mined, "both", "label"),
    );
  });

  test.each(files)("%s gives the very scores as a teacher's", async (name) => {
    const mined = await mineToFiles({ scores: true });
    const file = mined.path(name);
    const qrels = { ...all, path: file, scores: "teacher" } as const;
    expect(await readBack(mined.collection, { corpus: file, queries: file, qrels })).toEqual(
      expected(mined, "both", "score"),
    );
  });

  test("texts that are in memory together are those of one query where its own take more than 64 MiB", async () => {
    const read: number[] = [];
    const long = (table: TextTable): TextTable =>
      new Proxy(table, {
        get(_, name: keyof TextTable) {
          const value = table[name];
          if (typeof value !== "function") return value;
          const call = value.bind(table) as (...of: unknown[]) => unknown;
          if (name === "byteLength") return () => 17 << 20;
          if (name !== "gather") return call;
          return (rows: Int32Array) => {
            read.push(rows.length);
            return call(rows);
          };
        },
      });
    const [mined, plain] = [await mineToFiles({ passages: long }), await mineToFiles()];
    expect(read).toEqual([5, 4, 4, 4]);
    for (const file of files) expect(readFileSync(mined.path(file))).toEqual(readFileSync(plain.path(file)));
  });

  test("a source's template is applied, and FlagEmbedding's file carries its prompt", async () => {
    const source = { templates: { passage: "{title}: {text}" }, prompts: { query: "ask: " } };
    const mined = await mineToFiles({ source });
    const [line] = readFileSync(mined.path("negatives.flagembedding.jsonl"), "utf8").split("\n");
    const { prompt, pos } = JSON.parse(line as string) as { prompt: string; pos: string[] };
    expect(prompt).toBe("ask: ");
    expect(pos[0]).toBe('Title 0: a "quoted" one of passage 0');
  });
});

describe("what is left out", () => {
  test("positives without a score, when scores are written: no line may lack one", async () => {
    const far = { "qrels.tsv": "query-id\tcorpus-id\tscore\nq0\td0\t1\nq0\td11\t1\n" };
    const mined = await mineToFiles({
      scores: true,
      source: { qrels: "far.tsv" },
      files: { "far.tsv": far["qrels.tsv"] },
    });
    const file = mined.path("negatives.tevatron.jsonl");
    const [line] = readFileSync(file, "utf8").split("\n");
    expect((JSON.parse(line as string) as { positive_passages: object[] }).positive_passages).toHaveLength(1);
    expect(mined.positivesLeftOut).toBe(1);
  });

  test("queries without a positive, where a line needs one; a passage that stands in is one", async () => {
    const mined = await mineToFiles({ queries: "all" });
    const byFile = Object.fromEntries(mined.files.map(({ file, queriesLeftOut }) => [file, queriesLeftOut]));
    expect(byFile).toMatchObject({ "negatives.tsv": 0, "negatives.tevatron.jsonl": 1, "negatives.triples.tsv": 1 });
    const standIn = await mineToFiles({ queries: "all", rules: { standIn: "top" } });
    expect(standIn.files.map(({ queriesLeftOut }) => queriesLeftOut)).toEqual(standIn.files.map(() => 0));
  });

  test("queries with fewer negatives than asked for, and from n-tuples those without a full row", async () => {
    const rules = { limits: [{ maxScore: 0.14 }], negativesPerQuery: 3 };
    const mined = await mineToFiles({ rules });
    const leftOut = (found: Mined, name: string) => found.files.find(({ file }) => file === name)?.queriesLeftOut;
    expect([leftOut(mined, "negatives.tsv"), leftOut(mined, "negatives.n-tuple.jsonl")]).toEqual([0, 4]);
    const strict = await mineToFiles({ rules, minNegatives: 3 });
    expect([leftOut(strict, "negatives.tsv"), leftOut(strict, "negatives.n-tuple.jsonl")]).toEqual([4, 4]);
  });
});

test("a cross-encoder's scores are the teacher's labels, of positives that were not retrieved as well", async () => {
  const score = ({ queryRow, passageRow }: { queryRow: number; passageRow: number }): number =>
    Math.fround(queryRow + passageRow / 7);
  const asked: number[] = [];
  const scorer = {
    score: async (pairs: readonly { queryRow: number; passageRow: number }[]) => {
      asked.push(pairs.length);
      return Float32Array.from(pairs, score);
    },
  };
  const qrels = "query-id\tcorpus-id\tscore\nq0\td0\t1\nq0\td11\t1\nq1\td1\t1\n";
  const mined = await mineToFiles({
    scores: true,
    fillRandom: true,
    source: { qrels: "far.tsv" },
    files: { "far.tsv": qrels },
    rules: { limits: [{ maxScore: 0.13 }] },
    rescore: { rules: { orderBy: "crossEncoder", maxScore: 10 }, scorer, queriesAtOnce: 1_000 },
  });
  expect(mined.positivesLeftOut).toBe(0);
  expect(mined.report.filled).toBe(2);
  // What the rules left is asked in one call, what was filled up in another.
  expect(asked).toHaveLength(2);
  const file = mined.path("negatives.flagembedding.jsonl");
  const found = await readBack(mined.collection, {
    corpus: file,
    queries: file,
    qrels: { part: "all", path: file, scores: "teacher" },
  });
  expect(found).toEqual(expected(mined, "both", "score"));
  expect(found).toHaveLength(3 + 2 * 3);
  const far = score({ queryRow: 0, passageRow: 11 });
  expect(found).toContain(`what is "0"? | tabs\tand\nlines of passage 11 | ${far}`);
});

test("nothing half-written is left, and nothing but the files asked for", async () => {
  const mined = await mineToFiles();
  expect(readdirSync(mined.path("")).sort()).toEqual(mined.files.map(({ file }) => file).sort());
});
