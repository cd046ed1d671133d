/** Listing, verifying and pruning a cache: what is said of each entry, and that nothing else is ever touched. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { buildingName } from "../../../src/data/cache/builders.js";
import { entriesOf, listCache, prepareSource, pruneCache, verifyCache } from "../../../src/data/index.js";
import type { DataContext } from "../../../src/data/types.js";
import { newCollection, passages, qrels, queries, sourceOf } from "./collection.js";

const DAY = 24 * 3600;
const judged = sourceOf({ qrels: "qrels.tsv" });

interface Filled {
  readonly root: string;
  readonly dir: string;
  readonly data: string;
  readonly context: DataContext;
  write(name: string, content: string | Uint8Array): string;
  open(): Promise<string>;
  /** The path of the entry of a kind that was built from a file. */
  entry(kind: string, source: string): Promise<string>;
}

/** A cache folder with three entries, in the layout of a run. */
async function filledCache(): Promise<Filled> {
  const collection = newCollection({
    "corpus.jsonl": passages(40),
    "queries.jsonl": queries(5),
    "qrels.tsv": qrels(Array.from({ length: 40 }, (_, row) => [`q${row % 5}`, `d${row}`, row] as const)),
  });
  const root = join(collection.dir, "cache");
  const context = { ...collection.context, cacheDir: join(root, "data") };
  const open = async (): Promise<string> => {
    const source = await prepareSource(judged, context);
    try {
      return source.passages.text(7) + source.qrels?.annotated(0).rows.join();
    } finally {
      source.close();
    }
  };
  await open();
  const entry = async (kind: string, source: string): Promise<string> => {
    const found = (await listCache(root)).find((each) => each.kind === kind && each.sources[0]?.endsWith(source));
    if (found === undefined) throw new Error(`no ${kind} of ${source}`);
    return found.path;
  };
  return { root, dir: collection.dir, data: context.cacheDir, context, write: collection.write, open, entry };
}

/** Moves an entry's last use into the past. */
function age(folder: string, days: number): void {
  const when = Date.now() / 1000 - days * DAY;
  utimesSync(join(folder, "manifest.json"), when, when);
}

/** Another byte in a file, in a new inode: a mapped file is never written in place. */
function damage(path: string): void {
  const bytes = readFileSync(path);
  bytes[Math.floor(bytes.byteLength / 2)] = (bytes[Math.floor(bytes.byteLength / 2)] as number) ^ 4;
  rmSync(path);
  writeFileSync(path, bytes);
}

const shown = async (root: string): Promise<string[]> =>
  (await listCache(root)).map(({ kind, state }) => `${kind} ${state}`).sort();

describe("listing", () => {
  test("an empty or missing folder holds nothing", async () => {
    const { dir } = newCollection();
    expect(await listCache(join(dir, "nowhere"))).toEqual([]);
  });

  test("each entry says what it was built from, by what, when, and how large it is", async () => {
    const { root, dir, data } = await filledCache();
    const entries = await listCache(root);
    expect(entries.map(({ kind }) => kind).sort()).toEqual(["qrels", "texts", "texts"]);
    for (const entry of entries) {
      expect(entry).toMatchObject({ state: "complete", reason: null, format: expect.stringMatching(/./) });
      expect(entry.path).toBe(join(data, entry.name));
      expect(entry.bytes).toBe(
        readdirSync(entry.path).reduce((sum, name) => sum + statSync(join(entry.path, name)).size, 0),
      );
      expect(Math.abs(Date.now() - Date.parse(entry.builtAt ?? ""))).toBeLessThan(60_000);
      expect(Math.abs(Date.now() - Date.parse(entry.lastUsedAt))).toBeLessThan(60_000);
    }
    const sources = entries.flatMap((entry) => entry.sources).sort();
    expect(sources).toEqual(["corpus.jsonl", "qrels.tsv", "queries.jsonl"].map((name) => join(dir, name)));
  });

  test("opening moves the time of last use on, at most once an hour", async () => {
    const { open, entry } = await filledCache();
    const path = join(await entry("texts", "corpus.jsonl"), "manifest.json");
    const at = (): number => statSync(path).mtimeMs;
    const minutesAgo = Date.now() / 1000 - 50 * 60;
    utimesSync(path, minutesAgo, minutesAgo);
    await open();
    expect(Date.now() - at()).toBeGreaterThan(49 * 60_000);
    age(join(path, ".."), 3);
    await open();
    expect(Date.now() - at()).toBeLessThan(60_000);
  });

  test("an entry whose source changed is stale, and so are judgements over texts that are stale", async () => {
    const { root, write, dir, open } = await filledCache();
    write("corpus.jsonl", passages(41));
    expect(await shown(root)).toEqual(["qrels stale", "texts complete", "texts stale"]);
    await open();
    expect(await shown(root)).toEqual([
      "qrels complete",
      "qrels stale",
      "texts complete",
      "texts complete",
      "texts stale",
    ]);
    rmSync(join(dir, "qrels.tsv"));
    const reasons = (await listCache(root)).flatMap(({ reason }) => reason ?? []).sort();
    expect(reasons).toEqual([
      `${join(dir, "corpus.jsonl")} has changed`,
      `${join(dir, "qrels.tsv")} is gone`,
      `${join(dir, "qrels.tsv")} is gone`,
    ]);
  });

  test("an entry whose content was last used from another folder is not stale while it lies there", async () => {
    const { root, dir, data, context, write } = await filledCache();
    const names = ["corpus.jsonl", "queries.jsonl", "qrels.tsv"];
    for (const name of names) write(`copy/${name}`, readFileSync(join(dir, name)));
    const elsewhere = { ...context, baseDir: join(dir, "copy") };
    const before = readdirSync(data).sort();
    (await prepareSource(judged, elsewhere)).close();
    expect(readdirSync(data).filter((name) => name !== "sources")).toEqual(before.filter((name) => name !== "sources"));
    for (const name of names) rmSync(join(dir, name));
    expect(await shown(root)).toEqual(["qrels complete", "texts complete", "texts complete"]);
    expect((await listCache(root)).flatMap(({ sources }) => sources).sort()).toEqual(
      names.map((name) => join(dir, "copy", name)).sort(),
    );
    expect((await pruneCache(root, { isStaleRemoved: true })).removed).toEqual([]);
    for (const name of names) rmSync(join(dir, "copy", name));
    expect(await shown(root)).toEqual(["qrels stale", "texts stale", "texts stale"]);
    expect((await pruneCache(root, { isStaleRemoved: true })).removed).toHaveLength(3);
    expect(readdirSync(join(data, "sources"))).toEqual([]);
  });

  test("files find the entries of equal content that was built from another folder, noted or not", async () => {
    const { root, dir, data, write } = await filledCache();
    const names = ["corpus.jsonl", "queries.jsonl", "qrels.tsv"];
    const copies = names.map((name) => write(`copy/${name}`, readFileSync(join(dir, name))));
    expect(await entriesOf(root, copies)).toHaveLength(3);
    expect(await entriesOf(root, copies.slice(0, 2))).toHaveLength(2);
    expect(await entriesOf(root, copies.slice(2))).toHaveLength(1);
    for (const name of names) rmSync(join(dir, name));
    expect((await entriesOf(root, copies)).map(({ kind }) => kind).sort()).toEqual(["qrels", "texts", "texts"]);
    rmSync(join(data, (await entriesOf(root, copies.slice(0, 1)))[0]?.name ?? "", "ids.ranks"));
    expect(await entriesOf(root, copies.slice(0, 1))).toEqual([]);
  });

  test("a source that was touched without a change is not stale", async () => {
    const { root, dir } = await filledCache();
    utimesSync(join(dir, "corpus.jsonl"), 5, 5);
    expect(await shown(root)).toEqual(["qrels complete", "texts complete", "texts complete"]);
  });

  test("a missing, cut or foreign manifest and a missing or cut file are damage", async () => {
    const { root, entry } = await filledCache();
    const [one, two, three] = [
      await entry("texts", "corpus.jsonl"),
      await entry("texts", "queries.jsonl"),
      await entry("qrels", "qrels.tsv"),
    ];
    rmSync(join(one, "manifest.json"));
    writeFileSync(join(two, "ids.ranks"), "");
    writeFileSync(join(three, "manifest.json"), readFileSync(join(three, "manifest.json"), "utf8").slice(0, -5));
    expect(await shown(root)).toEqual(["qrels damaged", "texts damaged", "texts damaged"]);
    expect((await listCache(root)).find(({ path }) => path === two)?.reason).toBe("missing or cut short: ids.ranks");
  });

  test("the built-in collection is listed as what it is; files of others are not listed", async () => {
    const { root, data, write } = await filledCache();
    write("cache/embedded/stdlib/train/corpus.jsonl", passages(3));
    write("cache/notes.txt", "mine");
    write("cache/data/texts-mine/file", "mine");
    symlinkSync(root, join(data, `texts-${"0".repeat(32)}`));
    expect(await shown(root)).toEqual(["embedded complete", "qrels complete", "texts complete", "texts complete"]);
  });

  test("a build of a living process is building, one of a dead process or a quiet one of elsewhere is unfinished", async () => {
    const { root, data } = await filledCache();
    const living = join(data, buildingName());
    mkdirSync(living);
    const dead = spawn(process.execPath, ["-e", ""]);
    await once(dead, "exit");
    const name = buildingName().replace(`-${process.pid}-`, `-${dead.pid}-`);
    mkdirSync(join(data, name));
    // The number of a running process, but another one's: numbers are given out again.
    mkdirSync(join(data, buildingName().replace(/-(\d+)-([0-9a-f]{16})$/, "-1-$2")));
    const elsewhere = ["a", "b"].map((each) =>
      join(data, buildingName().replace(/^.building-[0-9a-f]*/, `.building-${each.repeat(8)}`)),
    );
    for (const folder of elsewhere) mkdirSync(folder);
    const yesterday = Date.now() / 1000 - 1.5 * DAY;
    utimesSync(elsewhere[0] as string, yesterday, yesterday);
    const states = (await listCache(root)).filter(({ kind }) => kind === "unfinished");
    expect(states.map(({ state }) => state).sort()).toEqual([
      "building",
      "building",
      "unfinished",
      "unfinished",
      "unfinished",
    ]);

    const { removed } = await pruneCache(root, { isAllRemoved: true, kinds: ["unfinished"] });
    expect(removed).toHaveLength(3);
    expect(existsSync(living)).toBe(true);
    expect(existsSync(elsewhere[1] as string)).toBe(true);
    expect(await shown(root)).toEqual([
      "qrels complete",
      "texts complete",
      "texts complete",
      "unfinished building",
      "unfinished building",
    ]);
  });
});

describe("verifying", () => {
  test("sound entries stay; progress counts up to every byte", async () => {
    const { root } = await filledCache();
    const seen: number[] = [];
    const report = await verifyCache(root, { onProgress: ({ bytes }) => seen.push(bytes) });
    expect(report).toMatchObject({ entryCount: 3, damaged: [] });
    expect(report.fileCount).toBeGreaterThanOrEqual(7);
    expect(seen.at(-1)).toBe(report.bytes);
    expect(await shown(root)).toHaveLength(3);
  });

  test("each damaged file is named, its entry removed, and the next run builds it again", async () => {
    const { root, open, entry } = await filledCache();
    const said = await open();
    const folder = await entry("texts", "corpus.jsonl");
    for (const name of readdirSync(folder)) {
      damage(join(folder, name));
      const report = await verifyCache(root);
      expect(report.damaged.map(({ files, isRemoved }) => ({ files, isRemoved }))).toEqual([
        { files: [name], isRemoved: true },
      ]);
      expect(existsSync(folder)).toBe(false);
      expect((await verifyCache(root)).damaged).toEqual([]);
      expect(await open()).toBe(said);
    }
  });

  test("files that are missing, cut or longer than they were are damage", async () => {
    const { root, open, entry } = await filledCache();
    const folder = await entry("qrels", "qrels.tsv");
    const [name = ""] = readdirSync(folder).filter((each) => each !== "manifest.json");
    const bytes = readFileSync(join(folder, name));
    for (const content of [null, bytes.subarray(0, -1), Buffer.concat([bytes, Buffer.of(0)])]) {
      rmSync(join(folder, name));
      if (content !== null) writeFileSync(join(folder, name), content);
      expect((await verifyCache(root)).damaged.map(({ files }) => files)).toEqual([[name]]);
      await open();
    }
  });

  test("a stop on request ends it", async () => {
    const { root } = await filledCache();
    await expect(verifyCache(root, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "INTERRUPTED" });
  });
});

describe("pruning", () => {
  test("without options only damaged entries go", async () => {
    const { root, entry, write } = await filledCache();
    rmSync(join(await entry("qrels", "qrels.tsv"), "manifest.json"));
    write("corpus.jsonl", passages(41));
    const report = await pruneCache(root);
    expect(report.removed.map(({ kind, state }) => `${kind} ${state}`)).toEqual(["qrels damaged"]);
    expect(report).toMatchObject({ keptCount: 2, removedBytes: report.removed[0]?.bytes });
    expect(await shown(root)).toEqual(["texts complete", "texts stale"]);
  });

  test("old entries go by their last use, stale ones on request, all of them on request", async () => {
    const { root, entry, write } = await filledCache();
    age(await entry("texts", "queries.jsonl"), 31);
    expect((await pruneCache(root, { olderThanDays: 32 })).removed).toEqual([]);
    const planned = await pruneCache(root, { olderThanDays: 30, isDryRun: true });
    expect(planned.removed).toHaveLength(1);
    expect(await shown(root)).toHaveLength(3);
    expect((await pruneCache(root, { olderThanDays: 30 })).removed).toEqual(planned.removed);
    write("corpus.jsonl", passages(41));
    expect((await pruneCache(root, { isStaleRemoved: true })).removed.map(({ kind }) => kind).sort()).toEqual([
      "qrels",
      "texts",
    ]);
    expect(await shown(root)).toEqual([]);
  });

  test("a stop while a source is read anew takes nothing for stale", async () => {
    const { root, write } = await filledCache();
    write("corpus.jsonl", passages(41));
    const stopped = pruneCache(root, { isStaleRemoved: true, signal: AbortSignal.abort("why") });
    await expect(stopped).rejects.toMatchObject({ code: "INTERRUPTED", cause: "why" });
    expect(await shown(root)).toHaveLength(3);
  });

  test("kinds limit what goes", async () => {
    const { root } = await filledCache();
    expect((await pruneCache(root, { isAllRemoved: true, kinds: ["qrels"] })).removed.map(({ kind }) => kind)).toEqual([
      "qrels",
    ]);
    expect(await shown(root)).toEqual(["texts complete", "texts complete"]);
  });

  test("what is no entry is never touched", async () => {
    const { root, data, write, dir } = await filledCache();
    const others = [
      "cache/embedded/stdlib/train/corpus.jsonl",
      "cache/notes.txt",
      "cache/data/readme",
      "cache/data/texts-mine/manifest.json",
      `cache/data/texts-${"a".repeat(31)}/manifest.json`,
      "cache/data/sources/mine.json",
      "elsewhere/file",
    ];
    for (const name of others) write(name, "mine");
    symlinkSync(join(dir, "elsewhere"), join(data, `texts-${"b".repeat(32)}`));
    writeFileSync(join(data, `texts-${"c".repeat(32)}`), "a file");
    await pruneCache(root, { isAllRemoved: true, isStaleRemoved: true, olderThanDays: 0 });
    for (const name of others) expect(readFileSync(join(dir, name), "utf8")).toBe("mine");
    expect(readdirSync(data).sort()).toEqual(
      [
        "readme",
        "sources",
        "texts-mine",
        ...["a".repeat(31), "b".repeat(32), "c".repeat(32)].map((each) => `texts-${each}`),
      ].sort(),
    );
  });

  test("entries that are open stay readable", async () => {
    const { root, context } = await filledCache();
    for (const noMap of ["", "1"]) {
      process.env["QUARRY_NO_MMAP"] = noMap;
      onTestFinished(() => {
        delete process.env["QUARRY_NO_MMAP"];
      });
      const source = await prepareSource(judged, context);
      expect((await pruneCache(root, { isAllRemoved: true })).removed).toHaveLength(3);
      expect(source.passages.text(39)).toBe("text of d39");
      expect(source.passages.rowOf("d12")).toBe(12);
      source.close();
    }
  });

  test("notes on sources that are gone are forgotten", async () => {
    const { root, data, dir, open } = await filledCache();
    for (const name of ["corpus.jsonl", "queries.jsonl", "qrels.tsv"]) {
      // A name of its own and old times: notes are kept only for files that have been quiet.
      renameSync(join(dir, name), join(dir, `${name}.new`));
      writeFileSync(join(dir, name), readFileSync(join(dir, `${name}.new`)));
    }
    await new Promise((resolve) => setTimeout(resolve, 2100));
    await open();
    expect(readdirSync(join(data, "sources"))).toHaveLength(3);
    rmSync(join(dir, "qrels.tsv"));
    await pruneCache(root);
    expect(readdirSync(join(data, "sources"))).toHaveLength(2);
  });
});
