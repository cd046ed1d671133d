/** Bits that flip and files that are cut: every read gives the right data or an INTEGRITY error, and then a rebuild. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { verifyEntry } from "../../src/data/cache/verify.js";
import { prepareSource, verifyCache } from "../../src/data/index.js";
import type { SourceConfig } from "../../src/experiment/schema.js";

const FLIPS = Number(process.env["QUARRY_FAULT_FLIPS"] ?? 1000);
const CUTS = 100;

let folder = "";
let seed = 0;
beforeEach(() => {
  seed = 99;
  folder = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "quarry-damage-"));
  const lines = (count: number, line: (row: number) => object): string =>
    Array.from({ length: count }, (_, row) => `${JSON.stringify(line(row))}\n`).join("");
  writeFileSync(
    join(folder, "corpus.jsonl"),
    lines(40, (row) => ({ _id: `d${row}`, title: row % 3 === 0 ? "" : `Title ${row}`, text: `text ${row}` })),
  );
  writeFileSync(
    join(folder, "queries.jsonl"),
    lines(6, (row) => ({ _id: `q${row}`, text: `what is ${row}?` })),
  );
  for (const part of [0, 1]) {
    const judged = Array.from({ length: 20 }, (_, row) => `q${row % 6}\td${row * 2 + part}\t${row}\n`).join("");
    writeFileSync(join(folder, `qrels-${part}.tsv`), `query-id\tcorpus-id\tscore\n${judged}`);
  }
  writeFileSync(join(folder, "subset.txt"), "q0\nq1\nq2\nq3\nq5\n");
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
  delete process.env["QUARRY_NO_MMAP"];
});

function random(limit: number): number {
  seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff;
  return Math.floor((seed / 0x80000000) * limit);
}

const judged: SourceConfig = {
  kind: "source",
  corpus: "corpus.jsonl",
  qrels: ["qrels-0.tsv", "qrels-1.tsv"],
  querySubset: "subset.txt",
};

/** Everything a source says, read through every method. */
async function readAll(source = judged): Promise<string> {
  const opened = await prepareSource(source, { baseDir: folder, cacheDir: join(folder, "cache", "data"), seed: 1 });
  try {
    const said: unknown[] = [];
    for (const table of [opened.passages, opened.queries]) {
      for (let row = 0; row < table.rowCount; row += 1) {
        const id = table.id(row);
        said.push(
          id,
          table.rowOf(id),
          table.rowOf(`${id}?`),
          table.title(row),
          table.text(row),
          table.origin(row).line,
        );
      }
      said.push([...table.idRanks], [...table.gather(new Int32Array(table.rowCount).map((_, row) => row))]);
    }
    for (const query of opened.qrels?.queryRows ?? []) {
      const { rows, scores } = opened.qrels?.annotated(query) ?? { rows: [], scores: [] };
      said.push(query, [...rows], [...scores], opened.qrels?.origin(query, rows[0] as number));
    }
    return JSON.stringify(said);
  } finally {
    opened.close();
  }
}

function files(): string[] {
  const data = join(folder, "cache", "data");
  return readdirSync(data)
    .filter((entry) => entry !== "sources")
    .flatMap((entry) => readdirSync(join(data, entry)).map((name) => join(data, entry, name)));
}

/** In a new inode: a mapped file is never written in place. */
function replace(path: string, content: Uint8Array): void {
  rmSync(path, { force: true });
  writeFileSync(path, content);
}

/** Damages a file, reads everything, and tells what came of it; leaves the cache sound. */
async function damaged(
  path: string,
  content: Uint8Array,
  expected: string,
  source = judged,
): Promise<"found" | "rebuilt" | "unread"> {
  const original = readFileSync(path);
  replace(path, content);
  const said = await readAll(source).catch((error: unknown) => error);
  if (said === expected) {
    // Either the entry was rebuilt while it was opened, or the damage lies where nothing is ever read.
    const isRebuilt = readFileSync(path).byteLength !== content.byteLength || !readFileSync(path).equals(content);
    if (isRebuilt) expect(await verifyEntry(join(path, ".."))).toEqual([]);
    else {
      expect(await verifyEntry(join(path, ".."))).not.toEqual([]);
      replace(path, original);
    }
    return isRebuilt ? "rebuilt" : "unread";
  }
  expect(said, path).toMatchObject({ code: "INTEGRITY" });
  expect(await readAll(source)).toBe(expected);
  expect(await verifyEntry(join(path, ".."))).toEqual([]);
  return "found";
}

describe.each([
  ["memory-mapped", ""],
  ["by positional reads", "1"],
])("%s", (_, noMap) => {
  beforeEach(() => {
    process.env["QUARRY_NO_MMAP"] = noMap;
  });

  test(`${FLIPS / 2} single bits flipped over all files of all entries: none is silent`, async () => {
    const expected = await readAll();
    const all = files();
    expect(all.length).toBeGreaterThanOrEqual(12);
    const counts = { found: 0, rebuilt: 0, unread: 0 };
    for (let flip = 0; flip < FLIPS / 2; flip += 1) {
      const path = all[flip % all.length] as string;
      const bytes = readFileSync(path);
      const at = random(bytes.byteLength);
      bytes[at] = (bytes[at] as number) ^ (1 << random(8));
      counts[await damaged(path, bytes, expected)] += 1;
    }
    console.info(`${FLIPS / 2} flips: ${JSON.stringify(counts)}`);
    expect(counts.found + counts.rebuilt).toBeGreaterThan(FLIPS / 4);
  });

  test(`every file cut at its edges, and ${CUTS / 2} random cuts: none is silent`, async () => {
    const expected = await readAll();
    const all = files();
    for (const path of all) {
      for (const edge of [0, 1, -1]) {
        expect(await damaged(path, readFileSync(path).subarray(0, edge), expected)).toBe("rebuilt");
      }
    }
    for (let cut = 0; cut < CUTS / 2; cut += 1) {
      const bytes = readFileSync(all[cut % all.length] as string);
      expect(
        await damaged(all[cut % all.length] as string, bytes.subarray(0, random(bytes.byteLength)), expected),
      ).toBe("rebuilt");
    }
  });
});

test("prompts of records are checked as well: a bit of every third byte of their table, none is silent", async () => {
  const line = (row: number): object => ({
    query: `q ${row}`,
    pos: [`p ${row}`],
    neg: [`n ${row}`],
    prompt: `Find ${row}: `,
  });
  writeFileSync(
    join(folder, "train.jsonl"),
    Array.from({ length: 8 }, (_, row) => `${JSON.stringify(line(row))}\n`).join(""),
  );
  const source: SourceConfig = { kind: "source", corpus: "train.jsonl", queries: "train.jsonl", qrels: "train.jsonl" };
  const expected = await readAll(source);
  const path = files().find((file) => file.endsWith("table.arrow") && readFileSync(file).includes("Find 7: "));
  if (path === undefined) throw new Error("no table has prompts");
  const counts = { found: 0, rebuilt: 0, unread: 0 };
  for (let at = 0; at < readFileSync(path).byteLength; at += 3) {
    const bytes = readFileSync(path);
    bytes[at] = (bytes[at] as number) ^ (1 << random(8));
    counts[await damaged(path, bytes, expected, source)] += 1;
  }
  expect(counts.found).toBeGreaterThan(100);
  // Each byte of a prompt itself: whatever it becomes, the checksum that it shares with the id tells.
  const prompt = readFileSync(path).indexOf("Find 7: ");
  for (let at = prompt; at < prompt + 8; at += 1) {
    const bytes = readFileSync(path);
    bytes[at] = (bytes[at] as number) ^ (1 << random(8));
    expect(await damaged(path, bytes, expected, source)).not.toBe("unread");
  }
});

test("verify finds every flip, also where nothing is ever read", async () => {
  const expected = await readAll();
  const all = files();
  for (let flip = 0; flip < 60; flip += 1) {
    const path = all[flip % all.length] as string;
    const bytes = readFileSync(path);
    const at = random(bytes.byteLength);
    bytes[at] = (bytes[at] as number) ^ (1 << random(8));
    replace(path, bytes);
    expect((await verifyCache(join(folder, "cache"))).damaged).toHaveLength(1);
    expect(await readAll()).toBe(expected);
  }
});
