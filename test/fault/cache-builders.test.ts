/** Several processes build the same entries at once and one of them is killed: one valid entry each, always the same. */
import { type ChildProcess, fork } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readManifest } from "../../src/data/cache/manifest.js";
import { listCache, pruneCache, verifyCache } from "../../src/data/index.js";

const ROUNDS = Number(process.env["QUARRY_FAULT_ROUNDS"] ?? 25);
/** Runs what was compiled to dist: a start takes a third of the time. */
const script = join(import.meta.dirname, "../fixtures/cache-builder.mjs");
const PASSAGES = 2000;

type BuildAnswer = { readonly said: string } | { readonly error: string };

let root = "";
const waiting: Promise<ChildProcess>[] = [];
beforeAll(() => {
  root = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "quarry-builders-"));
  const lines = (count: number, line: (row: number) => string): string =>
    Array.from({ length: count }, (_, row) => line(row)).join("");
  writeFileSync(
    join(root, "corpus.jsonl"),
    lines(PASSAGES, (row) => `{"_id":"d${row}","text":"text of ${row} ${"x ".repeat(row % 40)}"}\n`),
  );
  writeFileSync(
    join(root, "queries.jsonl"),
    lines(400, (row) => `{"_id":"q${row}","text":"what is ${row}?"}\n`),
  );
  writeFileSync(
    join(root, "qrels.tsv"),
    `query-id\tcorpus-id\tscore\n${lines(PASSAGES, (row) => `q${row % 400}\td${row}\t1\n`)}`,
  );
});
afterAll(async () => {
  for (const child of await Promise.all(waiting)) child.kill("SIGKILL");
  rmSync(root, { recursive: true, force: true });
});

function start(): Promise<ChildProcess> {
  const child = fork(script, { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  return new Promise((resolve, reject) => {
    child.once("message", () => resolve(child));
    child.once("exit", () => reject(new Error("the builder did not start")));
  });
}

/** The answer, or null when the process was killed first. */
function ask(
  child: ChildProcess,
  request: { readonly dir: string; readonly cacheDir: string },
): Promise<BuildAnswer | null> {
  return new Promise((resolve) => {
    const onExit = (): void => resolve(null);
    child.once("exit", onExit);
    child.once("message", (answer: BuildAnswer) => {
      child.off("exit", onExit);
      resolve(answer);
    });
    child.send(request);
  });
}

/** Names of entries with the hashes of their files. */
function hashes(data: string): Record<string, unknown> {
  const entries = readdirSync(data).filter((name) => /^(texts|qrels)-/.test(name));
  return Object.fromEntries(
    entries.sort().map((name) => {
      const files = Object.entries(readManifest(join(data, name))?.files ?? {}).sort();
      for (const [file, { sha256 }] of files) {
        const found = createHash("sha256")
          .update(readFileSync(join(data, name, file)))
          .digest("hex");
        expect(found, `${name}/${file}`).toBe(sha256);
      }
      return [name, files];
    }),
  );
}

test(`${ROUNDS} rounds of 2 to 8 builders, one killed at a random moment: one valid entry each, equal hashes`, async () => {
  let seed = 12_345;
  const random = (limit: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff;
    return (seed / 0x80000000) * limit;
  };
  const usual: number[] = [];
  let killed = 0;
  let leftovers = 0;
  let said: string | null = null;
  let expected: Record<string, unknown> | null = null;
  for (let round = 0; round < ROUNDS; round += 1) {
    const cacheDir = join(root, `cache-${round}`);
    const data = join(cacheDir, "data");
    mkdirSync(data, { recursive: true });
    const count = 2 + (round % 7);
    while (waiting.length < count) waiting.push(start());
    const children = await Promise.all(waiting.splice(0, count));
    const begin = performance.now();
    const answers = children.map((child) => ask(child, { dir: root, cacheDir: data }));
    const victim = children[Math.floor(random(count))] as ChildProcess;
    // The first rounds of each size show how long they take; nobody is killed in them.
    const usualMs = usual[count];
    const timer = usualMs === undefined ? null : setTimeout(() => victim.kill("SIGKILL"), random(usualMs));
    const got = await Promise.all(answers);
    if (timer !== null) clearTimeout(timer);
    usual[count] = performance.now() - begin;
    for (const [index, answer] of got.entries()) {
      const child = children[index] as ChildProcess;
      if (answer === null || child.killed) {
        killed += answer === null ? 1 : 0;
        continue;
      }
      expect(answer).not.toHaveProperty("error");
      if ("said" in answer) said ??= answer.said;
      expect(answer).toEqual({ said });
      waiting.push(Promise.resolve(child));
    }
    const found = hashes(data);
    expected ??= found;
    expect(found).toEqual(expected);
    expect(Object.keys(found)).toHaveLength(3);
    // What a killed builder left counts for nothing, and is known as left.
    const left = (await listCache(cacheDir)).filter(({ kind }) => kind === "unfinished");
    expect(left.filter(({ state }) => state !== "unfinished")).toEqual([]);
    leftovers += left.length;
    expect((await pruneCache(cacheDir)).removed).toHaveLength(left.length);
    expect((await verifyCache(cacheDir)).damaged).toEqual([]);
    expect(
      readdirSync(data)
        .filter((name) => name !== "sources")
        .sort(),
    ).toEqual(Object.keys(found));
    rmSync(cacheDir, { recursive: true });
  }
  console.info(`${ROUNDS} rounds: ${killed} builders killed at work, ${leftovers} left something`);
  expect(killed).toBeGreaterThan(ROUNDS / 3);
}, 600_000);
