/** Tables of texts: what goes in comes out, by row and by id, as strings and as Arrow. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { tableFromIPC } from "apache-arrow";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { prepareSource, textUnits } from "../../../src/data/index.js";
import { collect } from "../../fixtures/live-bytes.js";
import { jsonLines, newCollection, passages, sourceOf } from "./collection.js";
import { hasPython, python } from "./readers/parquet-files.js";

const record = fc.record({
  title: fc.option(fc.string({ unit: "grapheme" }), { nil: undefined }),
  text: fc.string({ unit: "grapheme", maxLength: 60 }),
});
const id = fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 }).filter((each) => !/[\s\p{Cc}]/u.test(each));

describe.each([
  ["memory-mapped", ""],
  ["by positional reads", "1"],
])("a table %s", (_, noMap) => {
  test("gives back ids, titles, texts and lines, finds ids, and ranks them as UTF-8 bytes", async () => {
    process.env["QUARRY_NO_MMAP"] = noMap;
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(id, { minLength: 1, maxLength: 60 }),
        fc.infiniteStream(record),
        async (ids, stream) => {
          const records = ids.map((each, row) => ({ _id: each, ...[...stream.take(1)][0], row }));
          const { context, dir } = newCollection({ "corpus.jsonl": jsonLines(records) });
          const { passages: table, close } = await prepareSource(sourceOf(), context);
          expect(table.rowCount).toBe(ids.length);
          const ranked = ids.map((each) => Buffer.from(each)).sort(Buffer.compare);
          for (const [row, { _id, title = "", text }] of records.entries()) {
            expect([table.id(row), table.title(row), table.text(row)]).toEqual([_id, title, text]);
            expect(table.rowOf(_id)).toBe(row);
            expect(table.origin(row)).toEqual({ file: join(dir, "corpus.jsonl"), line: row + 1 });
            expect(ranked[table.idRanks[row] as number]?.toString()).toBe(_id);
          }
          expect(table.rowOf("never in there")).toBe(-1);
          close();
        },
      ),
      { numRuns: 30 },
    );
    delete process.env["QUARRY_NO_MMAP"];
  });

  test("gathers any rows, in any order and more than once, as Arrow that holds plain strings", async () => {
    process.env["QUARRY_NO_MMAP"] = noMap;
    const { context } = newCollection({ "corpus.jsonl": passages(300) });
    const { passages: table, close } = await prepareSource(sourceOf(), context);
    for (const rows of [[7, 0, 7, 299], [], [0]]) {
      const read = tableFromIPC(table.gather(Int32Array.from(rows), 1000));
      expect(read.schema.fields.map(String)).toEqual(["row: Int32", "idRank: Int32", "title: Utf8", "text: Utf8"]);
      const expected = rows.map((row) => ({
        row: row + 1000,
        idRank: table.idRanks[row],
        title: table.title(row),
        text: table.text(row),
      }));
      expect(read.toArray().map((each) => ({ ...each }))).toEqual(expected);
    }
    close();
    delete process.env["QUARRY_NO_MMAP"];
  });
});

test("tables of several record batches are one table", async () => {
  const count = 70_000;
  const { context, cacheDir } = newCollection({ "corpus.jsonl": passages(count) });
  const { passages: table, close } = await prepareSource(sourceOf(), context);
  for (const row of [0, 32_767, 32_768, 65_535, 65_536, count - 1]) {
    expect([table.id(row), table.text(row), table.rowOf(`d${row}`)]).toEqual([`d${row}`, `text of d${row}`, row]);
  }
  expect(() => table.text(count)).toThrow(RangeError);
  close();
  expect(() => table.text(0)).toThrow(/closed/);
  const entry = readdirSync(cacheDir).find((name) => name.startsWith("texts-")) as string;
  expect(entry).toBeDefined();
});

test("equal content has an equal fingerprint whatever the file looks like, other content another", async () => {
  const { context, write } = newCollection({ "corpus.jsonl": passages(20) });
  write("crlf.jsonl", passages(20).replaceAll("\n", "\r\n").replaceAll('","', '", "'));
  write("other.jsonl", passages(20).replace("text of d3", "text of D3"));
  const fingerprints = [];
  for (const corpus of ["corpus.jsonl", "crlf.jsonl", "other.jsonl"]) {
    const { passages: table, close } = await prepareSource(sourceOf({ corpus }), context);
    fingerprints.push(table.fingerprint);
    close();
  }
  expect(fingerprints[0]).toBe(fingerprints[1]);
  expect(fingerprints[0]).not.toBe(fingerprints[2]);
});

test("units cover the chosen rows once, in order, under stable names", async () => {
  const { context } = newCollection({ "corpus.jsonl": passages(10) });
  const { passages: table, close } = await prepareSource(sourceOf(), context);
  const units = textUnits(table, Int32Array.of(9, 8, 7, 1, 2), 2, "passages");
  expect([units.count, units.id(2), units.rowCount(2)]).toEqual([3, "passages-2", 1]);
  const rows = [0, 1, 2].flatMap((unit) => [...tableFromIPC(units.frame(unit)).getChild("row")!.toArray()]);
  expect(rows).toEqual([9, 8, 7, 1, 2]);
  expect([...units.rows(1)]).toEqual([7, 1]);
  close();
});

test.skipIf(!hasPython)("pyarrow reads the cached table and a gathered stream", async () => {
  const { context, cacheDir, write } = newCollection({ "corpus.jsonl": passages(50) });
  const { passages: table, close } = await prepareSource(sourceOf(), context);
  const stream = write("stream.arrow", table.gather(Int32Array.of(3, 49, 3)));
  close();
  const entry = readdirSync(cacheDir).find((name) => name.startsWith("texts-")) as string;
  const script = `
import json, sys, pyarrow as pa
table = pa.ipc.open_file(sys.argv[1]).read_all()
table.validate(full=True)
stream = pa.ipc.open_stream(sys.argv[2]).read_all()
stream.validate(full=True)
print(json.dumps([table.select(["id", "title", "text", "line"]).to_pylist(), [str(f.type) for f in stream.schema], stream.to_pydict()]))`;
  const output = execFileSync(python, ["-c", script, join(cacheDir, entry, "table.arrow"), stream], {
    encoding: "utf8",
  });
  const [rows, types, columns] = JSON.parse(output);
  expect(rows).toHaveLength(50);
  expect(rows[49]).toEqual({ id: "d49", title: "Title 49", text: "text of d49", line: 50 });
  expect(types).toEqual(["int32", "int32", "string", "string"]);
  expect(columns.row).toEqual([3, 49, 3]);
  expect(columns.text).toEqual(["text of d3", "text of d49", "text of d3"]);
});

test("mapped memory is given back once nothing can reach it, and never before", async () => {
  const { context, cacheDir } = newCollection({ "corpus.jsonl": passages(5000) });
  const maps = (): number =>
    readFileSync("/proc/self/maps", "utf8")
      .split("\n")
      .filter((line) => line.includes(cacheDir)).length;
  const mapsLeft = async (least: number): Promise<number> => {
    for (let round = 0; round < 1_000 && maps() > least; round += 1) {
      collect();
      await new Promise((done) => setTimeout(done, 10));
    }
    return maps();
  };
  const open = async (): Promise<Int32Array> => {
    const { passages: table, close } = await prepareSource(sourceOf(), context);
    const { idRanks } = table;
    table.text(4999);
    close();
    return idRanks;
  };
  // In calls of their own, whose frames hold nothing afterwards.
  const kept: Int32Array[] = [];
  const keep = async (): Promise<void> => void kept.push(await open());
  const drop = async (): Promise<void> => {
    for (let round = 0; round < 8; round += 1) await open();
  };
  await keep();
  await drop();
  expect(await mapsLeft(1)).toBe(1);
  expect(kept[0]?.reduce((total, rank) => total + rank, 0)).toBe((5000 * 4999) / 2);
  kept.length = 0;
  expect(await mapsLeft(0)).toBe(0);
});
