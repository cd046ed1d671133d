/** Further fields of records: kept where a source asks for them, in every format, and gathered with the texts. */
import { join } from "node:path";
import { tableFromIPC } from "apache-arrow";
import { describe, expect, test } from "vitest";
import { countUp } from "../../../src/data/random.js";
import { registerReader } from "../../../src/data/readers/registry.js";
import { openSources, prepareSource } from "../../../src/data/source.js";
import type { DataContext, TextTable } from "../../../src/data/types.js";
import type { SourceConfig } from "../../../src/experiment/schema.js";
import { jsonLines, newCollection, passages, qrels, queries, sourceOf } from "./collection.js";
import { hasPython, writeParquet } from "./readers/parquet-files.js";

/** The extras of all rows as plugins see them. */
function extrasOf(table: TextTable): unknown[] {
  const column = tableFromIPC(table.gather(countUp(table.rowCount))).getChild("extras");
  return [...(column ?? [])].map((each: string | null) => (each === null ? null : JSON.parse(each)));
}

async function extrasIn(context: DataContext, options: Partial<SourceConfig>): Promise<unknown[]> {
  const opened = await openSources(sourceOf(options), context);
  try {
    return extrasOf(opened.passages);
  } finally {
    opened.close();
  }
}

const WANTED = { passage: ["domain", "year"] };

describe("the fields that a source asks for", () => {
  test("come from JSONL with their types, missing ones and nulls left out", async () => {
    const lines = [
      { _id: "d0", text: "a", domain: 'l"äw\n', year: 1999, other: 1 },
      { _id: "d1", text: "b", domain: null, year: [1, { a: true }] },
      { _id: "d2", text: "c" },
    ];
    const { context } = newCollection({ "corpus.jsonl": jsonLines(lines) });
    expect(await extrasIn(context, { extras: WANTED })).toEqual([
      { domain: 'l"äw\n', year: 1999 },
      { year: [1, { a: true }] },
      null,
    ]);
  });

  test.each([
    ["corpus.csv", '_id,text,domain,year\nd0,a,"l,aw",1999\nd1,b,,2000\n'],
    ["corpus.tsv", "_id\ttext\tdomain\tyear\nd0\ta\tl,aw\t1999\nd1\tb\t\t2000\n"],
    [
      "corpus.json",
      '[{"_id": "d0", "text": "a", "domain": "l,aw", "year": "1999"}, {"_id": "d1", "text": "b", "year": "2000"}]',
    ],
  ])("come from %s", async (corpus, content) => {
    const { context } = newCollection({ [corpus]: content });
    const wanted = [{ domain: "l,aw", year: "1999" }, { year: "2000" }];
    expect(await extrasIn(context, { corpus, extras: WANTED })).toEqual(wanted);
  });

  test.skipIf(!hasPython)("come from Parquet", async () => {
    const { context, dir } = newCollection();
    const columns = {
      _id: ["pa.string()", ["d0", "d1"]],
      text: ["pa.string()", ["a", "b"]],
      domain: ["pa.string()", ["läw", null]],
      year: ["pa.int64()", ["1999", "2000"]],
      weight: ["pa.float32()", [0.5, null]],
      isGood: ["pa.bool_()", [true, false]],
      seen: ["pa.timestamp('ms')", [86_400_000, null]],
      day: ["pa.date32()", [null, 1]],
    } as const;
    writeParquet([{ path: join(dir, "corpus.parquet"), columns }]);
    const extras = { passage: ["domain", "year", "weight", "isGood", "seen", "day"] };
    expect(await extrasIn(context, { corpus: "corpus.parquet", extras })).toEqual([
      { domain: "läw", year: 1999, weight: 0.5, isGood: true, seen: "1970-01-02T00:00:00.000Z" },
      { year: 2000, isGood: false, day: "1970-01-02T00:00:00.000Z" },
    ]);
  });

  test("come from a registered reader, what a record lacks left out, and are refused when none has one", async () => {
    registerReader({
      name: "with-extras",
      *texts() {
        yield { id: "d0", text: "a", extras: { domain: "law", year: undefined } };
        yield { id: "d1", text: "b", extras: { domain: null, year: [2000] } };
        yield { id: "d2", text: "c" };
      },
    });
    const { context } = newCollection({ "corpus.x": "content" });
    const corpus = { path: "corpus.x", format: "with-extras", part: "all", scores: "labels" } as const;
    expect(await extrasIn(context, { corpus, extras: WANTED })).toEqual([{ domain: "law" }, { year: [2000] }, null]);
    const misspelt = extrasIn(context, { corpus, extras: { passage: ["domian"] } });
    await expect(misspelt).rejects.toThrow('no record has the field "domian" that extras asks for');
  });

  test("are refused when no record has one of them", async () => {
    const lines = [{ _id: "d0", text: "a", domain: "law" }];
    const { context } = newCollection({ "corpus.jsonl": jsonLines(lines), "corpus.csv": "_id,text,domain\nd0,a,b\n" });
    await expect(extrasIn(context, { extras: { passage: ["domain", "yeer"] } })).rejects.toMatchObject({
      code: "DATA",
      message: expect.stringContaining('no record has the field "yeer" that extras asks for'),
    });
    await expect(extrasIn(context, { corpus: "corpus.csv", extras: { passage: ["yeer"] } })).rejects.toMatchObject({
      code: "DATA",
      message: expect.stringContaining('no column for the extra field: none is called "yeer"'),
    });
  });

  test("are no texts any more: a title that is asked for is not joined with the text", async () => {
    const { context } = newCollection({ "corpus.jsonl": passages(3) });
    const opened = await openSources(sourceOf({ extras: { passage: ["title"] } }), context);
    expect([opened.passages.title(1), extrasOf(opened.passages)[1]]).toEqual(["", { title: "Title 1" }]);
    opened.close();
  });
});

test("the source's name travels with its texts where it is asked for, and another source's texts have none", async () => {
  const { context } = newCollection({
    "corpus.jsonl": jsonLines([
      { _id: "a", text: "x", domain: "law" },
      { _id: "b", text: "y" },
    ]),
    "more.jsonl": passages(1),
  });
  const named = sourceOf({ name: 'my "set"', extras: { passage: ["domain"], sourceName: true } });
  const data = { kind: "combined", merge: "last", sources: [named, sourceOf({ corpus: "more.jsonl" })] } as const;
  const opened = await openSources({ ...data, sources: [...data.sources] }, context);
  expect(extrasOf(opened.passages)).toEqual([{ source: 'my "set"', domain: "law" }, { source: 'my "set"' }, null]);
  opened.close();
});

test("fingerprints follow extras and nothing else changes: without any a batch has no such column", async () => {
  const files = {
    "corpus.jsonl": jsonLines([{ _id: "d0", text: "a", domain: "law" }]),
    "queries.jsonl": queries(1),
    "qrels.tsv": qrels([["q0", "d0", 1]]),
  };
  const { context, write } = newCollection(files);
  const prints: string[] = [];
  const look = async (options: Partial<SourceConfig>): Promise<void> => {
    const source = await prepareSource(sourceOf({ qrels: "qrels.tsv", ...options }), context);
    prints.push(source.passages.fingerprint, source.fingerprint);
    if (options.extras === undefined) {
      const names = tableFromIPC(source.passages.gather(Int32Array.of(0))).schema.fields.map(({ name }) => name);
      expect(names).toEqual(["row", "idRank", "title", "text"]);
    }
    source.close();
  };
  await look({});
  await look({ extras: { passage: ["domain"] } });
  await look({ name: "one", extras: { passage: ["domain"], sourceName: true } });
  await look({ name: "two", extras: { passage: ["domain"], sourceName: true } });
  write("corpus.jsonl", jsonLines([{ _id: "d0", text: "a", domain: "art" }]));
  await look({ extras: { passage: ["domain"] } });
  expect(new Set(prints).size).toBe(prints.length);
});
