/** Texts as they travel: the bytes apache-arrow would write, prompts and templates as plain strings would join, ids in run files. */
import {
  Field,
  Int32,
  makeData,
  RecordBatch,
  RecordBatchStreamWriter,
  Schema,
  Struct,
  tableFromIPC,
  Utf8,
  vectorFromArray,
} from "apache-arrow";
import fc from "fast-check";
import { expect, test } from "vitest";
import { openSource, openSources } from "../../../src/data/source.js";
import { styleOf } from "../../../src/data/texts/style.js";
import { TextPool } from "../../../src/data/texts/text-pool.js";
import { jsonLines, newCollection, sourceOf } from "./collection.js";

interface Row {
  readonly row: number;
  readonly idRank: number;
  readonly title: string;
  readonly text: string;
  readonly prompt?: string | null;
  readonly extras?: string | null;
}

/** The same batch, made by apache-arrow from strings. */
function byArrow(rows: readonly Row[], hasPrompts: boolean, hasExtras = false): Uint8Array {
  const strings = (values: readonly (string | null)[]) => {
    const data = vectorFromArray(values, new Utf8()).data[0]!;
    if (data.nullCount === 0) return data;
    // The builder hands over all the room it took for the bitmap.
    return data.clone(data.type, 0, values.length, data.nullCount, {
      0: data.valueOffsets,
      1: data.values,
      2: data.nullBitmap!.slice(0, Math.ceil(values.length / 8)),
    } as never);
  };
  const ints = (values: readonly number[]) => makeData({ type: new Int32(), data: Int32Array.from(values) });
  const fields = [
    new Field("row", new Int32(), false),
    new Field("idRank", new Int32(), false),
    new Field("title", new Utf8(), false),
    new Field("text", new Utf8(), false),
    ...(hasPrompts ? [new Field("prompt", new Utf8(), true)] : []),
    ...(hasExtras ? [new Field("extras", new Utf8(), true)] : []),
  ];
  const children = [
    ints(rows.map(({ row }) => row)),
    ints(rows.map(({ idRank }) => idRank)),
    strings(rows.map(({ title }) => title)),
    strings(rows.map(({ text }) => text)),
    ...(hasPrompts ? [strings(rows.map(({ prompt }) => prompt ?? null))] : []),
    ...(hasExtras ? [strings(rows.map(({ extras }) => extras ?? null))] : []),
  ];
  const data = makeData({ type: new Struct(fields), length: rows.length, nullCount: 0, children });
  const writer = new RecordBatchStreamWriter();
  writer.write(new RecordBatch(new Schema(fields), data));
  writer.finish();
  return writer.toUint8Array(true);
}

test("a batch with extras has the bytes of apache-arrow's writer, too", async () => {
  const lines = ["law", null, "art"].map((domain, row) => ({ _id: `q${row}`, text: `text ${row}`, domain }));
  const { context } = newCollection({ "corpus.jsonl": jsonLines(lines) });
  const { passages, close } = await openSources(sourceOf({ extras: { passage: ["domain"] } }), context);
  const expected = lines.map(({ text, domain }, row) => {
    const extras = domain === null ? null : JSON.stringify({ domain });
    return { row, idRank: row, title: "", text, prompt: null, extras };
  });
  const frame = passages.gather(Int32Array.of(0, 1, 2));
  expect(Buffer.from(frame).equals(Buffer.from(byArrow(expected, true, true)))).toBe(true);
  close();
});

const word = fc.string({ unit: "grapheme", maxLength: 12 });
const record = fc.record({
  title: word,
  text: fc.string({ unit: "grapheme", minLength: 1, maxLength: 40 }),
  prompt: word,
});
const records = fc.array(record, { minLength: 1, maxLength: 20 });
const template = fc
  .tuple(
    fc.constantFrom("", "{title}", "{title}: ", "Titel – {title}\n"),
    fc.constantFrom("", " | {text}", "{text}{title}"),
  )
  .map(([before, after]) => `${before}{text}${after}`);

test("a gathered batch has the bytes of apache-arrow's writer, texts as plain strings would join, prompts in order of precedence", async () => {
  const style = fc.record({ template: fc.option(template), prompt: fc.option(word), hasOwn: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(
      records,
      style,
      fc.array(fc.nat(), { minLength: 1, maxLength: 40 }),
      async (list, options, picks) => {
        const lines = list.map(({ title, text, prompt }, row) => ({
          _id: `q${row}`,
          title,
          text: `t${text}`,
          ...(options.hasOwn ? { instruction: prompt } : {}),
        }));
        const { context } = newCollection({ "corpus.jsonl": jsonLines(lines), "queries.jsonl": jsonLines(lines) });
        const source = sourceOf({
          queries: {
            path: "queries.jsonl",
            part: "all",
            scores: "labels",
            ...(options.hasOwn ? { fields: { prompt: "instruction" } } : {}),
          },
          ...(options.prompt === null ? {} : { prompts: { query: options.prompt } }),
          ...(options.template === null ? {} : { templates: { query: options.template } }),
        });
        const { queries, close } = await openSources(source, context);
        const rows = Int32Array.from(picks, (pick) => pick % list.length);
        const ranked = list.map((_, row) => `q${row}`).toSorted();
        const expected = [...rows].map((row): Row => {
          const { title, text, prompt } = lines[row] as (typeof lines)[number] & {
            instruction?: string;
            prompt?: never;
          };
          const own = (lines[row] as { instruction?: string }).instruction ?? "";
          void prompt;
          const filled = options.template?.replaceAll("{title}", () => title).replaceAll("{text}", () => text);
          return {
            row: row + 7,
            idRank: ranked.indexOf(`q${row}`),
            title: filled === undefined ? title : "",
            text: filled ?? text,
            prompt: own === "" ? options.prompt : own,
          };
        });
        const hasPrompts = options.hasOwn || options.prompt !== null;
        const frame = queries.gather(rows, 7);
        expect(Buffer.from(frame).equals(Buffer.from(byArrow(expected, hasPrompts)))).toBe(true);
        const table = tableFromIPC(frame);
        expect(table.toArray().map((each) => ({ ...each.toJSON() }))).toEqual(
          expected.map(({ prompt, ...rest }) => (hasPrompts ? { ...rest, prompt } : rest)),
        );
        expect(tableFromIPC(queries.gather(new Int32Array(0))).numRows).toBe(0);
        close();
      },
    ),
    { numRuns: 40 },
  );
});

test("a template without {text} or with another name is refused", () => {
  const of = (passage: string) => () => styleOf(sourceOf({ templates: { passage } }), "passage");
  expect(of("{title}")).toThrow(/leaves the text out/);
  expect(of("{text} {body}")).toThrow(/there is no \{body\}/);
  expect(of("{text} { }")).toThrow(/there is no \{ \}/);
});

test("ids are qualified only where several tables have them, are all different, found and ranked as they are written", async () => {
  const id = fc.constantFrom("a", "b", "B", "ab", "1:a", "two:b", "2:a", "é", "10", "two", "1:1:a");
  const table = fc.uniqueArray(id, { minLength: 1, maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(fc.array(table, { minLength: 1, maxLength: 3 }), async (tables) => {
      const { context, write } = newCollection();
      const pool = new TextPool();
      const opened = [];
      for (const [at, ids] of tables.entries()) {
        // Texts differ, so that no two tables are the same.
        write(`corpus${at}.jsonl`, jsonLines(ids.map((_id) => ({ _id, title: "", text: `${at} ${_id}` }))));
        const source = await openSource(sourceOf({ corpus: `corpus${at}.jsonl` }), context);
        opened.push(source);
        pool.add(source.passages, undefined, at === 1 ? "two" : undefined);
      }
      const all = tables.flat();
      const written = all.map((_, row) => pool.qualifiedId(row));
      expect(new Set(written).size).toBe(all.length);
      for (const [row, plain] of all.entries()) {
        const isShared = all.filter((other) => other === plain).length > 1;
        const isLikePrefix = tables.length > 1 && /^(1|two|3):/.test(plain);
        expect(written[row] === plain).toBe(!isShared && !isLikePrefix);
        expect(written[row]?.endsWith(plain)).toBe(true);
      }
      const order = written.toSorted((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other)));
      expect([...pool.idRanks]).toEqual(written.map((each) => order.indexOf(each)));
      expect(written.map((each) => pool.rowOfQualified(each))).toEqual([...all.keys()]);
      for (const other of [...all, ...all.map((plain) => `two:${plain}`), "3:", "none"]) {
        expect(pool.rowOfQualified(other)).toBe(written.indexOf(other));
      }
      for (const source of opened) source.close();
    }),
    { numRuns: 30 },
  );
});

test("a record's own prompt goes before the source's in both roles, also where a template makes the text", async () => {
  const lines = [
    { _id: "a", text: "one", how: "Own: " },
    { _id: "b", text: "two", how: "" },
  ];
  const { context } = newCollection({ "corpus.jsonl": jsonLines(lines), "queries.jsonl": jsonLines(lines) });
  const file = (path: string) => ({ path, part: "all", scores: "labels", fields: { prompt: "how" } }) as const;
  const source = sourceOf({
    corpus: file("corpus.jsonl"),
    queries: file("queries.jsonl"),
    prompts: { passage: "passage: ", query: "query: " },
    templates: { passage: "<{text}>" },
  });
  const { passages, queries, close } = await openSources(source, context);
  const promptsOf = (table: TextPool): unknown[] =>
    tableFromIPC(table.gather(Int32Array.of(0, 1)))
      .toArray()
      .map(({ text, prompt }: { text: string; prompt: string | null }) => [text, prompt]);
  expect(promptsOf(passages)).toEqual([
    ["<one>", "Own: "],
    ["<two>", "passage: "],
  ]);
  expect(promptsOf(queries)).toEqual([
    ["one", "Own: "],
    ["two", "query: "],
  ]);
  close();
});

test("a corpus read from training lines has no column for the prompts of their queries", async () => {
  const line = { query: "q", pos: ["p"], neg: ["n"], prompt: "Find: " };
  const { context } = newCollection({ "train.jsonl": jsonLines([line]) });
  const { passages, queries, close } = await openSource(
    sourceOf({ corpus: "train.jsonl", queries: "train.jsonl" }),
    context,
  );
  expect([passages.hasPrompts, queries?.hasPrompts]).toEqual([false, true]);
  close();
});
