/** One table of what may be wrong with a file, run over every line format: read right, an error with file:line, or a counted skip. */
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import type { Role } from "../../../../src/data/readers/reader.js";
import { newCollection } from "../collection.js";
import { readContent, readPath } from "./read-file.js";

const bytes = (...parts: (string | number[] | Uint8Array)[]): Uint8Array =>
  Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : Buffer.from(part))));

/** How each format writes three good records, and records with faults; null where a fault cannot be. */
interface Kind {
  readonly name: string;
  readonly role: Role;
  readonly file: string;
  /** The record of an id, perhaps with a text. */
  readonly record: (id: string, text: string) => string;
  /** What a record reads as. */
  readonly value: (id: string, text: string) => string;
  readonly bad: string;
  readonly duplicateKey: string | null;
  readonly numericId: string | null;
  readonly missingField: string;
  readonly holdsText: boolean;
}

const columns = (separator: string, ...cells: string[]): string => cells.join(separator);

const kinds: Kind[] = [
  ...(["corpus", "queries"] as const).map(
    (role): Kind => ({
      name: "jsonl",
      role,
      file: `${role}.jsonl`,
      record: (id, text) => JSON.stringify({ _id: id, text }),
      value: (id, text) => `${id}||${text}`,
      bad: '{"_id": "x", "text": }',
      duplicateKey: '{"_id": "x", "_id": "y", "text": "t"}',
      numericId: '{"_id": 12, "text": "t"}',
      missingField: '{"_id": "x"}',
      holdsText: true,
    }),
  ),
  {
    name: "jsonl",
    role: "qrels",
    file: "qrels.jsonl",
    record: (id, text) => JSON.stringify({ "query-id": id, "corpus-id": "d1", score: 1, note: text }),
    value: (id) => `${id}|d1|1`,
    bad: '{"query-id": "x", "corpus-id": "d1", "score": 1',
    duplicateKey: '{"query-id": "x", "query-id": "y", "corpus-id": "d1", "score": 1}',
    numericId: '{"query-id": 12, "corpus-id": "d1", "score": 1}',
    missingField: '{"query-id": "x", "corpus-id": "d1"}',
    holdsText: true,
  },
  {
    name: "grouped-jsonl",
    role: "qrels",
    file: "grouped.jsonl",
    record: (id, text) => JSON.stringify({ qid: id, docid: ["d1"], score: [2], note: text }),
    value: (id) => `${id}|d1|2`,
    bad: '{"qid": "x", "docid": ["d1"], "score": [1, 2]}',
    duplicateKey: '{"qid": "x", "qid": "y", "docid": ["d1"], "score": [1]}',
    numericId: '{"qid": "x", "docid": [12], "score": [1]}',
    missingField: '{"qid": "x", "docid": ["d1"]}',
    holdsText: true,
  },
  {
    name: "tsv",
    role: "corpus",
    file: "collection.tsv",
    record: (id, text) => columns("\t", id, text),
    value: (id, text) => `${id}||${text}`,
    bad: columns("\t", "x", "a", "b", "c"),
    duplicateKey: null,
    numericId: null,
    missingField: "x",
    holdsText: true,
  },
  {
    name: "csv",
    role: "corpus",
    file: "corpus.csv",
    record: (id, text) => columns(",", id, `"${text}"`),
    value: (id, text) => `${id}||${text}`,
    bad: 'x,"a" b',
    duplicateKey: null,
    numericId: null,
    missingField: "x",
    holdsText: true,
  },
  ...(
    [
      ["tsv", "qrels.tsv", (id: string) => columns("\t", id, "d1", "1"), "q\td\thigh", "q\td"],
      ["csv", "qrels.csv", (id: string) => columns(",", id, "d1", "1"), "q,d,high", "q,d"],
      ["trec-qrels", "qrels.trec", (id: string) => columns(" ", id, "0", "d1", "1"), "q 0 d high", "q 0 d"],
      ["trec-run", "bm25.run", (id: string) => `${id} Q0 d1 1 1.0 tag`, "q Q0 d 1 high tag", "q Q0 d 1 tag"],
      ["triples", "triples.tsv", (id: string) => columns("\t", id, "d1", "d2"), "q\td 1\td2", "q\td1"],
    ] as const
  ).map(
    ([name, file, record, bad, missingField]): Kind => ({
      name,
      role: "qrels",
      file,
      record,
      value: (id) => `${id}|d1|1`,
      bad,
      duplicateKey: null,
      numericId: null,
      missingField,
      holdsText: false,
    }),
  ),
  {
    name: "ids",
    role: "ids",
    file: "subset.txt",
    record: (id) => id,
    value: (id) => id,
    bad: "q 1",
    duplicateKey: null,
    numericId: null,
    missingField: " ",
    holdsText: false,
  },
];

const part = { part: "positives" } as const;
const optionsOf = (kind: Kind): object => ({ format: kind.name, ...(kind.name === "triples" ? part : {}) });

describe.each(kinds.map((kind) => [`${kind.name} as ${kind.role}`, kind] as const))("%s", (_, kind) => {
  const good = [kind.record("a", "one"), kind.record("b", "two"), kind.record("c", "three")];
  const values = [kind.value("a", "one"), kind.value("b", "two"), kind.value("c", "three")];
  const read = (content: string | Uint8Array, options: object = {}) =>
    readContent(kind.file, content, kind.role, { ...optionsOf(kind), ...options });

  test("is recognised without being named", async () => {
    const result = await readContent(kind.file, `${good.join("\n")}\n`, kind.role, kind.name === "triples" ? part : {});
    expect(result).toEqual({ format: kind.name, records: values, lines: [1, 2, 3], skipped: [] });
  });

  test.each([
    ["LF", `${good.join("\n")}\n`],
    ["CRLF", `${good.join("\r\n")}\r\n`],
    ["no line end at the end", good.join("\n")],
    ["a byte order mark", `\ufeff${good.join("\n")}\n`],
    ["a byte order mark and CRLF", `\ufeff${good.join("\r\n")}`],
    ["gzip", gzipSync(good.join("\n"))],
    ["gzip in two parts", Buffer.concat([gzipSync(`${good[0]}\n`), gzipSync(`${good[1]}\n${good[2]}`)])],
  ])("reads %s", async (_name, content) => {
    expect((await read(content)).records).toEqual(values);
  });

  test("counts blank lines and leaves them out", async () => {
    const { records, lines } = await read(`\n${good[0]}\n\r\n${good[1]}\n`);
    expect([records, lines]).toEqual([values.slice(0, 2), [2, 4]]);
  });

  test("takes U+2028, U+0085 and form feeds for no line ends", async () => {
    const odd = kind.holdsText ? "x\u2028y\u2029z\u0085" : "";
    const id = kind.holdsText ? "b" : "b\u2028b";
    const { records, lines } = await read(`${good[0]}\n${kind.record(id, odd)}\n${good[2]}\n`);
    expect(records).toEqual([values[0], kind.value(id, odd), values[2]]);
    expect(lines).toEqual([1, 2, 3]);
  });

  const faults: [name: string, line: string | Uint8Array | null][] = [
    ["a bad line", kind.bad],
    ["a missing field", kind.missingField],
    ["a key twice", kind.duplicateKey],
    ["a numeric id", kind.numericId],
    ["a NUL byte", bytes(kind.record("x", "t"), [0])],
    ["bad UTF-8", bytes(kind.record("x", "t"), [0xff])],
    ["a UTF-8 sequence cut short", bytes(kind.record("x", "t"), [0xe2, 0x82])],
    ["a lone carriage return", `${kind.record("x", "t")}\r${kind.record("y", "t")}`],
    ["an empty id", kind.name === "ids" || kind.name.startsWith("trec") ? null : kind.record("", "t")],
    ["a control character in an id", kind.name.endsWith("jsonl") ? null : kind.record("x\u0001", "t")],
  ];
  test.each(faults.filter(([, line]) => line !== null))("%s is an error with file and line", async (_name, line) => {
    const content = bytes(`${good[0]}\n`, line ?? "", `\n${good[1]}\n`);
    await expect(read(content)).rejects.toMatchObject({
      code: "DATA",
      message: expect.stringMatching(new RegExp(`${kind.file.replace(".", "\\.")}:2: `)),
      hint: expect.stringMatching(/./),
    });
  });

  test.each(faults.filter(([, line]) => line !== null))(
    "%s is one counted skip when asked for",
    async (_name, line) => {
      const content = bytes(`${good[0]}\n`, line ?? "", `\n${good[1]}\n${good[2]}`);
      const { records, skipped } = await read(content, { isLenient: true });
      expect(records).toEqual(values);
      expect(skipped).toHaveLength(1);
      expect(skipped[0]).toMatch(/^2: /);
    },
  );

  test.each([
    ["strictly", false],
    ["leniently", true],
  ])("an empty file is an error, read %s", async (_name, isLenient) => {
    for (const content of ["", gzipSync("")]) {
      await expect(read(content, { isLenient })).rejects.toMatchObject({
        code: "DATA",
        message: expect.stringMatching(/the file is empty/),
      });
    }
  });

  test.each([
    ["strictly", false],
    ["leniently", true],
  ])("gzip data cut short or damaged are an error with the line, read %s", async (_name, isLenient) => {
    const many = Array.from({ length: 2000 }, (_unused, row) => kind.record(`r${row}x${row * row}`, `${row}`)).join(
      "\n",
    );
    const whole = gzipSync(many);
    const failed = await read(whole.subarray(0, whole.byteLength / 2), { isLenient }).catch((error: unknown) => error);
    expect(failed).toMatchObject({
      code: "DATA",
      message: expect.stringMatching(/:\d+: the gzip data ends too early/),
    });
    whole[whole.byteLength - 6] = (whole[whole.byteLength - 6] as number) ^ 0xff;
    await expect(read(whole, { isLenient })).rejects.toMatchObject({
      code: "DATA",
      message: expect.stringMatching(/gzip data is damaged/),
    });
  });

  const mayBeLong = kind.holdsText || kind.name === "ids";
  test.each(mayBeLong ? ["text"] : [])("a line of 10 MB of %s is read", async (_name) => {
    const long = "ä€x".repeat(10_000_000 / 6);
    const id = kind.holdsText ? "long" : `l${"ö".repeat(5_000_000)}`;
    const { dir, write } = newCollection();
    write(kind.file, `${good[0]}\n${kind.record(id, long)}\n${good[1]}\n`);
    const { records } = await readPath(`${dir}/${kind.file}`, kind.role, optionsOf(kind));
    expect(records.length).toBe(3);
    expect(records[1] === kind.value(id, long)).toBe(true);
  });
});

test.each([
  ["qrels", "bad.tsv", "1\t2\n", "{ query: 0, passage: 1, score: 2 }"],
  ["queries", "bad.csv", "1\n", "{ id: 0, text: 1 }"],
] as const)("lines of %s with too few columns are led to fields that %s takes", async (role, file, content, fields) => {
  await expect(readContent(file, content, role)).rejects.toMatchObject({
    hint: `Mend the line, or number the columns with the option fields, e.g. { path, fields: ${fields} }.`,
  });
});
