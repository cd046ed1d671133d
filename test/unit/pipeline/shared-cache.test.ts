/** A cache that somebody else made: what it holds is read, whether or not it may be written to. */
import { chmodSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { listCache, pruneCache, verifyCache } from "../../../src/pipeline/cache.js";
import { PairCache } from "../../../src/pipeline/pair-cache.js";
import { KEY_BYTES, PairKeys } from "../../../src/pipeline/pair-keys.js";
import { crossContract } from "../../fixtures/cross-contract.js";
import { asOther, canBeOther } from "../../fixtures/other-user.js";
import { filled, TEXTS } from "../embeddings/damages.js";
import { blockOf, keysOf, openStore, readBack } from "../embeddings/stores.js";

let cache: string;
beforeEach(async () => {
  // Another user need not be let into the folder that TMPDIR names.
  cache = mkdtempSync(join(canBeOther ? "/tmp" : tmpdir(), "quarry-shared-"));
  await addVectors();
  await addScores();
});
afterEach(() => rmSync(cache, { recursive: true }));

const PAIRS = [Buffer.alloc(KEY_BYTES, 1), Buffer.alloc(KEY_BYTES, 2)] as const;

async function addVectors(): Promise<void> {
  const { store, writer } = await filled(cache);
  await writer.close();
  store.close();
}

async function addScores(): Promise<void> {
  const scores = await PairCache.open(cache, crossContract);
  await scores.append(PAIRS[0], Float32Array.of(0.5));
  await scores.close();
}

async function vectorsFound(): Promise<number> {
  const store = await openStore(cache);
  const found = readBack(store, TEXTS);
  store.close();
  return found.length;
}

async function scoresFound(): Promise<number[]> {
  const scores = await PairCache.open(cache, crossContract);
  const found = await scores.read(new PairKeys(Buffer.concat(PAIRS)));
  await scores.close();
  return [...found];
}

/** Gives all folders these rights. */
function chmodAll(mode: number): void {
  const below = readdirSync(cache, { recursive: true, withFileTypes: true });
  for (const each of below) if (each.isDirectory()) chmodSync(join(each.parentPath, each.name), mode);
  chmodSync(cache, mode);
}

test.skipIf(!canBeOther)("one that all may write to is read and added to", async () => {
  chmodAll(0o777);
  await asOther(async () => {
    expect(await vectorsFound()).toBe(TEXTS.length);
    expect(await scoresFound()).toEqual([0.5, Number.NaN]);
    const store = await openStore(cache);
    await store.checkWritable();
    const writer = store.writer();
    const { keys } = keysOf([99]);
    await writer.append(new Uint8Array(keys.buffer), blockOf([99], "float32"));
    await writer.close();
    store.reload();
    expect(readBack(store, [99])).toEqual([99]);
    store.close();
  });
});

test("one that may not be read is told as that, whatever is asked of it", async () => {
  for (const part of ["embeddings", "pair-scores"]) {
    chmodSync(cache, 0o755);
    chmodSync(join(cache, part), 0o000);
    await asOther(async () => {
      const told = { code: "ENVIRONMENT", message: `The cache folder ${cache} cannot be used (EACCES).` };
      await expect(verifyCache(cache)).rejects.toMatchObject(told);
      await expect(listCache(cache)).rejects.toMatchObject(told);
      await expect(pruneCache(cache)).rejects.toMatchObject(told);
      const opened = part === "embeddings" ? vectorsFound() : scoresFound();
      await expect(opened).rejects.toMatchObject({ code: "ENVIRONMENT", hint: expect.stringContaining("permissions") });
    });
    chmodSync(join(cache, part), 0o755);
  }
});

describe("one that may only be read", () => {
  beforeEach(() => chmodAll(0o555));
  afterEach(() => chmodAll(0o755));

  test("gives what it holds", async () => {
    await asOther(async () => {
      expect(await vectorsFound()).toBe(TEXTS.length);
      expect(await scoresFound()).toEqual([0.5, Number.NaN]);
    });
  });

  test("is told as that when something has to be added, and nobody is asked for space", async () => {
    await asOther(async () => {
      const told = {
        code: "ENVIRONMENT",
        message: expect.stringMatching(/^The cache folder .* cannot be used \(EACCES\)\.$/),
        hint: "Look at its permissions and its disk, or name another folder with the environment variable QUARRY_CACHE or the option cacheDir.",
      };
      const store = await openStore(cache);
      await expect(store.checkWritable()).rejects.toMatchObject(told);
      store.close();
      const scores = await PairCache.open(cache, crossContract);
      await expect(scores.append(PAIRS[1], Float32Array.of(1))).rejects.toMatchObject(told);
      await scores.close();
    });
  });

  test("may lack the model altogether", async () => {
    chmodAll(0o755);
    for (const name of readdirSync(cache)) rmSync(join(cache, name), { recursive: true });
    chmodAll(0o555);
    await asOther(async () => {
      expect(await vectorsFound()).toBe(0);
      expect(await scoresFound()).toEqual([Number.NaN, Number.NaN]);
    });
  });
});
