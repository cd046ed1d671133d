/** The cache as a whole is verified: vectors and scores of pairs are read as well, and what is damaged is taken out. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { verifyCache } from "../../../src/index.js";
import { PairCache } from "../../../src/pipeline/pair-cache.js";
import { KEY_BYTES, PairKeys } from "../../../src/pipeline/pair-keys.js";
import { crossContract } from "../../fixtures/cross-contract.js";
import { filled, survivors, TEXTS } from "../embeddings/damages.js";

let cache: string;
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), "quarry-verify-"));
});
afterEach(() => rmSync(cache, { recursive: true }));

/** Three blocks of eight vectors; gives the shard's folder. */
async function vectors(): Promise<string> {
  const { store, writer } = await filled(cache);
  await writer.close();
  store.close();
  return join(store.folder, readdirSync(store.folder).find((name) => name.startsWith("shard-")) as string);
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at] = (bytes[at] as number) ^ 16;
  // A mapped file is never written in place.
  rmSync(path);
  writeFileSync(path, bytes);
}

const damage = async () => (await verifyCache(cache)).damaged.map(({ files, isRemoved }) => ({ files, isRemoved }));

describe("vectors", () => {
  test("that are sound are counted, with every byte told, and stay", async () => {
    await vectors();
    const seen: number[] = [];
    const report = await verifyCache(cache, { onProgress: ({ bytes }) => seen.push(bytes) });
    expect(report).toMatchObject({ entryCount: 1, fileCount: 3, damaged: [] });
    // 24 texts with 16 bytes of key and 5 numbers each, and the keys once more.
    expect(report.bytes).toBeGreaterThan(24 * (16 + 20 + 16));
    expect(seen.at(-1)).toBe(report.bytes);
    expect(await survivors(cache)).toEqual(TEXTS);
  });

  test("with a flipped byte lose their block and nothing else", async () => {
    const shard = await vectors();
    const file = join(shard, "vectors.arrow");
    const { blocks } = JSON.parse(readFileSync(join(shard, "manifest.json"), "utf8")).value;
    flip(file, (blocks[2][0] as number) - 9);
    const [name] = shard.split("/").slice(-1);
    expect(await damage()).toEqual([{ files: [`${name} block 1`], isRemoved: true }]);
    expect(await damage()).toEqual([]);
    expect(await survivors(cache)).toEqual([...TEXTS.slice(0, 8), ...TEXTS.slice(16)]);
  });

  test("keep their places when only the keys are damaged, which are written again", async () => {
    const shard = await vectors();
    const keys = readFileSync(join(shard, "keys.bin"));
    flip(join(shard, "keys.bin"), 20);
    expect(await damage()).toEqual([{ files: [expect.stringMatching(/^shard-\w+ keys\.bin$/)], isRemoved: true }]);
    expect(readFileSync(join(shard, "keys.bin"))).toEqual(keys);
    expect(await damage()).toEqual([]);
    expect(await survivors(cache)).toEqual(TEXTS);
  });

  test.each<[string, (shard: string) => void]>([
    ["a damaged manifest", (shard) => flip(join(shard, "manifest.json"), 40)],
    ["a file cut short", (shard) => truncateSync(join(shard, "vectors.arrow"), 700)],
    ["no file", (shard) => rmSync(join(shard, "vectors.arrow"))],
  ])("with %s go as a whole shard", async (_, harm) => {
    harm(await vectors());
    expect(await damage()).toEqual([{ files: [expect.stringMatching(/^shard-\w+$/)], isRemoved: true }]);
    expect(await damage()).toEqual([]);
    expect(await survivors(cache)).toEqual([]);
  });
});

describe("scores of pairs", () => {
  const keysOf = (pair: number): Buffer => Buffer.alloc(KEY_BYTES, pair);

  /** Three blocks of one pair; gives the shard's path. */
  async function scores(): Promise<{ readonly store: PairCache; readonly shard: string }> {
    const store = await PairCache.open(cache, crossContract);
    for (const pair of [1, 2, 3]) await store.append(keysOf(pair), Float32Array.of(pair));
    const folder = join(cache, "pair-scores", crossContract.fingerprint.slice(0, 32));
    return { store, shard: join(folder, readdirSync(folder).find((name) => name.endsWith(".scores")) as string) };
  }

  test("of a damaged block are taken out, those of the others answer as before", async () => {
    const { store, shard } = await scores();
    await store.close();
    expect(await verifyCache(cache)).toMatchObject({ entryCount: 1, fileCount: 1, damaged: [] });
    const size = readFileSync(shard).length;
    flip(shard, size / 2);
    expect(await damage()).toEqual([{ files: [expect.stringMatching(/\.scores$/)], isRemoved: true }]);
    expect(await damage()).toEqual([]);
    expect(readFileSync(shard).length).toBe((size / 3) * 2);
    const again = await PairCache.open(cache, crossContract);
    const all = new PairKeys(Buffer.concat([1, 2, 3].map(keysOf)));
    expect([...(await again.read(all))]).toEqual([1, Number.NaN, 3]);
    await again.close();
  });

  test("are left alone while somebody adds to them", async () => {
    const { store, shard } = await scores();
    const whole = readFileSync(shard);
    writeFileSync(shard, Buffer.concat([whole, whole.subarray(0, 20)]));
    expect(await damage()).toEqual([]);
    flip(shard, whole.length / 2);
    expect(await damage()).toEqual([{ files: [expect.stringMatching(/\.scores$/)], isRemoved: false }]);
    await store.close();
  });
});
