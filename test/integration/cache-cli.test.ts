/** `quarry cache`: tables, JSON, exit statuses, and what it leaves of the cache. */
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { prepareSource } from "../../src/data/index.js";
import type { CacheEntry, CacheReport, PruneReport } from "../../src/index.js";
import { PairCache } from "../../src/pipeline/pair-cache.js";
import { KEY_BYTES } from "../../src/pipeline/pair-keys.js";
import { findPython } from "../../src/python/environment.js";
import { writeCollection } from "../fixtures/collection.js";
import { commandLine } from "../fixtures/command-line.js";
import { crossContract } from "../fixtures/cross-contract.js";
import { abandonedName } from "../unit/embeddings/stores.js";

const main = join(fileURLToPath(new URL("../..", import.meta.url)), "dist/cli/main.js");

let folder = "";
let cache = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-cache-cli-"));
  cache = join(folder, "cache");
  await writeCollection(folder, { passages: 96, queries: 12 });
  await prepare();
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function prepare(): Promise<void> {
  const context = { baseDir: folder, cacheDir: join(cache, "data"), seed: 1 };
  const source = await prepareSource({ kind: "source", corpus: "corpus.jsonl", qrels: "qrels/test.tsv" }, context);
  source.close();
}

function quarry(...argv: string[]) {
  return commandLine(["cache", ...argv], { cwd: folder, env: { QUARRY_CACHE: cache, HOME: folder } });
}

async function entries(): Promise<CacheEntry[]> {
  const { stdout } = await quarry("list", "--json");
  return (JSON.parse(stdout) as { entries: CacheEntry[] }).entries;
}

const data = (): Promise<string[]> => readdir(join(cache, "data"));

async function damage(entry: CacheEntry, name: string): Promise<void> {
  const path = join(entry.path, name);
  const bytes = await readFile(path);
  bytes[bytes.byteLength - 1] = (bytes[bytes.byteLength - 1] as number) ^ 1;
  await writeFile(path, bytes);
}

describe("quarry cache list", () => {
  test("shows a table of entries with sizes, states and sources, the largest first", async () => {
    const { exitCode, stdout, stderr } = await quarry("list");
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    const lines = stdout.split("\n").map((line) => line.replace(/-[0-9a-f]{8} /, "-<key> "));
    expect(lines[0]).toMatch(/^kind +size +last used +state +name +built from$/);
    expect(lines[1]).toMatch(/^texts +\d+\.\d [kM]B {2}now +complete {2}texts-<key> +~\/corpus\.jsonl$/);
    expect(
      lines
        .slice(1, 4)
        .map((line) => line.split(/ +/).at(-1))
        .sort(),
    ).toEqual(["~/corpus.jsonl", "~/qrels/test.tsv", "~/queries.jsonl"]);
    expect(lines[4]).toMatch(new RegExp(`^3 entries in ${cache}, \\d+\\.\\d [kM]B$`));
  });

  test("tells an empty cache, and takes another folder with --cache", async () => {
    const { exitCode, stdout } = await quarry("list", "--cache", "nothing-here");
    expect({ exitCode, stdout }).toEqual({
      exitCode: 0,
      stdout: `The cache ${join(folder, "nothing-here")} is empty.`,
    });
    expect(existsSync(join(folder, "nothing-here"))).toBe(false);
  });

  test("says why an entry is of no use", async () => {
    await rm(join(folder, "qrels/test.tsv"));
    const { stdout } = await quarry("list");
    expect(stdout).toMatch(/^qrels .* stale .* ~\/qrels\/test\.tsv is gone$/m);
  });
});

describe("quarry cache verify", () => {
  test("ends with 0 when all is as it was written", async () => {
    const { exitCode, stdout } = await quarry("verify");
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^3 entries, \d+ files, \d+\.\d [kM]B read in .*: all as they were written\.$/);
  });

  test("ends with 6 when a file is damaged, names it, and removes its entry; the next run builds it again", async () => {
    const [largest] = await entries();
    if (largest === undefined) throw new Error("the cache is empty");
    await damage(largest, "ids.index");
    const { exitCode, stdout, stderr } = await quarry("verify");
    expect({ exitCode, stderr }).toEqual({ exitCode: 6, stderr: "" });
    expect(stdout).toContain(`damaged: ${largest.path}: ids.index (removed, the next run builds it again)`);
    expect(stdout).toMatch(/: 1 damaged\.$/);
    expect(await data()).not.toContain(largest.name);
    expect((await quarry("verify")).exitCode).toBe(0);
    await prepare();
    expect(await data()).toContain(largest.name);
  });

  test("writes JSON on request", async () => {
    const [largest] = await entries();
    if (largest === undefined) throw new Error("the cache is empty");
    await damage(largest, "manifest.json");
    const { exitCode, stdout } = await quarry("verify", "--json");
    expect(exitCode).toBe(6);
    const report = JSON.parse(stdout) as CacheReport;
    expect(report).toMatchObject({ entryCount: 3, damaged: [{ files: ["manifest.json"], isRemoved: true }] });
  });
});

test.skipIf(!existsSync("/dev/full"))("a full disk behind the output is told as such, with status 4", async () => {
  const { exitCode, stderr } = await execa("sh", ["-c", '"$0" "$1" cache list > /dev/full', process.execPath, main], {
    env: { QUARRY_CACHE: cache, CI: "true" },
    reject: false,
  });
  expect({ exitCode, stderr }).toEqual({
    exitCode: 4,
    stderr: "error: No space left for the output (ENOSPC).\nhint: Free some space, or send the output elsewhere.",
  });
});

describe("quarry cache prune", () => {
  test("removes nothing that is sound unless it is asked to", async () => {
    const { exitCode, stdout } = await quarry("prune");
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^Nothing to remove; 3 kept, \d+\.\d [kM]B\.$/);
  });

  test("shows what would go, then removes it", async () => {
    const [largest] = await entries();
    if (largest === undefined) throw new Error("the cache is empty");
    const old = Date.now() / 1000 - 40 * 24 * 3600;
    await utimes(join(largest.path, "manifest.json"), old, old);
    const planned = await quarry("prune", "--older-than", "30", "--dry-run");
    expect(planned.stdout).toMatch(/^1 would be removed, /m);
    expect(planned.stdout).toContain("40 days ago");
    expect(await data()).toContain(largest.name);
    const { stdout } = await quarry("prune", "--older-than", "30", "--json");
    expect((JSON.parse(stdout) as PruneReport).removed).toEqual([expect.objectContaining({ name: largest.name })]);
    expect(await data()).not.toContain(largest.name);
  });

  test("takes stale entries with --stale, one kind with --kind, and all with --all", async () => {
    await writeFile(join(folder, "qrels/test.tsv"), "query-id\tcorpus-id\tscore\nq1\tp1\t1\n");
    expect((await quarry("prune", "--stale")).stdout).toMatch(/^1 removed, /m);
    await prepare();
    expect((await quarry("prune", "--all", "--kind", "qrels", "subset")).stdout).toMatch(/^1 removed, .*2 kept/m);
    expect((await quarry("prune", "--all")).stdout).toMatch(/^2 removed, .*0 kept/m);
  });
});

describe("scores of pairs", () => {
  const isScores = ({ kind }: CacheEntry): boolean => kind === "pair-scores";

  async function scored(fingerprint: string): Promise<PairCache> {
    const scores = await PairCache.open(cache, { ...crossContract, checkpoint: "/models/judge", fingerprint });
    await scores.append(Buffer.alloc(3 * KEY_BYTES, fingerprint), Float32Array.of(0.5, 1, 2));
    return scores;
  }

  test("are listed model by model and pruned by kind and age", async () => {
    for (const fingerprint of ["a".repeat(64), "b".repeat(64)]) await (await scored(fingerprint)).close();
    const { stdout } = await quarry("list");
    expect(stdout).toMatch(/^pair-scores +76 B {2}now +complete {2}a{32} +\/models\/judge$/m);
    const listed = (await entries()).filter(isScores);
    expect(listed.map(({ name, format }) => `${name[0]} ${format}`)).toEqual(["a float32", "b float32"]);
    const old = Date.now() / 1000 - 40 * 24 * 3600;
    await utimes(join(cache, "pair-scores", "b".repeat(32), "model.json"), old, old);
    const planned = await quarry("prune", "--older-than", "30", "--dry-run");
    expect(planned.stdout).toMatch(/^pair-scores .*40 days ago[^]*^1 would be removed, 76 B; 4 kept/m);
    expect((await quarry("prune", "--older-than", "30")).stdout).toMatch(/^1 removed, 76 B/m);
    expect((await entries()).filter(isScores).map(({ name }) => name[0])).toEqual(["a"]);
    expect((await quarry("prune", "--all", "--kind", "pair-scores")).stdout).toMatch(/^1 removed, 76 B; 3 kept/m);
    expect(await readdir(join(cache, "pair-scores"))).toEqual([]);
  });

  test("stay while somebody adds to them, and go when that one was killed", async () => {
    const scores = await scored("a".repeat(64));
    const folder = join(cache, "pair-scores", "a".repeat(32));
    expect((await quarry("prune", "--all", "--kind", "pair-scores")).stdout).toMatch(/^Nothing to remove/);
    expect((await quarry("list")).stdout).toMatch(/^pair-scores .* building .* somebody adds scores now$/m);
    await scores.close();
    await writeFile(join(folder, abandonedName()), "");
    const [left] = (await entries()).filter(isScores);
    expect(left).toMatchObject({ state: "complete", bytes: 76 });
    expect((await quarry("prune", "--all", "--kind", "pair-scores")).stdout).toMatch(/^1 removed/m);
    expect(existsSync(folder)).toBe(false);
  });
});

describe("models that came over the wire", () => {
  const models = (): Promise<string[]> => readdir(join(cache, "models"));

  /** As a worker that takes a model: holds it until its stdin ends. */
  async function worker(checkpoint: string) {
    const { executable, env } = await findPython();
    const script = `
import hashlib, sys
from quarry_runtime.guard.model_cache import CachedModel
from quarry_runtime.protocol.messages import ModelFile
data, name = b"weights of " + sys.argv[1].encode(), "1_Pooling/config.json"
cached = CachedModel.of([ModelFile(path=name, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())], sys.argv[1])
(cached.folder / name).parent.mkdir(exist_ok=True)
(cached.folder / name).write_bytes(data)
print("here", flush=True)
sys.stdin.read()
`;
    const child = execa(executable, ["-c", script, checkpoint], { env: { ...env, QUARRY_CACHE: cache } });
    await once(child.stdout, "data");
    return { child };
  }

  test("are listed and pruned like the rest, but for those that a worker needs", async () => {
    const [needed, done] = await Promise.all(["/run/checkpoint-8", "/run/checkpoint-4"].map(worker));
    done?.child.stdin.end();
    await done?.child;
    const { stdout } = await quarry("list");
    expect(stdout).toMatch(/^models +\d+ B {2}now +complete {2}[0-9a-f]{64} +\/run\/checkpoint-4$/m);
    expect(stdout).toMatch(/^models +\d+ B {2}now +building {2}[0-9a-f]{64} +a worker needs it now$/m);
    expect((await quarry("prune", "--older-than", "30")).stdout).toMatch(/^Nothing to remove/);
    expect((await quarry("prune", "--all", "--kind", "models")).stdout).toMatch(/^1 removed, .*; 4 kept/m);
    expect(await models()).toHaveLength(1);
    needed?.child.kill("SIGKILL");
    await needed?.child.catch(() => {});
    const old = Date.now() / 1000 - 40 * 24 * 3600;
    for (const name of await models()) await utimes(join(cache, "models", name, ".use"), old, old);
    expect((await quarry("prune", "--older-than", "30")).stdout).toMatch(/^1 removed/m);
    expect(await models()).toEqual([]);
  });
});

describe("wrong use", () => {
  test.each([
    [["prune", "--older-than", "soon"], /--older-than: expected a number of days, saw "soon"/],
    [["prune", "--older-than", "-1"], /--older-than/],
    [["sort"], /sort/],
    [["list", "--sizes"], /unknown option '--sizes'/],
  ])("%j ends with status 2, one error and one hint", async (argv, message) => {
    const { exitCode, stdout, stderr } = await quarry(...argv);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/^error: .*\nhint: .*$/);
  });

  test("a cache folder that is a file is an ENVIRONMENT error", async () => {
    const { exitCode, stderr } = await quarry("list", "--cache", "corpus.jsonl");
    expect(exitCode).toBe(4);
    expect(stderr).toContain("QUARRY_CACHE");
  });

  test("help names the three subcommands and their options", async () => {
    for (const argv of [["--help"], []]) {
      const { stdout, stderr } = await quarry(...argv);
      expect(`${stdout}${stderr}`).toMatch(/list[^]*verify[^]*prune/);
    }
    const { stdout } = await quarry("prune", "--help");
    for (const option of ["--older-than", "--stale", "--all", "--kind", "--dry-run", "--cache", "--json"]) {
      expect(stdout).toContain(option);
    }
  });
});
