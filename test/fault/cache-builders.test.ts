/** Several processes build the same entries at once and one of them is killed: one valid entry each, always the same. */
import { type ChildProcess, fork } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readManifest } from "../../src/data/cache/manifest.js";
import { listCache, pruneCache, verifyCache } from "../../src/data/index.js";

const ROUNDS = Number(process.env["QUARRY_FAULT_ROUNDS"] ?? 14);
/** Runs what was compiled to dist: a start takes a third of the time. */
const script = join(import.meta.dirname, "../fixtures/cache-builder.mjs");
const PASSAGES = 2000;

/** What a builder read, and in how many steps it changed the disk. */
type BuildAnswer = { readonly said: string; readonly steps: number } | { readonly error: string };

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
  request: { readonly dir: string; readonly cacheDir: string; readonly deadlyStep?: number; readonly note?: string },
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

test(`${ROUNDS} rounds of 2 to 8 builders, one killed at a step of its work: one valid entry each, equal hashes`, async () => {
  let seed = 12_345;
  const random = (): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff;
    return seed / 0x80000000;
  };
  const [first, whole] = [join(root, "first"), join(root, "whole")] as const;
  for (const folder of [first, whole]) mkdirSync(folder);
  const alone = await start();
  waiting.push(Promise.resolve(alone));
  // The first work of a process has steps that later ones lack.
  await ask(alone, { dir: root, cacheDir: first });
  const sound = await ask(alone, { dir: root, cacheDir: whole });
  if (sound === null || "error" in sound) throw new Error(sound?.error ?? "the builder died");
  const { said, steps } = sound;
  const expected = hashes(whole);
  expect(Object.keys(expected)).toHaveLength(3);
  const deaths: string[] = [];
  let leftovers = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const cacheDir = join(root, `cache-${round}`);
    const [data, note] = [join(cacheDir, "data"), join(cacheDir, "note")];
    mkdirSync(data, { recursive: true });
    const count = 2 + (round % 7);
    while (waiting.length < count) waiting.push(start());
    const [victim, ...others] = await Promise.all(waiting.splice(0, count));
    // Short of the last ones: how files are cut into reads and notes may differ by a few.
    const deadlyStep = 1 + Math.floor(((round + random()) / ROUNDS) * 0.9 * steps);
    const death = ask(victim as ChildProcess, { dir: root, cacheDir: data, deadlyStep, note });
    // Every other time it dies before the others begin, and so for certain at that step; else they race, and may leave
    // it less to do: then it dies with everything open.
    const isRace = round % 2 === 0;
    if (!isRace) await death;
    const answers = await Promise.all(others.map((child) => ask(child, { dir: root, cacheDir: data })));
    expect(await death).toBeNull();
    const where = readFileSync(note, "utf8");
    if (!isRace) expect(where).not.toBe("the end");
    deaths.push(where);
    for (const answer of answers) expect(answer).toMatchObject({ said });
    waiting.push(...others.map((child) => Promise.resolve(child)));
    expect(hashes(data)).toEqual(expected);
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
    ).toEqual(Object.keys(expected));
    rmSync(cacheDir, { recursive: true });
  }
  console.info(`${ROUNDS} of ${steps} steps, ${leftovers} left something: ${deaths.join(" ")}`);
}, 600_000);
