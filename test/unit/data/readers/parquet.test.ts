/** Parquet files as pyarrow writes them: every codec and layout gives the rows that were written; what is broken is told. */
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { InputFile } from "../../../../src/data/readers/input.js";
import { parquet } from "../../../../src/data/readers/parquet.js";
import { columnsOf, loadParquet } from "../../../../src/data/readers/parquet-file.js";
import { flagEmbedding } from "../../../../src/data/readers/training/flagembedding.js";
import { sentenceTransformers } from "../../../../src/data/readers/training/sentence-transformers.js";
import { tevatron } from "../../../../src/data/readers/training/tevatron.js";
import { QuarryError } from "../../../../src/errors.js";
import type { FileConfig } from "../../../../src/experiment/schema.js";
import { hasPython, type WrittenParquet, writeParquet } from "./parquet-files.js";
import { Reading } from "./training-reading.js";

const folder = mkdtempSync(join(tmpdir(), "quarry-parquet-"));
const at = (name: string): string => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const string = "pa.string()";
const rows = Array.from({ length: 2500 }, (_, row) => ({
  _id: `d${row}`,
  title: row % 5 === 0 ? null : `Title ${row % 7}`,
  text: `text of d${row}, ünïcödé ${"x".repeat(row % 40)}`,
}));
const column = (name: "_id" | "title" | "text", type = string): [string, (string | null)[]] => [
  type,
  rows.map((row) => row[name]),
];
const table = { _id: column("_id"), title: column("title"), text: column("text") };
const layouts: Record<string, Record<string, unknown>> = {
  "snappy in row groups of 1000": { compression: "snappy", row_group_size: 1000 },
  zstd: { compression: "zstd", row_group_size: 999 },
  gzip: { compression: "gzip" },
  brotli: { compression: "brotli" },
  lz4: { compression: "lz4" },
  "no compression, no dictionary": { compression: "none", use_dictionary: false },
  "small pages, version 2": { data_page_version: "2.0", data_page_size: 1000, compression: "zstd" },
  "delta lengths": {
    use_dictionary: false,
    column_encoding: { text: "DELTA_LENGTH_BYTE_ARRAY", _id: "DELTA_BYTE_ARRAY" },
  },
};
const layoutPath = (name: string): string => at(`${name.replaceAll(/\W/g, "-")}.parquet`);

const passage = "pa.struct([('docid', pa.int64()), ('title', pa.string()), ('text', pa.string())])";
const files: WrittenParquet[] = [
  ...Object.entries(layouts).map(([name, options]) => ({ path: layoutPath(name), columns: table, options })),
  {
    path: at("large.parquet"),
    columns: { _id: column("_id", "pa.large_string()"), text: column("text", "pa.large_string()") },
  },
  {
    path: at("numbers.parquet"),
    columns: {
      "query-id": ["pa.int64()", ["9007199254740993", "-5", "0"]],
      "corpus-id": ["pa.int32()", [7, 8, 9]],
      score: ["pa.float64()", [1, 0.7, 2]],
    },
  },
  { path: at("unsigned.parquet"), columns: { qid: ["pa.uint64()", ["18446744073709551615"]] } },
  { path: at("fractions.parquet"), columns: { _id: ["pa.float64()", [1, 2]], text: [string, ["a", "b"]] } },
  {
    path: at("nulls.parquet"),
    columns: { _id: [string, ["a", null, "c d", "e"]], text: [string, ["x", "x", "x", null]] },
  },
  { path: at("bytes.parquet"), columns: { _id: [string, ["a", "b"]], text: ["pa.binary()", ["c3a9", "ff"]] } },
  { path: at("both.parquet"), columns: { _id: [string, ["a"]], id: [string, ["b"]], text: [string, ["x"]] } },
  { path: at("other.parquet"), columns: { key: [string, ["a"]], body: [string, ["x"]] } },
  { path: at("nested.parquet"), columns: { _id: [string, ["a"]], text: ["pa.list_(pa.string())", [["x"]]] } },
  {
    path: at("tevatron.parquet"),
    columns: {
      query_id: ["pa.int64()", ["1"]],
      query: [string, ["what?"]],
      positive_passages: [`pa.list_(${passage})`, [[{ docid: 10, title: "T", text: "one" }]]],
      negative_passages: [
        `pa.list_(${passage})`,
        [
          [
            { docid: 11, title: null, text: "two" },
            { docid: 12, title: "", text: "three" },
          ],
        ],
      ],
      answers: ["pa.list_(pa.string())", [["x"]]],
    },
  },
  {
    path: at("flagembedding.parquet"),
    columns: {
      query: [string, ["q", "r", "s"]],
      pos: ["pa.list_(pa.string())", [["a"], ["b", "c"], ["d"]]],
      neg: ["pa.list_(pa.string())", [["e"], [], null]],
      pos_scores: ["pa.list_(pa.float64())", [[0.5], [0.25, 1], [1, 2]]],
      neg_scores: ["pa.list_(pa.int64())", [[3], [], null]],
      prompt: [string, ["Find", null, null]],
    },
    options: { row_group_size: 2 },
  },
  {
    path: at("tuples.parquet"),
    columns: {
      anchor: [string, ["q"]],
      positive: [string, ["a"]],
      negative_1: [string, ["b"]],
      negative_2: [string, ["c"]],
    },
  },
  {
    path: at("inexact.parquet"),
    columns: {
      query: [string, ["q"]],
      positive_document_ids: ["pa.list_(pa.float64())", [[1]]],
      query_id: [string, ["1"]],
    },
  },
];

const id = (kind: "q" | "p", text: string): string =>
  `${kind}-${createHash("sha256").update(text).digest("hex").slice(0, 24)}`;

describe.skipIf(!hasPython)(`Parquet${hasPython ? "" : " (skipped: no Python environment)"}`, () => {
  beforeAll(async () => {
    writeParquet(files);
    await loadParquet();
  });

  const failure = async (name: string, options: Partial<FileConfig> = {}, format = parquet): Promise<QuarryError> => {
    const thrown = await new Reading(format, at(name), options).texts("corpus").then(
      () => null,
      (error: unknown) => error,
    );
    expect(thrown).toBeInstanceOf(QuarryError);
    return thrown as QuarryError;
  };

  test.each(Object.keys(layouts))("%s gives the rows that were written, each with its number", async (name) => {
    const found = await new Reading(parquet, layoutPath(name)).texts("corpus");
    const expected = rows.map((row, index) => ({
      id: row._id,
      title: row.title ?? "",
      text: row.text,
      line: index + 1,
    }));
    expect(found).toEqual(expected);
  });

  test("large strings and a missing title are read", async () => {
    const found = await new Reading(parquet, at("large.parquet")).texts("queries");
    expect([found.length, found[7]?.text, found[7]?.title]).toEqual([2500, rows[7]?.text, ""]);
  });

  test("whole numbers are exact ids, beyond 2^53 and unsigned ones, too", async () => {
    expect(await new Reading(parquet, at("numbers.parquet")).judgements()).toEqual([
      ["9007199254740993", "7", 1],
      ["-5", "8", Math.fround(0.7)],
      ["0", "9", 2],
    ]);
    expect(await new Reading(parquet, at("numbers.parquet")).ids()).toEqual(["9007199254740993", "-5", "0"]);
    expect(await new Reading(parquet, at("unsigned.parquet")).ids()).toEqual(["18446744073709551615"]);
  });

  test("a null title or prompt is none, also where the file's options name its column", async () => {
    const reading = new Reading(parquet, layoutPath("zstd"), { fields: { prompt: "title" } });
    expect((await reading.prompts()).slice(4, 7)).toEqual(["Title 4", "", "Title 6"]);
  });

  test("a column of fractions holds no ids", async () => {
    const error = await failure("fractions.parquet");
    expect([error.code, error.message]).toEqual(["DATA", expect.stringMatching(/column "_id" holds DOUBLE/)]);
  });

  test("null, white space in an id and bad UTF-8 are faults of their rows", async () => {
    expect((await failure("nulls.parquet")).message).toMatch(/nulls\.parquet:2: the id is null/);
    const nulls = new Reading(parquet, at("nulls.parquet"), {}, true);
    expect((await nulls.texts("corpus")).map((each) => each.id)).toEqual(["a"]);
    expect(nulls.faults.map((fault) => fault.slice(0, 2))).toEqual(["2:", "3:", "4:"]);
    const bytes = new Reading(parquet, at("bytes.parquet"), {}, true);
    expect((await bytes.texts("corpus")).map((each) => each.text)).toEqual(["é"]);
    expect(bytes.faults).toEqual(["2: the text is not valid UTF-8."]);
  });

  test("columns are found by the usual names, by a chosen name or number, and never guessed", async () => {
    expect((await failure("both.parquet")).message).toMatch(/"_id" and "id" may each be the id/);
    const chosen = new Reading(parquet, at("both.parquet"), { fields: { id: "id" } });
    expect((await chosen.texts("corpus"))[0]?.id).toBe("b");
    expect((await failure("other.parquet")).message).toMatch(/no id: no column .*Columns of the file: key, body/);
    const numbered = new Reading(parquet, at("other.parquet"), { fields: { id: 0, text: "body" } });
    expect((await numbered.texts("corpus"))[0]).toEqual({ id: "a", title: "", text: "x", line: 1 });
    expect((await failure("nested.parquet")).message).toMatch(/"text" holds lists or structs/);
  });

  test("a file that is cut, no Parquet, or damaged inside is a DATA error", async () => {
    const whole = readFileSync(layoutPath("zstd"));
    writeFileSync(at("cut.parquet"), whole.subarray(0, whole.byteLength - 100));
    writeFileSync(at("text.parquet"), '{"_id": "a", "text": "x"}\n');
    writeFileSync(at("empty.parquet"), "");
    const damaged = Buffer.from(whole);
    damaged.fill(0xff, 100, 2000);
    writeFileSync(at("damaged.parquet"), damaged);
    for (const name of ["cut", "text", "empty", "damaged"]) {
      const error = await failure(`${name}.parquet`);
      expect([error.code, error.message.startsWith(at(`${name}.parquet`))]).toEqual(["DATA", true]);
    }
    expect(["cut", "text", "empty", "absent"].map((name) => columnsOf(at(`${name}.parquet`)))).toEqual([
      null,
      null,
      null,
      null,
    ]);
  });

  test("a footer with any byte damaged is read, or told as an error of the file", async () => {
    const whole = readFileSync(at("other.parquet"));
    const footer = whole.byteLength - 8 - whole.readUInt32LE(whole.byteLength - 8);
    for (let place = footer; place < whole.byteLength - 8; place += 1) {
      const damaged = Buffer.from(whole);
      damaged[place] = 66;
      writeFileSync(at("footer.parquet"), damaged);
      const thrown = await new Reading(parquet, at("footer.parquet")).texts("corpus").catch((error: unknown) => error);
      if (thrown instanceof Error) expect(thrown).toBeInstanceOf(QuarryError);
    }
  });

  test("reading tells rows and bytes by row group, and stops between two when asked to", async () => {
    const stop = new AbortController();
    const seen: { lines: number; bytes: number }[] = [];
    const path = layoutPath("snappy in row groups of 1000");
    const onProgress = (progress: { lines: number; bytes: number }): void => {
      seen.push(progress);
      if (progress.lines === 2000) stop.abort();
    };
    const input = new InputFile(path, { onProgress, signal: stop.signal });
    const file: FileConfig = { path, part: "all", scores: "labels" };
    await expect(parquet.readTexts?.(input, file, "corpus", () => {})).rejects.toMatchObject({ code: "INTERRUPTED" });
    expect(seen.map(({ lines }) => lines)).toEqual([1000, 2000]);
    expect(seen[0]?.bytes).toBeGreaterThan(0);
    expect(seen[1]?.bytes).toBeGreaterThan(seen[0]?.bytes ?? 0);
  });

  test("training files in columns are read as their lines in JSON are", async () => {
    const judged = await new Reading(tevatron, at("tevatron.parquet")).judgements();
    expect(judged).toEqual([
      ["1", "10", 1],
      ["1", "11", 0],
      ["1", "12", 0],
    ]);
    expect((await new Reading(tevatron, at("tevatron.parquet")).texts("corpus"))[0]).toEqual({
      id: "10",
      title: "T",
      text: "one",
      line: 1,
    });
    const tuples = await new Reading(sentenceTransformers, at("tuples.parquet")).judgements();
    expect(tuples.map(([, passage, score]) => [passage, score])).toEqual([
      [id("p", "a"), 1],
      [id("p", "b"), 0],
      [id("p", "c"), 0],
    ]);
  });

  test("scores, prompts and faults of training rows are told by row", async () => {
    const file = new Reading(flagEmbedding, at("flagembedding.parquet"), { scores: "teacher" }, true);
    expect((await file.judgements()).map(([, passage, score]) => [passage, score])).toEqual([
      [id("p", "a"), 0.5],
      [id("p", "e"), 3],
      [id("p", "b"), 0.25],
      [id("p", "c"), 1],
    ]);
    expect(file.faults).toEqual(['3: 2 numbers in "pos_scores" for 1 text in "pos".']);
    expect(await file.prompts()).toEqual(["Find", ""]);
  });

  test("ids that went through fractions are refused in lists, too", async () => {
    expect((await failure("inexact.parquet", {}, tevatron)).message).toMatch(
      /positive_document_ids.* holds ids as DOUBLE/,
    );
  });

  test.each([
    ["tevatron.parquet", "tevatron"],
    ["flagembedding.parquet", "flagembedding"],
    ["tuples.parquet", "sentence-transformers"],
    ["zstd.parquet", "parquet"],
    ["numbers.parquet", "parquet"],
  ])("%s is recognised by its columns", async (name, expected) => {
    const formats = [tevatron, flagEmbedding, sentenceTransformers, parquet];
    const claims = await Promise.all(
      formats.map(async (format) => ((await new Reading(format, at(name)).isRecognised()) ? format.name : null)),
    );
    expect(claims.find((claim) => claim !== null)).toBe(expected);
  });
});
