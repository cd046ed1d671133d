/** What may stand in a source file, and how everything else is refused: with file, line and a way out. */
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { prepareSource } from "../../../../src/data/index.js";
import { QuarryError } from "../../../../src/errors.js";
import { jsonLines, newCollection, passages, qrels, queries, sourceOf } from "../collection.js";

const good = '{"_id": "d1", "title": "T", "text": "one"}\n';
const bytes = (...parts: (string | number[])[]): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : Buffer.from(part))));

async function failure(corpus: string | Uint8Array, name = "corpus.jsonl"): Promise<QuarryError> {
  const { context } = newCollection({ [name]: corpus });
  const thrown = await prepareSource(sourceOf({ corpus: name }), context).then(
    () => null,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(QuarryError);
  return thrown as QuarryError;
}

describe("broken passages are a DATA error that names file and line", () => {
  const cases: [name: string, corpus: string | Uint8Array, place: string, words: RegExp][] = [
    ["bad JSON", `${good}{"_id": "d2", "text": }\n`, "corpus.jsonl:2:", /bad JSON/],
    ["a line cut short", `${good}{"_id": "d2", "te`, "corpus.jsonl:2:", /string has no end/],
    ["two objects on a line", `{"_id":"a","text":"x"}{"_id":"b","text":"y"}\n`, "corpus.jsonl:1:", /more follows/],
    ["no object", `"d1"\n`, "corpus.jsonl:1:", /object was expected/],
    ["no id", `${good}{"key": "d2", "text": "x"}\n`, "corpus.jsonl:2:", /no id: no field "_id"/],
    ["no text", `{"_id": "d2", "body": "x"}\n`, "corpus.jsonl:1:", /no text: no field "text"/],
    ["numeric id", `{"_id": 9007199254740993, "text": "x"}\n`, "corpus.jsonl:1:", /the number 9007199254740993/],
    ["text that is no string", `{"_id": "d1", "text": ["x"]}\n`, "corpus.jsonl:1:", /"text" is no string/],
    ["text null", `{"_id": "d1", "text": null}\n`, "corpus.jsonl:1:", /"text" is no string: null/],
    ["empty id", `{"_id": "", "text": "x"}\n`, "corpus.jsonl:1:", /"_id" is empty/],
    ["white space in an id", `{"_id": "d 1", "text": "x"}\n`, "corpus.jsonl:1:", /white space/],
    ["a key twice", `{"_id": "a", "_id": "b", "text": "x"}\n`, "corpus.jsonl:1:", /"_id" occurs twice/],
    ["NUL byte", bytes(good, '{"_id": "d2", "text": "a', [0], 'b"}\n'), "corpus.jsonl:2:", /NUL byte at column 25/],
    ["bad UTF-8", bytes(good, good, '{"_id": "d3", "text": "', [0xff], '"}\n'), "corpus.jsonl:3:", /not valid UTF-8/],
    ["UTF-8 cut short at the end", bytes('{"_id": "d3", "text": "', [0xe2, 0x82]), "corpus.jsonl:1:", /UTF-8/],
    [
      "lone CR between records",
      '{"_id":"a","text":"x"}\r{"_id":"b","text":"y"}\n',
      "corpus.jsonl:1:",
      /carriage return/,
    ],
    ["lone CR as white space", '{"_id":"a",\r"text":"x"}\n', "corpus.jsonl:1:", /carriage return/],
    ["half a surrogate pair", '{"_id":"a","text":"\\ud800"}\n', "corpus.jsonl:1:", /lone surrogate/],
    ["a tab in a string", '{"_id":"a","text":"\t"}\n', "corpus.jsonl:1:", /control character/],
    ["empty file", "", "corpus.jsonl:", /file is empty/],
    ["only blank lines", "\n\n", "corpus.jsonl:", /no record/],
  ];
  test.each(cases)("%s", async (_, corpus, place, words) => {
    const error = await failure(corpus);
    expect(error.code).toBe("DATA");
    expect(error.message).toContain(place);
    expect(error.message).toMatch(words);
    expect(error.hint).toBeTruthy();
  });

  test("a gzip file cut short", async () => {
    const whole = gzipSync(
      jsonLines(Array.from({ length: 5000 }, (_, row) => ({ _id: `d${row}`, text: `${row * row}` }))),
    );
    const error = await failure(whole.subarray(0, whole.byteLength / 2), "corpus.jsonl.gz");
    expect(error.code).toBe("DATA");
    expect(error.message).toMatch(/corpus\.jsonl\.gz:\d+: the gzip data ends too early/);
  });

  test("ids that occur twice are counted exactly and the first ten are listed", async () => {
    const records = [...Array(15).keys(), ...Array(12).keys()].map((row) => ({ _id: `d${row}`, text: "x" }));
    const error = await failure(jsonLines(records));
    expect(error.code).toBe("DATA");
    expect(error.message).toContain("12 records repeat an id; the first 10:");
    expect(error.message).toContain('corpus.jsonl:16: "d0" (first in line 1)');
    expect(error.message.split("\n")).toHaveLength(11);
  });
});

describe("broken judgements are a DATA error that names file and line", () => {
  const cases: [name: string, content: string | Uint8Array, place: string, words: RegExp][] = [
    ["a score that is no number", "q0\td0\t1\nq0\td1\thigh\n", "qrels.tsv:2:", /"high" is no number/],
    ["a bad score in the first line is no header", "q0\td0\tx\nq0\td1\t1\n", "qrels.tsv:1:", /"x" is no number/],
    ["not a number", "q0\td0\tNaN\n", "qrels.tsv:1:", /is no number/],
    ["beyond float32", "q0\td0\t1e39\n", "qrels.tsv:1:", /is no number/],
    ["two columns", "q0\td0\n", "qrels.tsv:1:", /2 columns.*three columns/],
    ["four columns", "q0\td0\t1\tx\n", "qrels.tsv:1:", /4 columns/],
    ["spaces for tabs", "q0 d0 1\n", "qrels.tsv:1:", /1 column, the first one "q0 d0 1"/],
    ["no query id", "\td0\t1\n", "qrels.tsv:1:", /query id is empty/],
    ["NUL", bytes("q0\td0", [0], "\t1\n"), "qrels.tsv:1:", /NUL/],
    ["lone CR", "q0\td0\t1\rq0\td1\t1\n", "qrels.tsv:1:", /carriage return/],
    ["empty file", "", "qrels.tsv:", /empty/],
    ["only a header", qrels([]), "qrels.tsv:", /no judgement/],
  ];
  test.each(cases)("%s", async (_, content, place, words) => {
    const { context } = newCollection({
      "corpus.jsonl": passages(3),
      "queries.jsonl": queries(2),
      "qrels.tsv": content,
    });
    const thrown = await prepareSource(sourceOf({ qrels: "qrels.tsv" }), context).catch((error: unknown) => error);
    expect(thrown).toMatchObject({ code: "DATA", message: expect.stringContaining(place) });
    expect((thrown as QuarryError).message).toMatch(words);
  });

  test("unknown ids are counted exactly and the first ten are listed", async () => {
    const unknown = Array.from({ length: 12 }, (_, row) => [`q${row % 2}`, `x${row}`, 1] as const);
    const { context } = newCollection({
      "corpus.jsonl": passages(3),
      "queries.jsonl": queries(2),
      "qrels.tsv": qrels([["q0", "d0", 1], ["q9", "d1", 1], ...unknown]),
    });
    const thrown = await prepareSource(sourceOf({ qrels: "qrels.tsv" }), context).catch((error: unknown) => error);
    expect(thrown).toMatchObject({ code: "DATA" });
    const { message } = thrown as QuarryError;
    expect(message).toContain("13 unknown ids; the first 10:");
    expect(message).toContain('qrels.tsv:3: unknown query id "q9"');
    expect(message).toContain('qrels.tsv:4: unknown passage id "x0"');
    expect(message.split("\n")).toHaveLength(11);
  });
});

describe("what real files hold is read right", () => {
  test.each([
    ["a byte order mark", bytes([0xef, 0xbb, 0xbf], good)],
    ["CRLF", good.replace("\n", "\r\n")],
    ["no line end at the end", good.trimEnd()],
    ["other fields", '{"metadata": {"a": [1, {"text": "no"}]}, "_id": "d1", "title": "T", "n": -1e3, "text": "one"}\n'],
    ["blank lines", `\n${good}\n`],
    ["escapes", '{"_id": "\\u0064\\u0031", "title": "\\u0054", "text": "on\\u0065"}\n'],
    ["gzip", gzipSync(good)],
  ])("%s", async (name, corpus) => {
    const file = name === "gzip" ? "corpus.jsonl.gz" : "corpus.jsonl";
    const { context } = newCollection({ [file]: corpus });
    const { passages: table, close } = await prepareSource(sourceOf({ corpus: file }), context);
    expect([table.rowCount, table.id(0), table.title(0), table.text(0)]).toEqual([1, "d1", "T", "one"]);
    close();
  });

  test("U+2028 does not end a line, and lines are counted as editors count them", async () => {
    const { context } = newCollection({
      "corpus.jsonl": `{"_id":"a","text":"one\u2028two\u0085"}\r\n\r\n{"_id":"b","title":null,"text":""}\n`,
    });
    const { passages: table, close } = await prepareSource(sourceOf(), context);
    expect(table.text(0)).toBe("one\u2028two\u0085");
    expect(table.title(1)).toBe("");
    expect(table.origin(1)).toEqual({ file: `${context.baseDir}/corpus.jsonl`, line: 3 });
    close();
  });

  test("a line of 10 MB", async () => {
    const text = "ä€x".repeat(10_000_000 / 6);
    const { context } = newCollection({ "corpus.jsonl": `${good}${JSON.stringify({ _id: "long", text })}\n` });
    const { passages: table, close } = await prepareSource(sourceOf(), context);
    expect(table.text(table.rowOf("long"))).toBe(text);
    close();
  });

  test("judgements with and without header, LF and CRLF mean the same", async () => {
    const body = "q0\td0\t2\nq0\td2\t1\nq1\td1\t0.5\n";
    const header = "query-id\tcorpus-id\tscore\n";
    for (const content of [body, header + body, `\ufeff${header}${body}`.replaceAll("\n", "\r\n"), body.trimEnd()]) {
      const { context } = newCollection({
        "corpus.jsonl": passages(3),
        "queries.jsonl": queries(2),
        "qrels.tsv": content,
      });
      const source = await prepareSource(sourceOf({ qrels: "qrels.tsv" }), context);
      expect(source.qrels?.judgements(0, 0)).toEqual({ rows: Int32Array.of(0, 2), scores: Float32Array.of(2, 1) });
      expect(source.qrels?.judgements(1, 0)).toEqual({ rows: Int32Array.of(1), scores: Float32Array.of(0.5) });
      source.close();
    }
  });

  test("a file that is missing or of an unknown kind is a CONFIG error", async () => {
    const { context } = newCollection({ "corpus.jsonl": passages(3), "corpus.md": "words\n" });
    for (const source of [{ corpus: "corpos.jsonl" }, { corpus: "corpus.md" }, { qrels: "none.tsv" }]) {
      await expect(prepareSource(sourceOf(source), context)).rejects.toMatchObject({ code: "CONFIG" });
    }
  });
});
