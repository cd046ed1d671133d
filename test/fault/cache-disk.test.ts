/** A disk that is full, fails, or cannot be written to: no partial entry is ever seen, and the next try succeeds. */
import fs, { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readManifest } from "../../src/data/cache/manifest.js";
import { verifyEntry } from "../../src/data/cache/verify.js";
import { listCache, prepareSource, pruneCache } from "../../src/data/index.js";
import { mountSmallDisk, type SmallDisk, whyNoSmallDisk } from "../fixtures/small-disk.js";

const whyNot = whyNoSmallDisk();
let folder = "";
let disk: SmallDisk | null = null;
beforeEach(() => {
  folder = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "quarry-full-"));
});
afterEach(() => {
  disk?.unmount();
  disk = null;
  rmSync(folder, { recursive: true, force: true });
});

/** A source of two files and judgements. */
function writeSource(passages: number): void {
  const lines = (count: number, line: (row: number) => string): string =>
    Array.from({ length: count }, (_, row) => line(row)).join("");
  const text = "words of a passage that is as long as passages are ".repeat(4);
  writeFileSync(
    join(folder, "corpus.jsonl"),
    lines(passages, (row) => `{"_id":"d${row}","text":"${text}${row}"}\n`),
  );
  writeFileSync(
    join(folder, "queries.jsonl"),
    lines(20, (row) => `{"_id":"q${row}","text":"what is ${row}?"}\n`),
  );
  writeFileSync(
    join(folder, "qrels.tsv"),
    `query-id\tcorpus-id\tscore\n${lines(40, (row) => `q${row % 20}\td${row}\t1\n`)}`,
  );
}

async function open(cacheDir: string): Promise<string> {
  const context = { baseDir: folder, cacheDir, seed: 1 };
  const source = await prepareSource({ kind: "source", corpus: "corpus.jsonl", qrels: "qrels.tsv" }, context);
  try {
    const rows = [...(source.qrels?.queryRows ?? [])].map((row) => source.qrels?.annotated(row).rows.join());
    return `${source.passages.text(source.passages.rowCount - 1)} ${rows.join(";")}`;
  } finally {
    source.close();
  }
}

/** Every folder that looks like an entry is a whole one. */
async function expectOnlyWholeEntries(cacheDir: string): Promise<number> {
  const names = existsSync(cacheDir) ? readdirSync(cacheDir).filter((name) => /^[a-z]+-[0-9a-f]{32}$/.test(name)) : [];
  for (const name of names) {
    expect(readManifest(join(cacheDir, name)), name).not.toBeNull();
    expect(await verifyEntry(join(cacheDir, name))).toEqual([]);
  }
  return names.length;
}

describe.skipIf(whyNot !== null)(`a disk of 8 MiB${whyNot === null ? "" : ` (${whyNot})`}`, () => {
  test("that is full gives an ENVIRONMENT error that says so; with space again the same call succeeds", async () => {
    disk = mountSmallDisk(8);
    const cacheDir = join(disk.path, "cache", "data");
    writeSource(40_000);
    const error = await open(cacheDir).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: "ENVIRONMENT",
      message: `The cache folder ${cacheDir} is full (ENOSPC).`,
      hint: expect.stringContaining("QUARRY_CACHE"),
    });
    await expectOnlyWholeEntries(cacheDir);
    // What was written is given back at once: the next one does not find the disk full.
    expect(readdirSync(cacheDir).filter((name) => name.startsWith("."))).toEqual([]);

    const filler = join(disk.path, "filler");
    writeSource(2000);
    for (let free = 0; free < 8 << 20; free += 1 << 18) {
      const { bavail, bsize } = fs.statfsSync(disk.path);
      rmSync(filler, { force: true });
      const room = fs.statfsSync(disk.path);
      const used = Math.max(0, room.bavail * room.bsize - free);
      writeFileSync(filler, Buffer.alloc(used));
      const outcome = await open(cacheDir).catch((thrown: unknown) => thrown);
      await expectOnlyWholeEntries(cacheDir);
      if (typeof outcome === "string") break;
      expect(outcome, `${bavail * bsize} bytes free`).toMatchObject({ code: "ENVIRONMENT" });
      expect(readdirSync(cacheDir).filter((name) => name.startsWith("."))).toEqual([]);
    }
    expect(await expectOnlyWholeEntries(cacheDir)).toBe(3);
  });

  test("that is read-only serves what it holds, and cannot build what it lacks", async () => {
    disk = mountSmallDisk(8);
    const cacheDir = join(disk.path, "data");
    writeSource(500);
    const said = await open(cacheDir);
    disk.makeReadOnly();
    for (const noMap of ["", "1"]) {
      process.env["QUARRY_NO_MMAP"] = noMap;
      expect(await open(cacheDir)).toBe(said);
      delete process.env["QUARRY_NO_MMAP"];
    }
    expect((await listCache(disk.path)).map(({ state }) => state)).toEqual(["complete", "complete", "complete"]);
    await expect(pruneCache(disk.path, { isAllRemoved: true })).rejects.toMatchObject({ code: "ENVIRONMENT" });
    writeFileSync(join(folder, "queries.jsonl"), '{"_id":"q0","text":"new"}\n');
    const error = await open(cacheDir).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: "ENVIRONMENT",
      message: `The cache folder ${cacheDir} cannot be used (EROFS).`,
      hint: expect.stringContaining("QUARRY_CACHE"),
    });
  });
});

test("a cache folder below a file is an ENVIRONMENT error that names it", async () => {
  writeSource(10);
  writeFileSync(join(folder, "file"), "");
  const cacheDir = join(folder, "file", "cache");
  await expect(open(cacheDir)).rejects.toMatchObject({
    code: "ENVIRONMENT",
    message: expect.stringContaining(cacheDir),
    hint: expect.stringContaining("QUARRY_CACHE"),
  });
});

test.each(["cache", "cache/data"])(
  "a cache at or below a file (%s) is told as such, also where files are remembered",
  async (below) => {
    writeSource(10);
    writeFileSync(join(folder, "cache"), "");
    // Files that were quiet for two seconds are remembered in the cache: that fails first, and must not be what is told.
    await new Promise((resolve) => setTimeout(resolve, 2100));
    const cacheDir = join(folder, below);
    await expect(open(cacheDir)).rejects.toMatchObject({
      code: "ENVIRONMENT",
      message: expect.stringMatching(new RegExp(`The cache folder ${cacheDir} cannot be used \\(E[A-Z]+\\)`)),
      hint: expect.stringContaining("QUARRY_CACHE"),
    });
  },
);

/** Calls that change the disk; each of them is let fail in turn. */
const CALLS = ["writeSync", "fsyncSync", "openSync", "mkdirSync", "renameSync", "writeFileSync"] as const;

/** Runs work while the n-th call below a folder fails; tells whether it came to that call. */
async function failing<T>(
  at: number,
  code: string,
  work: () => Promise<T>,
): Promise<{ outcome: T | Error; isHit: boolean }> {
  let count = 0;
  const originals = CALLS.map((name) => [name, fs[name]] as const);
  for (const [name, original] of originals) {
    Object.assign(fs, {
      [name]: (...args: unknown[]): unknown => {
        // Reading a source or a cached file does not write.
        const isReading = name === "openSync" && args[1] === "r" && !statSync(String(args[0])).isDirectory();
        if (!isReading) count += 1;
        if (count === at && !isReading) {
          // A disk that fills up takes a part of the bytes first.
          if (name === "writeSync") (original as (...rest: unknown[]) => number)(args[0], args[1], args[2], 1);
          throw Object.assign(new Error(`${code}: injected`), { code });
        }
        return (original as (...rest: unknown[]) => unknown)(...args);
      },
    });
  }
  syncBuiltinESMExports();
  try {
    const outcome = await work().catch((thrown: Error) => thrown);
    return { outcome, isHit: count >= at };
  } finally {
    Object.assign(fs, Object.fromEntries(originals));
    syncBuiltinESMExports();
  }
}

test.each([
  ["ENOSPC", "every", 1],
  ["EIO", "every fifth", 5],
  ["EROFS", "every fifth", 5],
] as const)(
  "the n-th write fails with %s, for %s n: nothing partial is seen, the next try succeeds",
  async (code, _, step) => {
    writeSource(60);
    const expected = await open(join(folder, "sound"));
    let failures = 0;
    for (let at = 1; ; at += step) {
      const cacheDir = join(folder, `cache-${at}`);
      const { outcome, isHit } = await failing(at, code, () => open(cacheDir));
      if (!isHit) {
        expect(outcome).toBe(expected);
        break;
      }
      await expectOnlyWholeEntries(cacheDir);
      // Notes on sources only save time: their failure fails nothing.
      if (outcome !== expected) {
        failures += 1;
        expect(outcome).toMatchObject({ code: "ENVIRONMENT", message: expect.stringContaining(cacheDir) });
      }
      expect(await open(cacheDir)).toBe(expected);
      expect(await expectOnlyWholeEntries(cacheDir)).toBe(3);
      const left = existsSync(cacheDir) ? readdirSync(cacheDir).filter((name) => name.startsWith(".")) : [];
      expect(left).toEqual([]);
      rmSync(cacheDir, { recursive: true, force: true });
    }
    // Three entries with a folder, one to three files and a manifest each.
    expect(failures).toBeGreaterThan(30 / step);
  },
);

test("what a killed builder left is swept by the next build, and never opened", async () => {
  writeSource(60);
  const cacheDir = join(folder, "cache");
  const expected = await open(cacheDir);
  const [name = ""] = readdirSync(cacheDir).filter((each) => each.startsWith("texts-"));
  // A build that was killed after its manifest and before its rename, by a process that is no more.
  const { buildingName } = await import("../../src/data/cache/builders.js");
  const left = buildingName().replace(`-${process.pid}-`, "-4194305-");
  fs.renameSync(join(cacheDir, name), join(cacheDir, left));
  mkdirSync(join(cacheDir, buildingName()));
  expect(await open(cacheDir)).toBe(expected);
  expect(readdirSync(cacheDir)).not.toContain(left);
  expect(readdirSync(cacheDir).filter((each) => each.startsWith(".building-"))).toHaveLength(1);
});

test.skipIf(!existsSync("/proc/self"))("a folder that can never be made ends in an error that names it", async () => {
  writeSource(3);
  // In /proc a recursive mkdir of Node's never comes back.
  await expect(open("/proc/nope/cache")).rejects.toMatchObject({
    code: "ENVIRONMENT",
    message: "The cache folder /proc/nope/cache cannot be used (ENOENT).",
    hint: expect.stringContaining("QUARRY_CACHE") as string,
  });
});
