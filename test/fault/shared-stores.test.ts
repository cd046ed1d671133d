/** Two processes that fill one store of vectors, or one cache of scores, at the same time: nothing is lost or mixed up. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, expect, test } from "vitest";
import { PairCache } from "../../src/pipeline/pair-cache.js";
import { KEY_BYTES, PairKeys } from "../../src/pipeline/pair-keys.js";
import { lookAtPairScores } from "../../src/pipeline/pair-list.js";
import { crossContract } from "../fixtures/cross-contract.js";
import { blockOf, contract, keysOf, openStore, readBack } from "../unit/embeddings/stores.js";

/** Runs what was compiled to dist, as those of cache-builders.test.ts. */
const script = join(import.meta.dirname, "../fixtures/store-filler.mjs");
const ROUNDS = 6;
const TEXTS = Array.from({ length: 900 }, (_, text) => text);
/** A third of the texts is each one's own, a third is both's, met from both ends. */
const PARTS = [TEXTS.slice(0, 600), TEXTS.slice(300).reverse()] as const;
/** A shard is full after a few units: many appear while the other one looks. */
const SHARD_BYTES = 4_000;

let folder = "";
/** Those of the round before go on with the next one: a start takes ten times as long as a round. */
let fillers: ChildProcess[] = [];
beforeEach(async () => {
  folder = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "quarry-shared-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));
afterAll(() => {
  for (const filler of fillers) filler.kill("SIGKILL");
});

async function twoFillers(): Promise<readonly ChildProcess[]> {
  const left = fillers.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null);
  const started = Array.from({ length: PARTS.length - left.length }, () =>
    fork(script, { stdio: ["ignore", "ignore", "inherit", "ipc"], serialization: "advanced" }),
  );
  fillers = [...left, ...started];
  await Promise.all(started.map((filler) => once(filler, "message")));
  return fillers;
}

interface Filled {
  /** Units that were told to be durable. */
  readonly durable: readonly number[];
  /** How many of its own it did not find at its end; null for one that was killed. */
  readonly lost: number | null;
  readonly troubles: readonly string[];
}

/** @param request may have `killAfter`: the process kills itself once so many units are durable. */
function fill(filler: ChildProcess, request: object): Promise<Filled> {
  const durable: number[] = [];
  const troubles: string[] = [];
  return new Promise((resolve) => {
    filler.once("exit", () => resolve({ durable, lost: null, troubles }));
    filler.on("message", (told: { durable?: number; lost?: number; warning?: string; error?: string }) => {
      if (told.durable !== undefined) durable.push(told.durable);
      const trouble = told.warning ?? told.error;
      if (trouble !== undefined) troubles.push(trouble);
      if (told.lost !== undefined || told.error !== undefined) {
        filler.removeAllListeners();
        resolve({ durable, lost: told.lost ?? null, troubles });
      }
    });
    filler.send(request);
  });
}

/** Units of 3 to 12 texts, so that those of two processes are cut differently. */
function unitsOf(texts: readonly number[], seed: number): number[][] {
  const units: number[][] = [];
  for (let at = 0; at < texts.length; ) {
    const size = 3 + ((seed + units.length * 7) % 10);
    units.push(texts.slice(at, at + size));
    at += size;
  }
  return units;
}

/** Texts of the units that each one told to be durable, ascending. */
function durableTexts(units: readonly number[][][], filled: readonly Filled[]): number[] {
  const texts = filled.flatMap(({ durable }, part) => durable.flatMap((unit) => units[part]?.[unit] ?? []));
  return [...new Set(texts)].sort((one, other) => one - other);
}

const scoreOf = (text: number): number => Math.fround(text / 7 - 50);

function pairKeysOf(texts: readonly number[]): Buffer {
  expect(KEY_BYTES).toBe(16);
  return Buffer.from(keysOf(texts).keys.buffer);
}

test.each([false, true])(
  "one store of vectors, one of two writers killed: %j",
  async (isOneKilled) => {
    const model = { contract, side: "passage", dtype: "float32" } as const;
    for (let round = 0; round < ROUNDS; round += 1) {
      const cacheDir = join(folder, String(round));
      const units = PARTS.map((texts, part) => unitsOf(texts, round * 3 + part * 5));
      const writers = await twoFillers();
      const filling = writers.map((writer, part) => {
        const own = units[part]?.map((texts) => ({ keys: keysOf(texts).keys, block: blockOf(texts, "float32") }));
        const killAfter = isOneKilled && part === round % 2 ? 5 + round * 9 : null;
        const request = { kind: "vectors", cacheDir, model, shardBytes: SHARD_BYTES, units: own, killAfter };
        return fill(writer, request);
      });
      let isOver = false;
      const all = Promise.all(filling).finally(() => (isOver = true));
      const warnings: string[] = [];
      // Somebody who reads meanwhile sees whole shards only; readBack compares every vector.
      let seen: number[] = [];
      while (!isOver) {
        const store = await openStore(cacheDir, "float32", warnings);
        const now = readBack(store, TEXTS);
        expect(now).toEqual(expect.arrayContaining(seen));
        seen = now;
        store.close();
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      const filled = await all;
      for (const { lost, troubles } of filled) expect({ lost: lost ?? 0, troubles }).toEqual({ lost: 0, troubles: [] });
      expect(filled.filter(({ lost }) => lost === null)).toHaveLength(isOneKilled ? 1 : 0);

      const store = await openStore(cacheDir, "float32", warnings);
      expect(readBack(store, TEXTS)).toEqual(expect.arrayContaining(durableTexts(units, filled)));
      if (!isOneKilled) expect(readBack(store, TEXTS)).toEqual(TEXTS);
      expect(store.shards.length).toBeGreaterThan(2);
      store.close();
      expect(warnings).toEqual([]);
      expect(readdirSync(store.folder).filter((name) => name.startsWith("."))).toEqual([]);
    }
  },
  300_000,
);

test.each([false, true])(
  "one cache of scores, one of two writers killed: %j",
  async (isOneKilled) => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const cacheDir = join(folder, String(round));
      const units = PARTS.map((texts, part) => unitsOf(texts, round * 3 + part * 5));
      const writers = await twoFillers();
      const filled = await Promise.all(
        writers.map((writer, part) => {
          const own = units[part]?.map((texts) => ({
            keys: new Uint8Array(pairKeysOf(texts)),
            scores: Float32Array.from(texts, scoreOf),
          }));
          const killAfter = isOneKilled && part === round % 2 ? 5 + round * 9 : null;
          const request = { kind: "scores", cacheDir, contract: crossContract, units: own, killAfter };
          return fill(writer, request);
        }),
      );
      for (const { lost, troubles } of filled) expect({ lost: lost ?? 0, troubles }).toEqual({ lost: 0, troubles: [] });
      expect(filled.filter(({ lost }) => lost === null)).toHaveLength(isOneKilled ? 1 : 0);

      const cache = await PairCache.open(cacheDir, crossContract);
      const scores = await cache.read(new PairKeys(pairKeysOf(TEXTS)));
      await cache.close();
      const found = TEXTS.filter((text) => !Number.isNaN(scores[text]));
      expect(found.map((text) => scores[text])).toEqual(found.map(scoreOf));
      expect(found).toEqual(expect.arrayContaining(durableTexts(units, filled)));
      if (!isOneKilled) expect(found).toEqual(TEXTS);
      // Nobody is at work any more, whoever was killed.
      expect(lookAtPairScores(cacheDir)).toMatchObject([{ entry: { state: "complete" } }]);
    }
  },
  300_000,
);
