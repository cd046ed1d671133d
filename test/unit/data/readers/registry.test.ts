/** Readers that a user's script registers: for passages, queries, judgements and query subsets alike. */
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { prepareSource } from "../../../../src/data/index.js";
import { formatKey, formatOf } from "../../../../src/data/readers/formats.js";
import { type ReaderOptions, registerReader } from "../../../../src/data/readers/registry.js";
import { newCollection, sourceOf } from "../collection.js";
import { readContent } from "./read-file.js";

registerReader({
  name: "bars",
  version: 1,
  matches: (fileName, head) => fileName.endsWith(".bars") && head.includes("|"),
  async *texts(file) {
    for await (const { text } of file.lines()) {
      const [id = "", title = "", body = "", prompt] = text.split("|");
      yield { id, title, text: body, ...(file.role === "queries" && { prompt }) };
    }
  },
  async *judgements(file) {
    for await (const { text, line } of file.lines()) {
      const [queryId = "", passageId = "", score] = text.split("|");
      yield { queryId, passageId, score: Number(score), line };
    }
  },
  async *ids(file) {
    let text = "";
    for await (const piece of file.bytes()) text += Buffer.from(piece).toString("utf8");
    yield* text.split("|");
  },
});

describe("a registered reader", () => {
  test("reads passages, queries, judgements and subsets, packed or not", async () => {
    const content = "\ufeffa|A|one\r\n\r\nb||two|Ask:\r\n";
    for (const [name, bytes] of [
      ["x.bars", content],
      ["x.bars.gz", gzipSync(content)],
    ] as const) {
      expect(await readContent(name, bytes, "queries")).toMatchObject({
        format: "bars",
        records: ["a|A|one|", "b||two|Ask:"],
        lines: [1, 3],
      });
    }
    expect((await readContent("x.bars", "q|d|0.5\n", "qrels")).records).toEqual(["q|d|0.5"]);
    expect((await readContent("x.bars", "q1|q2", "ids")).records).toEqual(["q1", "q2"]);
    expect((await readContent("x.txt", "q|d|1\n", "qrels", { format: "bars" })).records).toEqual(["q|d|1"]);
  });

  test("feeds a whole source, with texts traced to their lines", async () => {
    const files = { "c.bars": "\nd1|T|one\nd2||two\n", "q.bars": "q1||what\n", "r.bars": "q1|d2|1\n" };
    const { context } = newCollection(files);
    const source = sourceOf({ corpus: "c.bars", queries: "q.bars", qrels: "r.bars" });
    const { passages, qrels, close } = await prepareSource(source, context);
    expect([passages.id(1), passages.text(1), passages.origin(1).line]).toEqual(["d2", "two", 3]);
    expect([...(qrels?.annotated(0).rows ?? [])]).toEqual([1]);
    close();
  });

  const reading = (values: unknown[], more: object = {}): Partial<ReaderOptions> =>
    ({
      *texts() {
        yield* values;
      },
      ...more,
    }) as Partial<ReaderOptions>;
  test.each([
    ["a number as id", [{ id: 7, text: "x" }], /:1: .*id is no string: 7/],
    ["an empty id", [{ id: "", text: "x" }], /:1: the id.* is empty/],
    ["white space in an id", [{ id: "a b", text: "x" }], /white space/],
    ["no text", [{ id: "a" }], /text is no string: undefined/],
    ["a title that is no text", [{ id: "a", text: "x", title: 3 }], /title is no string/],
    ["half a character", [{ id: "a", text: "\ud800" }], /lone surrogate/],
    ["no object", [null], /gave no record: null/],
    [
      "the line it names",
      [
        { id: "ok", text: "x" },
        { id: 7, text: "x", line: 12 },
      ],
      /:12: /,
    ],
    ["a line that is none", [{ id: "a", text: "x", line: 0 }], /line is no whole number/],
  ])("is held to the rules of all files: %s", async (name, values, words) => {
    const format = `wrong-${name.replaceAll(" ", "-")}`;
    registerReader({ name: format, ...reading(values) });
    const read = readContent("x", "content", "corpus", { format });
    await expect(read).rejects.toMatchObject({ code: "DATA", message: expect.stringMatching(words) });
    const { skipped } = await readContent("x", "content", "corpus", { format, isLenient: true });
    expect(skipped).toHaveLength(1);
  });

  test("a judgement's score must be finite", async () => {
    const read = readContent("x.bars", "q|d|1\nq|e|high\n", "qrels");
    await expect(read).rejects.toMatchObject({ code: "DATA", message: expect.stringMatching(/x\.bars:2: .*score/) });
  });

  test("its own failure is told with the line it had come to, and bad bytes are found before it sees them", async () => {
    registerReader({
      name: "failing",
      async *texts(file) {
        for await (const { line } of file.lines()) if (line === 2) throw new Error("cannot go on");
        yield { id: "a", text: "x" };
      },
    });
    const failed = readContent("x", "1\n2\n", "corpus", { format: "failing" });
    await expect(failed).rejects.toMatchObject({ code: "DATA", message: expect.stringMatching(/x:2: .*cannot go on/) });
    const nul = readContent("x.bars", "a|b|c\0\n", "corpus");
    await expect(nul).rejects.toMatchObject({ code: "DATA", message: expect.stringMatching(/x\.bars:1: a NUL/) });
    await expect(readContent("x.bars", "", "ids", { format: "bars" })).rejects.toThrow(/the file is empty/);
    const cut = gzipSync("q1|q2|q3".repeat(1000)).subarray(0, 40);
    await expect(readContent("x.gz", cut, "ids", { format: "bars" })).rejects.toThrow(/gzip data ends too early/);
  });

  test("a record whose field cannot be had is its own failure, too", async () => {
    const circular: Record<string, unknown> = { id: "b", text: "x", line: 7 };
    circular["extras"] = { self: circular };
    const bad = {
      id: "b",
      get text(): string {
        throw new Error("no text today");
      },
    };
    registerReader({ name: "getters", texts: () => [{ id: "a", text: "x" }, bad] });
    registerReader({ name: "circular", texts: () => [circular as never] });
    const got = readContent("x", "1\n", "corpus", { format: "getters" });
    await expect(got).rejects.toMatchObject({
      code: "DATA",
      message: expect.stringMatching(/x:2: the reader getters failed: no text today/),
    });
    const turned = readContent("x", "1\n", "corpus", { format: "circular", extras: ["self"] });
    await expect(turned).rejects.toMatchObject({ code: "DATA", message: expect.stringMatching(/x:7: .*circular/) });
  });

  test.each<[string, object, RegExp]>([
    ["a taken name", { name: "bars", texts: () => [] }, /"bars" is taken/],
    ["a built-in name", { name: "jsonl", texts: () => [] }, /"jsonl" is taken/],
    ["no name", { texts: () => [] }, /name must be/],
    ["nothing to read", { name: "none" }, /nothing to read/],
    ["no function", { name: "none", texts: [] }, /texts must be a function/],
    ["a slip", { name: "none", text: () => [] }, /unknown option text/],
  ])("is refused with %s", (_, options, words) => {
    expect(() => registerReader(options as ReaderOptions)).toThrow(words);
  });

  test("what holds no such records, or gives nothing to go through, is a CONFIG error", async () => {
    registerReader({ name: "nothing", texts: () => undefined as never });
    await expect(readContent("x", "a", "qrels", { format: "nothing" })).rejects.toMatchObject({ code: "CONFIG" });
    await expect(readContent("x", "a", "corpus", { format: "nothing" })).rejects.toMatchObject({ code: "CONFIG" });
  });

  test("name, version and source are part of the key of cached data", async () => {
    const path = newCollection().write("x", "a");
    const keys = new Set<string>();
    const readers: Omit<ReaderOptions, "name">[] = [
      { ids: () => ["a"] },
      { ids: () => ["b"] },
      { ids: () => ["a"], version: 2 },
    ];
    for (const [index, reader] of readers.entries()) {
      registerReader({ name: `key-${index}`, ...reader });
      const file = { path, format: `key-${index}`, part: "all", scores: "labels" } as const;
      keys.add(formatKey(await formatOf(file, "ids"), file).replace(/key-\d/, "key"));
    }
    expect(keys.size).toBe(3);
  });

  test("whose matches fails is named with the file that it was asked about", async () => {
    const isOwn = (name: string, head: string): boolean => name.endsWith(".kinds") && JSON.parse(head).kind === "faq";
    registerReader({ name: "kinded", matches: isOwn, texts: () => [] });
    await expect(readContent("x.kinds", "a\tone\n", "corpus")).rejects.toMatchObject({
      code: "CONFIG",
      message: expect.stringMatching(/x\.kinds: the function matches of the reader kinded failed: .*JSON/),
      hint: expect.stringContaining("let it give false"),
    });
  });
});
