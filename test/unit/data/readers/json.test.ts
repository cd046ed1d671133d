/** Whole-file JSON, cut into its elements; and objects, read exactly as JSON.parse reads them. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FieldReader } from "../../../../src/data/readers/field-reader.js";
import { InputFile } from "../../../../src/data/readers/input.js";
import { readElements } from "../../../../src/data/readers/json-elements.js";
import { JsonFault, readObject } from "../../../../src/data/readers/json-line.js";
import { readContent } from "./read-file.js";

describe("whole-file JSON", () => {
  test("records know the lines they begin at", async () => {
    const list = '\ufeff[\n  {"id": "a",\n   "text": "x"},\n\n  {"id": "b", "text": "y"}\n]\n';
    expect(await readContent("c.json", list, "corpus")).toMatchObject({ records: ["a||x", "b||y"], lines: [2, 5] });
    const map = '{"a": "x",\n"b": {"title": "T", "contents":\n "y"}, "c":\n"z"}';
    expect(await readContent("c.json", map, "corpus")).toMatchObject({
      records: ["a||x", "b|T|y", "c||z"],
      lines: [1, 2, 4],
    });
    const qrels = '{"q1": {\n  "d1": 1,\n  "d2": 2\n},\n"q2": {"d\\u0031": 0.5}}';
    expect(await readContent("q.json", qrels, "qrels")).toMatchObject({
      records: ["q1|d1|1", "q1|d2|2", "q2|d1|0.5"],
      lines: [2, 3, 5],
    });
  });

  test.each([
    ["a comma forgotten", '[{"id":"a","text":"x"}\n{"id":"b","text":"y"}]', /:2: "\{" stands where comma/],
    ["the end forgotten", '[{"id":"a","text":"x"}\n', /:2: the JSON ends too early/],
    ["cut inside a record", '[{"id":"a","text":"x"},\n{"id":"b"', /:2: the JSON ends too early/],
    ["more behind the end", '[{"id":"a","text":"x"}]\n[]', /:2: "\[" stands where the end of the file/],
    ["no colon", '{"a" "x"}', /:1: "\\"" stands where colon/],
    ["a key without quotes", '{\n a: "x"}', /:2: a key in double quotes/],
  ])("broken at the top is an error also when bad records are left out: %s", async (_, content, words) => {
    for (const isLenient of [false, true]) {
      const failed = await readContent("c.json", content, "corpus", { isLenient }).catch((error: unknown) => error);
      expect(failed).toMatchObject({ code: "DATA", message: expect.stringMatching(words) });
    }
  });

  test.each([
    ["bad JSON inside", "corpus", '[{"id":"a","text":"x"},\n{"id":"b","text":},\n{"id":"c","text":"z"}]', "a||x c||z"],
    ["a number as id", "corpus", '[{"id":"a","text":"x"},\n{"id":1,"text":"y"}]', "a||x"],
    ["no object", "corpus", '["x",\n{"id":"a","text":"x"}]', "a||x"],
    ["a value that is no text", "corpus", '{"a":"x",\n"b":3,"c":"z"}', "a||x c||z"],
    ["white space in a key", "corpus", '{"a":"x",\n"b c":"y"}', "a||x"],
    ["a key twice", "corpus", '[{"id":"a","text":"x"},\n{"id":"b","id":"c","text":"y"}]', "a||x"],
    ["a score that is none", "qrels", '{"q":{"d":1},\n"r":{"d":"1"}}', "q|d|1"],
    ["scores twice", "qrels", '{"q":{"d":1},\n"r":{"d":1,"d":2}}', "q|d|1"],
    ["no scores", "qrels", '{"q":{"d":1},\n"r":["d"]}', "q|d|1"],
    ["a number in a list of ids", "ids", '["q",\n7]', "q"],
  ] as const)("a broken record is an error with its line, or one counted skip: %s", async (_, role, content, left) => {
    await expect(readContent("c.json", content, role, { format: "json" })).rejects.toMatchObject({ code: "DATA" });
    const { records, skipped } = await readContent("c.json", content, role, { format: "json", isLenient: true });
    expect(records).toEqual(left.split(" "));
    expect(skipped).toHaveLength(1);
  });

  test("bad UTF-8 is the fault of its record", async () => {
    const content = Buffer.concat([
      Buffer.from('[{"id":"a","text":"'),
      Buffer.from([0xff]),
      Buffer.from('"},\n{"id":"b","text":"y"}]'),
    ]);
    const { records, skipped } = await readContent("c.json", content, "corpus", { isLenient: true });
    expect([records, skipped]).toEqual([["b||y"], ["1: the record is not valid UTF-8."]]);
  });

  test("elements are the same however the file is cut into chunks", async () => {
    class Chunked extends InputFile {
      constructor(
        private readonly content: Buffer,
        private readonly size: number,
      ) {
        super("x.json");
      }
      override async *chunks(): AsyncGenerator<Uint8Array> {
        for (let at = 0; at < this.content.length; at += this.size) yield this.content.subarray(at, at + this.size);
      }
    }
    const value = fc.oneof(
      fc.array(fc.jsonValue(), { maxLength: 5 }),
      fc.dictionary(fc.string({ maxLength: 4 }), fc.jsonValue(), { maxKeys: 5, noNullPrototype: true }),
    );
    await fc.assert(
      fc.asyncProperty(value, fc.integer({ min: 1, max: 40 }), fc.nat(2), async (whole, size, indent) => {
        const content = Buffer.from(JSON.stringify(whole, null, indent));
        const found: unknown[] = [];
        await readElements(new Chunked(content, size), (bytes, start, end, line, key) => {
          const text = bytes.toString("utf8", start, end);
          const name = key === null ? null : Buffer.from(key.bytes.subarray(key.start, key.end)).toString("utf8");
          found.push([name, JSON.parse(text)]);
          expect(line).toBeGreaterThan(0);
        });
        const expected = JSON.parse(content.toString("utf8")) as object;
        expect(found).toEqual(
          Array.isArray(expected) ? expected.map((each) => [null, each]) : Object.entries(expected),
        );
      }),
      { numRuns: 300 },
    );
  });
});

describe("an object is read exactly as JSON.parse reads it, also after a byte was changed", () => {
  type Fields = [string, unknown][];
  const plain = (bytes: Uint8Array, start: number, end: number): string =>
    Buffer.from(bytes.subarray(start, end)).toString("utf8");
  // A reader that has seen other objects before must not read this one any differently.
  const used = new Map<string, number>();
  const reader = new FieldReader(64, (key) => {
    if (!used.has(key) && used.size < 64) used.set(key, used.size);
    return used.get(key) ?? -1;
  });
  const readers: Record<string, (line: Buffer, fields: Fields) => void> = {
    readObject: (line, fields) =>
      readObject(line, 0, line.byteLength, ({ key, kind, value: { bytes, start, end } }) => {
        const raw = plain(bytes, start, end);
        fields.push([key, kind === "string" ? raw : JSON.parse(raw)]);
      }),
    FieldReader: (line, fields) => {
      reader.read(line, 0, line.byteLength);
      for (const { isFilled, key, kind, value } of reader.slots) {
        if (!isFilled) continue;
        const raw = plain(value.bytes, value.start, value.end);
        fields.push([key, kind === "string" ? raw : JSON.parse(raw)]);
      }
      expect(reader.doubled).toBe(-1);
    },
  };

  test.each(Object.entries(readers))("%s", (name, read) => {
    const key = fc.oneof(fc.constantFrom("_id", "text", "a", 'q"', "é"), fc.string({ unit: "grapheme", maxLength: 4 }));
    const value = fc.dictionary(key, fc.oneof(fc.string({ unit: "grapheme", maxLength: 40 }), fc.jsonValue()), {
      maxKeys: 4,
    });
    fc.assert(
      fc.property(value, fc.nat(), fc.nat(255), fc.nat(3), fc.boolean(), (object, at, byte, indent, isChanged) => {
        const line = Buffer.from(JSON.stringify(object, null, indent).replaceAll("\n", " "));
        if (isChanged) line[at % line.byteLength] = byte;
        const text = line.toString("utf8");
        if (Buffer.from(text).compare(line) !== 0 || text.startsWith("\ufeff")) return;
        let expected: unknown = null;
        try {
          expected = JSON.parse(text);
        } catch {
          // Then ours must refuse it, too.
        }
        const fields: Fields = [];
        let fault: JsonFault | null = null;
        try {
          read(line, fields);
        } catch (thrown) {
          fault = thrown as JsonFault;
          expect(fault).toBeInstanceOf(JsonFault);
        }
        const isObject = typeof expected === "object" && expected !== null && !Array.isArray(expected);
        if (fault !== null && /twice|surrogate/.test(fault.message)) return;
        expect(fault === null).toBe(isObject);
        if (!isObject) return;
        const wanted = Object.entries(expected as object).filter(([each]) => name === "readObject" || used.has(each));
        expect(new Map(fields)).toEqual(new Map(wanted));
      }),
      { numRuns: 2000 },
    );
  });
});
