/** Where a source's files are: folders, defaults, what is missing. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { sourceFiles } from "../../../src/data/source-files.js";
import { newCollection, sourceOf } from "./collection.js";

const paths = (files: readonly { readonly path: string }[] | null): string[] | null =>
  files?.map(({ path }) => path) ?? null;

test("a folder stands for the corpus and the queries in it, under the names in use, packed or not", () => {
  for (const [corpus, queries] of [
    ["corpus.jsonl", "queries.jsonl.gz"],
    ["collection.tsv", "queries.tsv"],
    ["corpus.csv.gz", "queries.csv"],
    ["corpus.parquet", "queries.parquet"],
    ["corpus.json", "queries.json"],
  ] as const) {
    const { dir } = newCollection({ [`beir/${corpus}`]: "", [`beir/${queries}`]: "", "beir/readme.txt": "" });
    const given = sourceFiles(sourceOf({ corpus: "beir" }), dir);
    expect([paths(given.corpus), paths(given.queries)]).toEqual([
      [join(dir, "beir", corpus)],
      [join(dir, "beir", queries)],
    ]);
    const named = sourceFiles(sourceOf({ corpus: "beir", queries: "beir" }), dir);
    expect(paths(named.queries)).toEqual([join(dir, "beir", queries)]);
  }
});

test("of several files in a folder BEIR's comes first, plain before packed", () => {
  const { dir } = newCollection({ "collection.tsv": "", "corpus.jsonl.gz": "", "corpus.jsonl": "" });
  expect(paths(sourceFiles(sourceOf({ corpus: "." }), dir).corpus)).toEqual([join(dir, "corpus.jsonl")]);
});

test("several files keep their order and their options", () => {
  const { dir } = newCollection({ "queries.jsonl": "" });
  const negatives = { path: "b.tsv", part: "negatives", scores: "labels" } as const;
  const { qrels, querySubset } = sourceFiles(sourceOf({ qrels: ["a.tsv", negatives], querySubset: "ids.txt" }), dir);
  expect(qrels).toEqual([
    { path: join(dir, "a.tsv"), part: "all", scores: "labels" },
    { ...negatives, path: join(dir, "b.tsv") },
  ]);
  expect(paths(querySubset)).toEqual([join(dir, "ids.txt")]);
});

test("queries are only needed where there are judgements", () => {
  const { dir } = newCollection({ "corpus.jsonl": "" });
  expect(sourceFiles(sourceOf(), dir).queries).toBeNull();
  expect(() => sourceFiles(sourceOf({ qrels: "a.tsv" }), dir)).toThrow(
    `the queries are not named, and there is no ${join(dir, "queries.jsonl")} beside the corpus.`,
  );
});

test("a folder without the files looked for, or in place of judgements, is a CONFIG error that lists names", () => {
  const { dir } = newCollection({
    "none/notes.txt": "",
    "qrels/test.tsv": "",
    "qrels/dev.tsv": "",
    "corpus.jsonl": "",
  });
  expect(() => sourceFiles(sourceOf({ corpus: "none" }), dir)).toThrow(/holds no corpus: looked for corpus\.jsonl,/);
  expect(() => sourceFiles(sourceOf({ qrels: "qrels" }), dir)).toThrow(
    expect.objectContaining({ code: "CONFIG", hint: "Name one of dev.tsv, test.tsv." }) as Error,
  );
});
