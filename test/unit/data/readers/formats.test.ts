/** What each format reads, and how a file is told to be in it. */
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { formatKey, formatNamed, formatOf } from "../../../../src/data/readers/formats.js";
import type { Role } from "../../../../src/data/readers/reader.js";
import { jsonLines, newCollection } from "../collection.js";
import { type ReadOptions, readContent } from "./read-file.js";

describe("fields go by the names in use", () => {
  const ids = ["_id", "id", "docid", "doc_id", "passage_id", "passage-id", "pid", "corpus-id", "corpus_id"];
  test.each(ids)("%s is a passage's id, in JSONL, JSON, CSV and TSV", async (id) => {
    const record = { [id]: "d1", title: "T", text: "one" };
    const files = {
      "a.jsonl": jsonLines([record, record]),
      "a.json": JSON.stringify([record, record], null, 1),
      "a.csv": `title,${id},text\nT,d1,one\nT,d1,one\n`,
      "a.tsv": `${id}\ttext\ttitle\nd1\tone\tT\nd1\tone\tT\n`,
    };
    for (const [name, content] of Object.entries(files)) {
      expect((await readContent(name, content, "corpus")).records).toEqual(["d1|T|one", "d1|T|one"]);
    }
  });

  test.each(["_id", "id", "query_id", "query-id", "qid"])("%s is a query's id", async (id) => {
    const { records } = await readContent("queries.jsonl", jsonLines([{ [id]: "q1", query: "what" }]), "queries");
    expect(records).toEqual(["q1||what"]);
    const subset = await readContent("subset.jsonl", jsonLines([{ [id]: "q1", query: "what" }]), "ids");
    expect(subset.records).toEqual(["q1"]);
  });

  test.each(["text", "contents", "content", "passage"])("%s is a passage's text", async (text) => {
    const { records } = await readContent("corpus.jsonl", jsonLines([{ id: "d1", [text]: "one" }]), "corpus");
    expect(records).toEqual(["d1||one"]);
  });

  test.each(["score", "label", "relevance", "rel"])("%s is a judgement's score", async (score) => {
    const lines = jsonLines([{ qid: "q1", docid: "d1", [score]: 0.5 }]);
    expect((await readContent("qrels.jsonl", lines, "qrels")).records).toEqual(["q1|d1|0.5"]);
  });

  test("two that may be it, and none, are errors that list the fields seen", async () => {
    const two = readContent("c.jsonl", '{"id": "1", "docid": "2", "text": "t", "x": 1}\n', "corpus");
    await expect(two).rejects.toThrow(
      /c\.jsonl:1: "id" and "docid" may each be the id\. Fields.*: id, docid, text, x\./,
    );
    const none = readContent("c.jsonl", '{"id": "1", "body": "t"}\n', "corpus");
    await expect(none).rejects.toThrow(/no field "text", "contents", "content" or "passage"\. Fields.*: id, body\./);
    const column = readContent("c.csv", "id,body\n1,t\n", "corpus");
    await expect(column).rejects.toThrow(/c\.csv:1: no column for the text.*Columns: "id", "body"\./);
    const columns = readContent("c.tsv", "id\tdocid\ttext\n1\t2\tt\n", "corpus");
    await expect(columns).rejects.toThrow(/c\.tsv:1: 2 columns may be the id/);
  });

  test("the option fields decides, by name or by number", async () => {
    const choose = { fields: { id: "docid", text: "title" } };
    const line = '{"id": 7, "docid": "2", "text": "t", "title": "T"}\n';
    expect((await readContent("c.jsonl", line, "corpus", choose)).records).toEqual(["2||T"]);
    const csv = "docid,title,text\n2,T,t\n";
    expect((await readContent("c.csv", csv, "corpus", choose)).records).toEqual(["2||T"]);
    const numbers = { fields: { id: 0, title: 2, text: 3 } };
    const docs = "D1\thttp://x\tT\tbody\nD2\thttp://y\tU\tmore\n";
    expect((await readContent("docs.tsv", docs, "corpus", numbers)).records).toEqual(["D1|T|body", "D2|U|more"]);
    const headed = `docid\turl\ttitle\tbody\n${docs}`;
    expect((await readContent("docs.tsv", headed, "corpus", numbers)).records).toEqual(["D1|T|body", "D2|U|more"]);
    const prompts = { fields: { prompt: "instruction" } };
    const asked = jsonLines([
      { id: "q", text: "t", instruction: "Find:" },
      { id: "r", text: "t", instruction: null },
    ]);
    expect((await readContent("q.jsonl", asked, "queries", prompts)).records).toEqual(["q||t|Find:", "r||t|"]);
  });

  test.each<[string, ReadOptions["fields"], Role, string]>([
    ["text", { id: 0, text: 3 }, "corpus", "column 3 for the text: there are 3."],
    ["score", { query: 0, passage: 1, score: 3 }, "qrels", "column 3 for the score: there are 3."],
    ["optional title", { id: 0, text: 1, title: 9 }, "corpus", "column 9 for the title: there are 3."],
  ])("a number beyond the columns is refused with their number: %s", async (_, fields, role, words) => {
    for (const content of ["1\tt\t3\n", "id\ttext\tscore\n1\tt\t3\n"]) {
      const refused = { code: "DATA", message: expect.stringMatching(`c\\.tsv:1: ${words}`), hint: "Count from 0." };
      await expect(readContent("c.tsv", content, role, { fields })).rejects.toMatchObject(refused);
    }
  });

  test.each<[string, string, string, Role, ReadOptions]>([
    ["a field that the role has not", "c.jsonl", '{"id":"1"}', "corpus", { fields: { passage: "x" } }],
    ["a number for JSON", "c.jsonl", '{"id":"1"}', "corpus", { fields: { id: 0 } }],
    ["a name without header", "c.tsv", "1\tt", "corpus", { fields: { id: "id" }, header: false }],
    ["only one of two columns", "c.tsv", "1\tt\tu\tv", "corpus", { fields: { id: 0 } }],
    ["an option of other formats", "c.jsonl", '{"id":"1","text":"t"}', "corpus", { header: true }],
    ["part where there are no parts", "q.tsv", "q\td\t1", "qrels", { part: "positives" }],
    ["a delimiter beyond ASCII", "c.csv", "1,t", "corpus", { delimiter: "→" }],
    ["a quote as delimiter", "c.csv", "1,t", "corpus", { delimiter: '"' }],
  ])("%s is a CONFIG error", async (_, name, content, role, options) => {
    await expect(readContent(name, content, role, options)).rejects.toMatchObject({ code: "CONFIG" });
  });
});

describe("a file's format is told by its name and beginning", () => {
  test.each<[string, Role, string, string, string, string[]]>([
    ["BEIR qrels", "qrels", "test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t1\n", "tsv", ["q1|d1|1"]],
    ["BEIR qrels, one line", "qrels", "test.tsv", "q1\td1\t1", "tsv", ["q1|d1|1"]],
    ["qrels in other orders", "qrels", "a.tsv", "score\tpid\tqid\n2\td1\tq1\n", "tsv", ["q1|d1|2"]],
    ["TREC qrels", "qrels", "qrels.txt", "q1 0 d1 1\nq1 0 d2 -1\n", "trec-qrels", ["q1|d1|1", "q1|d2|-1"]],
    ["MS MARCO qrels", "qrels", "qrels.dev.small.tsv", "300674\t0\t7067032\t1\n", "trec-qrels", ["300674|7067032|1"]],
    ["a TREC run", "qrels", "x", "q1 Q0 d1 1 1.25e1 bm25\n", "trec-run", ["q1|d1|12.5"]],
    ["a run with blanks in ids", "qrels", "x", "q\u3000 Q0 d\u00a01 1 2 bm25\n", "trec-run", ["q\u3000|d\u00a01|2"]],
    ["qrels with blanks in ids", "qrels", "x", "q\u3000 0 d\u00a01 1\n", "trec-qrels", ["q\u3000|d\u00a01|1"]],
    ["query ids with blanks", "ids", "x", "q\u00a01\nq\u3000\n", "ids", ["q\u00a01", "q\u3000"]],
    ["a TREC run's queries", "ids", "x", "q1 Q0 d1 1 12.5 bm25\n", "trec-run", ["q1"]],
    [
      "id triples",
      "qrels",
      "x.tsv",
      "q1\tp1\tn1\nq1\tp2\tn2\n",
      "triples",
      ["q1|p1|1", "q1|n1|0", "q1|p2|1", "q1|n2|0"],
    ],
    ["triples with a header", "qrels", "x.tsv", "qid\tpos\tneg\nq1\tp1\tn1\n", "triples", ["q1|p1|1", "q1|n1|0"]],
    ["numbers in a file of triples", "qrels", "qidpidtriples.tsv", "1\t2\t3\n", "triples", ["1|2|1", "1|3|0"]],
    ["numbers in another file", "qrels", "train.tsv", "1\t2\t3\n", "tsv", ["1|2|3"]],
    ["some numbers in the third column", "qrels", "x.tsv", "q\tp\tn1\nq\tp\t3\n", "", []],
    [
      "grouped JSONL",
      "qrels",
      "g.jsonl",
      '{"qid":"q","docid":["a","b"],"score":[1,0.5]}\n',
      "grouped-jsonl",
      ["q|a|1", "q|b|0.5"],
    ],
    [
      "grouped JSONL's queries",
      "ids",
      "g.jsonl",
      '{"qid":"q","docid":["a","b"],"score":[1,0]}\n',
      "grouped-jsonl",
      ["q"],
    ],
    [
      "JSONL named .json",
      "corpus",
      "c.json",
      '{"id":"a","text":"b"}\n{"id":"c","text":"d"}\n',
      "jsonl",
      ["a||b", "c||d"],
    ],
    ["one object named .json", "corpus", "c.json", '{"_id":"a","text":"b"}', "jsonl", ["a||b"]],
    ["a list", "corpus", "c.json", ' [{"id":"a","text":"b"}]', "json", ["a||b"]],
    ["a map of texts", "queries", "q.json", '{"q1": "what", "q2": "who"}', "json", ["q1||what", "q2||who"]],
    ["a map, indented, without a name", "queries", "q", '{\n "q1": {"text": "what"}\n}', "json", ["q1||what"]],
    ["a map of scores", "qrels", "q.json", '{"q1": {"d1": 1, "d2": 0}}', "json", ["q1|d1|1", "q1|d2|0"]],
    ["a list of ids", "ids", "q.json", '[\n"q1", "q2"]', "json", ["q1", "q2"]],
    ["the keys of a map", "ids", "q.json", '{"q1": {"d1": 1}, "q2": {}}', "json", ["q1", "q2"]],
    ["MS MARCO's collection", "corpus", "collection.tsv", '0\tsays "x\n1\t\n', "tsv", ['0||says "x', "1||"]],
    ["TSV with titles", "corpus", "wiki.tsv", "1\tT\tx y\n", "tsv", ["1|T|x y"]],
    ["TSV by its content", "queries", "queries", "1\tx y\n2\tz\n", "tsv", ["1||x y", "2||z"]],
    ["CSV by its header", "queries", "queries", "query_id,text\n1,x y\n", "csv", ["1||x y"]],
    ["ids", "ids", "ids.txt", "q1\nq2\n", "ids", ["q1", "q2"]],
    ["ids with a header", "ids", "ids.txt", "query_id\nq1\n", "ids", ["q1"]],
    ["ids in the first column", "ids", "queries.tsv", "q1\tx y\nq2\tz\n", "tsv", ["q1", "q2"]],
    ["ids of qrels in CSV", "ids", "q.csv", "score,query-id,doc\n1,q1,d\n", "csv", ["q1"]],
  ])("%s", async (_, role, name, content, format, records) => {
    if (format === "") {
      await expect(readContent(name, content, role)).rejects.toThrow(/:1: the score "n1" is no number/);
      return;
    }
    expect(await readContent(name, content, role)).toMatchObject({ format, records });
    expect(await readContent(`${name}.gz`, gzipSync(content), role)).toMatchObject({ format, records });
  });

  test("triples give positives, negatives or both", async () => {
    const content = "q\tp\tn\nq\tp\tm\n";
    const read = async (part: "positives" | "negatives") =>
      (await readContent("triples.tsv", content, "qrels", { part })).records;
    expect(await read("positives")).toEqual(["q|p|1", "q|p|1"]);
    expect(await read("negatives")).toEqual(["q|n|0", "q|m|0"]);
    expect(formatNamed("triples").mayRepeat).toBe(true);
  });

  test("a named format wins, and an unknown one is answered with the nearest", async () => {
    expect((await readContent("c.jsonl", "1\tx\n", "corpus", { format: "tsv" })).records).toEqual(["1||x"]);
    const wrong = readContent("c.jsonl", "1\tx\n", "corpus", { format: "tsb" });
    await expect(wrong).rejects.toMatchObject({ code: "CONFIG", message: expect.stringContaining("Did you mean tsv") });
    const longer = readContent("c.jsonl", "{}\n", "corpus", { format: "jsonlines" });
    await expect(longer).rejects.toMatchObject({ message: expect.stringContaining("Did you mean jsonl") });
    const role = readContent("c.tsv", "1\tx\n", "corpus", { format: "trec-run" });
    await expect(role).rejects.toMatchObject({ code: "CONFIG", message: expect.stringContaining("holds no passages") });
  });

  test.each<[string, string, string | Uint8Array, string, RegExp]>([
    ["prose", "notes.md", "Some words.\nMore words.\n", "CONFIG", /begins with "Some words\."/],
    ["Zstandard", "c.zst", Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0]), "CONFIG", /packed as Zstandard/],
    ["binary data", "c.bin", Buffer.from([1, 0, 2]), "CONFIG", /binary data/],
    ["an empty file", "notes.md", "", "DATA", /the file is empty/],
  ])("what nobody recognises is said with what was seen: %s", async (_, name, content, code, words) => {
    const failed = await readContent(name, content, "corpus").catch((error: unknown) => error);
    expect(failed).toMatchObject({ code, message: expect.stringMatching(words), hint: expect.stringMatching(/./) });
  });

  test("gzip is recognised whatever the file is called", async () => {
    const packed = gzipSync('{"id":"a","text":"b"}\n');
    expect((await readContent("corpus.jsonl", packed, "corpus")).records).toEqual(["a||b"]);
  });

  test("a beginning of 64 KiB is enough, also inside the first record", async () => {
    const long = "x".repeat(200_000);
    const files: [string, string, string][] = [
      ["c", JSON.stringify({ id: "a", text: long }), "jsonl"],
      ["c.tsv.gz", `a\t${long}\n`, "tsv"],
      ["c.json", JSON.stringify({ a: long }), "json"],
    ];
    for (const [name, content, format] of files) {
      const packed = name.endsWith(".gz") ? gzipSync(content) : content;
      expect(await readContent(name, packed, "corpus")).toMatchObject({ format, records: [`a||${long}`] });
    }
  });

  test("the key of cached data holds the format, its version and the options, not the path", async () => {
    const { write } = newCollection();
    const file = { path: write("a.tsv", "1\tx\n"), part: "all", scores: "labels", header: false } as const;
    const format = await formatOf(file, "corpus");
    expect(formatKey(format, file)).toBe('["tsv",2,{"part":"all","scores":"labels","header":false}]');
  });
});
