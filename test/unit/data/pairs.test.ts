/** Pairs for a cross-encoder: what travels, which digests tell texts apart, and how pairs are cut into units. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tableFromIPC } from "apache-arrow";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { DIGEST_BYTES, digestTexts, pairUnits, prepareSource } from "../../../src/data/index.js";
import type { PreparedSource } from "../../../src/data/types.js";
import { parseExperiment } from "../../../src/experiment/define.js";

let folder: string;
let plain: PreparedSource;
let styled: PreparedSource;

async function open(options: object): Promise<PreparedSource> {
  const data = { corpus: "corpus.jsonl", queries: "queries.jsonl", ...options };
  const { encode } = parseExperiment({ name: "x", model: { checkpoint: "a/b" }, encode: { data } });
  if (encode === undefined) throw new Error("no data");
  return prepareSource(encode.data, { baseDir: folder, cacheDir: join(folder, "cache"), seed: 1 });
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-pairs-"));
  const lines = (rows: object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
  await writeFile(
    join(folder, "corpus.jsonl"),
    lines([
      { _id: "a", title: "Title", text: "één text" },
      { _id: "b", text: "another" },
      { _id: "c", title: "Title", text: "één text" },
      { _id: "d", title: "", text: "Title één text" },
    ]),
  );
  await writeFile(
    join(folder, "queries.jsonl"),
    lines([
      { _id: "q0", text: "first" },
      { _id: "q1", title: "Asked", text: "second" },
      { _id: "q2", text: "third" },
    ]),
  );
  plain = await open({});
  styled = await open({ prompts: { query: "query: " }, templates: { passage: "{title} | {text}" } });
});
afterAll(async () => {
  plain.close();
  styled.close();
  await rm(folder, { recursive: true });
});

const pairs = { queryRows: Int32Array.of(0, 0, 1, 1, 2), passageRows: Int32Array.of(0, 1, 1, 2, 3) };
const rowsOf = (frame: Uint8Array): unknown[] =>
  tableFromIPC(frame)
    .toArray()
    .map((row) => [row.row, row.query, row.title, row.text]);

test("a unit holds numbers and texts of its pairs; a query's title stands in front of its text", () => {
  const units = pairUnits(plain, pairs, Int32Array.of(0, 1, 2, 4), 10);
  expect(units.count).toBe(1);
  expect(rowsOf(units.frame(0))).toEqual([
    [0, "first", "Title", "één text"],
    [1, "first", "", "another"],
    [2, "Asked second", "", "another"],
    [4, "third", "", "Title één text"],
  ]);
});

test("templates are applied, prompts of bi-encoders are not", () => {
  const [first] = rowsOf(pairUnits(styled, pairs, Int32Array.of(0), 10).frame(0));
  expect(first).toEqual([0, "first", "", "Title | één text"]);
});

test("equal texts have equal digests whatever their ids are; where the title ends makes a difference", () => {
  const digests = digestTexts(plain.passages, Int32Array.of(0, 1, 2, 3, 0));
  const [a, b, c, d, again] = Array.from({ length: 5 }, (_, at) =>
    digests.subarray(at * DIGEST_BYTES, (at + 1) * DIGEST_BYTES).toString("hex"),
  );
  expect(c).toBe(a);
  expect(again).toBe(a);
  expect(new Set([a, b, d]).size).toBe(3);
  expect(digestTexts(plain.passages, new Int32Array(0)).byteLength).toBe(0);
});

test("units hold every chosen pair once, in order, none too large, and split no query that would fit", () => {
  const counts = fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 12 });
  fc.assert(
    fc.property(counts, fc.integer({ min: 1, max: 7 }), (sizes, unitSize) => {
      const queryRows = Int32Array.from(sizes.flatMap((size, query) => Array<number>(size).fill(query)));
      const passageRows = new Int32Array(queryRows.length);
      const numbers = Int32Array.from(queryRows.keys()).filter((number) => number % 5 !== 3);
      const units = pairUnits(plain, { queryRows, passageRows }, numbers, unitSize);
      const all = Array.from({ length: units.count }, (_, index) => [...units.rows(index)]);
      expect(all.flat()).toEqual([...numbers]);
      for (const [index, unit] of all.entries()) {
        expect(unit.length).toBe(units.rowCount(index));
        expect(unit.length).toBeGreaterThan(0);
        expect(unit.length).toBeLessThanOrEqual(unitSize);
      }
      for (const query of new Set(queryRows)) {
        const own = numbers.filter((number) => queryRows[number] === query).length;
        const holding = all.filter((unit) => unit.some((number) => queryRows[number] === query));
        if (own > 0 && own <= unitSize) expect(holding.length).toBe(1);
      }
    }),
  );
});
