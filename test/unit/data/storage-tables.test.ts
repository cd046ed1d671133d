/** Tables over several windows, in both ways of reading: the same rows whatever the layout in memory. */
import { readdirSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { prepareSource } from "../../../src/data/index.js";
import { ColdReads } from "../../../src/data/storage/cold-reads.js";
import { RandomFile } from "../../../src/data/storage/random-file.js";
import type { TextTable } from "../../../src/data/types.js";
import { type Collection, jsonLines, newCollection, passages, queries, sourceOf } from "./collection.js";

const MIB = 2 ** 20;
const whole = RandomFile.windowBytes;
const isCold = ColdReads.prototype.isCold;
afterEach(() => {
  RandomFile.windowBytes = whole;
  ColdReads.prototype.isCold = isCold;
  delete process.env["QUARRY_NO_MMAP"];
});

const modes = [
  ["memory-mapped", ""],
  ["by positional reads", "1"],
] as const;

async function withPassages<T>({ context }: Collection, work: (table: TextTable) => T): Promise<T> {
  const source = await prepareSource(sourceOf(), context);
  try {
    return work(source.passages);
  } finally {
    source.close();
  }
}

/** The table of passages, the largest one. */
function tableFile({ cacheDir }: Collection): string {
  const paths = readdirSync(cacheDir)
    .filter((name) => name.startsWith("texts-"))
    .map((name) => join(cacheDir, name, "table.arrow"));
  return paths.sort((one, other) => statSync(other).size - statSync(one).size)[0] as string;
}

test("every row reads the same through one window, several, ones shorter than a batch, and none", async () => {
  // 70,000 rows make three batches of about 2.5 MB.
  const count = 70_000;
  const collection = newCollection({
    "corpus.jsonl": jsonLines(
      Array.from({ length: count }, (_, row) => ({ _id: `d${row}`, title: "", text: `text of d${row}` })),
    ),
    "queries.jsonl": queries(1),
  });
  for (const [windowBytes, noMap] of [
    [whole, ""],
    [6 * MIB, ""],
    [MIB, ""],
    [128 * 1024, ""],
    [whole, "1"],
  ] as const) {
    RandomFile.windowBytes = windowBytes;
    process.env["QUARRY_NO_MMAP"] = noMap;
    await withPassages(collection, (table) => {
      let wrong = 0;
      for (let row = 0; row < count; row += 1) {
        if (table.id(row) !== `d${row}` || table.text(row) !== `text of d${row}` || table.origin(row).line !== row + 1)
          wrong += 1;
      }
      expect(wrong).toBe(0);
      // Around the borders of batches, back and forth.
      for (const row of [32_767, 32_768, 65_535, 65_536, 0, count - 1, 32_768])
        expect(table.rowOf(`d${row}`)).toBe(row);
      expect(table.idRanks.length).toBe(count);
    });
  }
});

describe.each(modes)("gathering (%s)", (_, noMap) => {
  test("gives the same bytes whether rows are read ahead or not, in any order", async () => {
    const collection = newCollection({ "corpus.jsonl": passages(3000), "queries.jsonl": queries(1) });
    process.env["QUARRY_NO_MMAP"] = noMap;
    RandomFile.windowBytes = 128 * 1024;
    const rows = Int32Array.from({ length: 500 }, (__, at) => (at * 1237) % 3000);
    const frames: Uint8Array[] = [];
    for (const answer of [true, false]) {
      ColdReads.prototype.isCold = () => answer;
      await withPassages(collection, (table) => {
        table.prefetch(rows);
        table.prefetch(new Int32Array(0));
        frames.push(table.gather(rows));
      });
    }
    expect(Buffer.compare(frames[0] as Uint8Array, frames[1] as Uint8Array)).toBe(0);
  });

  test("from a file that was cut short after it was opened is an INTEGRITY error, and the next run rebuilds it", async () => {
    const collection = newCollection({ "corpus.jsonl": passages(3000), "queries.jsonl": queries(1) });
    process.env["QUARRY_NO_MMAP"] = noMap;
    const rows = Int32Array.of(2999, 1, 2);
    const expected = await withPassages(collection, (table) => table.gather(rows));
    await withPassages(collection, (table) => {
      table.gather(rows);
      const path = tableFile(collection);
      truncateSync(path, 40_000);
      expect(() => table.gather(rows)).toThrow("damaged");
    });
    expect(Buffer.compare(await withPassages(collection, (table) => table.gather(rows)), expected)).toBe(0);
  });
});
