/** The cache: built once, recognised again, rebuilt when stale or damaged, and never half-written. */
import {
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readSealed, writeSealed } from "../../../src/data/cache/sealed.js";
import { verifyEntry } from "../../../src/data/cache/verify.js";
import { prepareSource } from "../../../src/data/index.js";
import { type Collection, newCollection, passages, qrels, queries, sourceOf } from "./collection.js";

const judged = sourceOf({ qrels: "qrels.tsv" });

function smallCollection(count = 40): Collection {
  return newCollection({
    "corpus.jsonl": passages(count),
    "queries.jsonl": queries(5),
    "qrels.tsv": qrels(Array.from({ length: count }, (_, row) => [`q${row % 5}`, `d${row}`, row] as const)),
  });
}

/** Enough to hit every file and kind of bytes; the fault suite tries more. */
const FLIPS = 40;

const entries = (cacheDir: string): string[] => readdirSync(cacheDir).filter((name) => name !== "sources");

/** Everything a source says, read through every method. */
async function readAll({ context }: Collection, source = judged): Promise<string> {
  const opened = await prepareSource(source, context);
  try {
    const said: unknown[] = [];
    for (const table of [opened.passages, opened.queries]) {
      for (let row = 0; row < table.rowCount; row += 1) {
        const id = table.id(row);
        said.push([
          id,
          table.rowOf(id),
          table.rowOf(`${id}?`),
          table.title(row),
          table.text(row),
          table.origin(row).line,
        ]);
      }
      said.push([...table.idRanks], [...table.gather(new Int32Array(table.rowCount).map((_, row) => row))]);
    }
    for (const query of opened.qrels?.queryRows ?? []) {
      const { rows, scores } = opened.qrels?.annotated(query) ?? { rows: [], scores: [] };
      said.push(query, [...rows], [...scores], opened.qrels?.origin(query, rows[0] as number)?.line);
    }
    return JSON.stringify(said);
  } finally {
    opened.close();
  }
}

describe("an entry is built once", () => {
  test("opening again builds nothing, also under another name and after the file was touched", async () => {
    const collection = smallCollection();
    const first = await readAll(collection);
    const before = entries(collection.cacheDir);
    expect(before).toHaveLength(3);
    const stamps = before.map(
      (name) => statSync(join(collection.cacheDir, name, "manifest.json"), { bigint: true }).mtimeNs,
    );
    utimesSync(join(collection.dir, "corpus.jsonl"), 1, 1);
    collection.write("copy/corpus.jsonl", readFileSync(join(collection.dir, "corpus.jsonl")));
    collection.write("copy/queries.jsonl", readFileSync(join(collection.dir, "queries.jsonl")));
    expect(await readAll(collection)).toBe(first);
    expect(await readAll(collection, { ...judged, corpus: "copy" })).toBe(first);
    expect(entries(collection.cacheDir)).toEqual(before);
    expect(
      before.map((name) => statSync(join(collection.cacheDir, name, "manifest.json"), { bigint: true }).mtimeNs),
    ).toEqual(stamps);
  });

  test("a file seen before is recognised without reading it", async () => {
    const collection = smallCollection();
    await readAll(collection);
    // Only files that have been quiet for two seconds are remembered: clocks of file systems are coarse.
    await new Promise((resolve) => setTimeout(resolve, 2100));
    await readAll(collection);
    const notes = readdirSync(join(collection.cacheDir, "sources"));
    expect(notes).toHaveLength(3);
    // A note that names another content is believed, so the file itself was not read.
    const note = join(collection.cacheDir, "sources", notes[0] as string);
    const stamp = readSealed(note) as object;
    rmSync(note);
    writeSealed(note, { ...stamp, sha256: "0".repeat(64) });
    const before = entries(collection.cacheDir).length;
    await readAll(collection);
    expect(entries(collection.cacheDir).length).toBe(before + 1);
  });

  test("findings are the same whether an entry is built or found", async () => {
    const collection = newCollection({
      "corpus.jsonl": '{"_id":"a","text":""}\n{"_id":"b","text":"x"}\n{"_id":"c","text":""}\n',
      "queries.jsonl": queries(1),
      "qrels.tsv": "q0\ta\t1\nq0\tb\t1\nq0\ta\t2\n",
    });
    for (const context of [collection.context, { ...collection.context }]) {
      const source = await prepareSource(judged, context);
      const { rows, scores } = source.qrels?.annotated(0) ?? { rows: [], scores: [] };
      expect([...rows].map((row, at) => [row, scores[at]]).sort()).toEqual([
        [0, 2],
        [1, 1],
      ]);
      source.close();
    }
    expect(collection.warnings).toHaveLength(4);
    expect(collection.warnings.slice(0, 2)).toEqual(collection.warnings.slice(2));
    expect(collection.warnings[0]).toMatch(
      /corpus\.jsonl: 2 records have an empty text[^]*corpus\.jsonl:1\b[^]*corpus\.jsonl:3\b/,
    );
    expect(collection.warnings[1]).toContain("qrels.tsv:3. The later line counts.");
  });

  test.each([undefined, "why", new Error("enough"), new DOMException("too long", "TimeoutError")])(
    "a stop on request (reason: %s) leaves nothing behind",
    async (reason) => {
      const collection = smallCollection();
      const signal = AbortSignal.abort(reason);
      const context = { ...collection.context, signal };
      await expect(prepareSource(judged, context)).rejects.toMatchObject({ code: "INTERRUPTED", cause: signal.reason });
      expect(existsSync(collection.cacheDir) ? entries(collection.cacheDir) : []).toEqual([]);
    },
  );

  test("a refused source leaves nothing behind", async () => {
    const collection = newCollection({ "corpus.jsonl": `${passages(3)}{"_id": "d3", "text": \n` });
    await expect(prepareSource(sourceOf(), collection.context)).rejects.toMatchObject({ code: "DATA" });
    expect(entries(collection.cacheDir)).toEqual([]);
  });

  test("a cache folder that cannot be used is an ENVIRONMENT error that names it and QUARRY_CACHE", async () => {
    const collection = smallCollection();
    const cacheDir = join(collection.write("file", ""), "cache");
    const error = await prepareSource(judged, { ...collection.context, cacheDir }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "ENVIRONMENT", message: expect.stringContaining(cacheDir) });
    expect(error).toMatchObject({ hint: expect.stringContaining("QUARRY_CACHE") });
  });
});

describe.each([
  ["memory-mapped", ""],
  ["by positional reads", "1"],
])("damage is found when read, and the next run rebuilds the entry (%s)", (_, noMap) => {
  const withMode = async (work: () => Promise<void>): Promise<void> => {
    process.env["QUARRY_NO_MMAP"] = noMap;
    try {
      await work();
    } finally {
      delete process.env["QUARRY_NO_MMAP"];
    }
  };

  test("single bit flips: none is silent", () =>
    withMode(async () => {
      const collection = smallCollection();
      const expected = await readAll(collection);
      const files = entries(collection.cacheDir)
        .flatMap((entry) => readdirSync(join(collection.cacheDir, entry)).map((name) => join(entry, name)))
        .map((name) => join(collection.cacheDir, name));
      expect(files).toHaveLength(10);
      let found = 0;
      for (let flip = 0; flip < FLIPS; flip += 1) {
        const path = files[flip % files.length] as string;
        const original = readFileSync(path);
        const damaged = Buffer.from(original);
        const at = (flip * 7919 + flip * flip * 31) % damaged.byteLength;
        damaged[at] = (damaged[at] as number) ^ (1 << (flip % 8));
        // A new inode each time: rewriting a mapped file in place is what the cache itself never does.
        rmSync(path);
        writeFileSync(path, damaged);
        const said = await readAll(collection).catch((error: unknown) => error);
        if (said === expected) {
          if (!existsSync(path) || !readFileSync(path).equals(original)) {
            rmSync(path, { force: true });
            writeFileSync(path, original);
          }
          continue;
        }
        found += 1;
        expect(said).toMatchObject({ code: "INTEGRITY" });
        expect(await readAll(collection)).toBe(expected);
        for (const name of entries(collection.cacheDir)) {
          expect(await verifyEntry(join(collection.cacheDir, name))).toEqual([]);
        }
      }
      expect(found).toBeGreaterThan(FLIPS / 8);
    }));

  test("truncated, emptied and missing files are rebuilt at once", () =>
    withMode(async () => {
      const collection = smallCollection();
      const expected = await readAll(collection);
      for (const entry of entries(collection.cacheDir)) {
        for (const name of readdirSync(join(collection.cacheDir, entry))) {
          const path = join(collection.cacheDir, entry, name);
          const { size } = statSync(path);
          for (const length of [0, 1, Math.floor(size / 2), size - 1]) {
            truncateSync(path, length);
            expect(await readAll(collection)).toBe(expected);
            expect(await verifyEntry(join(collection.cacheDir, entry))).toEqual([]);
          }
          rmSync(path);
          expect(await readAll(collection)).toBe(expected);
        }
      }
    }));
});

test("builders that race in one process leave one valid entry each", async () => {
  const collection = smallCollection(200);
  for (let round = 0; round < 5; round += 1) {
    const said = await Promise.all(Array.from({ length: 3 }, () => readAll(collection)));
    expect(new Set(said).size).toBe(1);
    const left = entries(collection.cacheDir);
    expect(left.map((name) => name.split("-")[0]).sort()).toEqual(["qrels", "texts", "texts"]);
    for (const name of left) expect(await verifyEntry(join(collection.cacheDir, name))).toEqual([]);
    rmSync(collection.cacheDir, { recursive: true });
  }
});
