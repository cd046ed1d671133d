/** Scores of pairs on disk: found again by content, never another model's, whatever happens to the bytes. */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { PairCache } from "../../../src/pipeline/pair-cache.js";
import { KEY_BYTES, PairKeys } from "../../../src/pipeline/pair-keys.js";
import { lookAtPairScores } from "../../../src/pipeline/pair-list.js";
import { plannedPairs } from "../../../src/pipeline/pair-plan.js";
import { crossContract } from "../../fixtures/cross-contract.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-pairs-"));
});
afterEach(() => rm(folder, { recursive: true }));

/** A key of its own for each number, its bytes all over the place. */
function keysOf(...numbers: number[]): Buffer {
  const bytes = Buffer.alloc(numbers.length * KEY_BYTES);
  for (const [at, number] of numbers.entries()) {
    bytes.writeUInt32LE(Math.imul(number, 2_654_435_761) >>> 0, at * KEY_BYTES);
    bytes.writeUInt32LE(number, at * KEY_BYTES + 12);
  }
  return bytes;
}

async function stored(...blocks: (readonly [number[], number[]])[]): Promise<void> {
  const cache = await PairCache.open(folder, crossContract);
  for (const [numbers, scores] of blocks) await cache.append(keysOf(...numbers), Float32Array.from(scores));
  await cache.close();
}

async function found(...numbers: number[]): Promise<number[]> {
  const cache = await PairCache.open(folder, crossContract);
  try {
    return [...(await cache.read(new PairKeys(keysOf(...numbers))))];
  } finally {
    await cache.close();
  }
}

async function shards(): Promise<string[]> {
  const entry = lookAtPairScores(folder)[0]?.entry;
  const names = await readdir(entry?.path ?? folder);
  return names.filter((name) => name.endsWith(".scores")).map((name) => join(entry?.path ?? folder, name));
}

test("a score is found by its key, in any order, and equal pairs have one", async () => {
  await stored(
    [
      [1, 2, 3],
      [0.5, -2.25, 1e-3],
    ],
    [[4], [7]],
  );
  expect(await found(4, 1, 9, 3, 1)).toEqual([7, 0.5, Number.NaN, Math.fround(1e-3), 0.5]);
  expect(await found()).toEqual([]);
});

test("of two scores of a pair the older one counts, also when another process wrote it", async () => {
  await stored([[1], [0.25]]);
  await new Promise((resolve) => setTimeout(resolve, 5));
  await stored([
    [1, 2],
    [0.75, 1],
  ]);
  expect(await shards()).toHaveLength(2);
  expect(await found(1, 2)).toEqual([0.25, 1]);
});

test("a block of which any bit is flipped answers nothing, the others answer still", async () => {
  await stored(
    [
      [1, 2],
      [1, 2],
    ],
    [
      [3, 4],
      [3, 4],
    ],
    [
      [5, 6],
      [5, 6],
    ],
  );
  const [shard = ""] = await shards();
  const whole = await readFile(shard);
  const block = whole.byteLength / 3;
  for (let bit = block * 8; bit < 2 * block * 8; bit += 1) {
    const bytes = Buffer.from(whole);
    bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
    await writeFile(shard, bytes);
    expect(await found(1, 2, 3, 4, 5, 6), `bit ${bit}`).toEqual([1, 2, Number.NaN, Number.NaN, 5, 6]);
  }
});

test("a shard that was cut anywhere loses what was cut and nothing else", async () => {
  await stored(
    [
      [1, 2],
      [1, 2],
    ],
    [
      [3, 4],
      [3, 4],
    ],
  );
  const [shard = ""] = await shards();
  const whole = await readFile(shard);
  for (let length = 0; length < whole.byteLength; length += 1) {
    await writeFile(shard, whole.subarray(0, length));
    const first = length < whole.byteLength / 2 ? [Number.NaN, Number.NaN] : [1, 2];
    expect(await found(1, 2, 3, 4), `${length} bytes`).toEqual([...first, Number.NaN, Number.NaN]);
  }
});

test("shards are read once: what was found in them stays known, and what is appended is found with it", async () => {
  await stored([
    [1, 2],
    [0.5, 2],
  ]);
  const cache = await PairCache.open(folder, crossContract);
  const read = async () => [...(await cache.read(new PairKeys(keysOf(1, 2, 3, 4))))];
  expect(await read()).toEqual([0.5, 2, Number.NaN, Number.NaN]);
  for (const shard of await shards()) await rm(shard);
  await Promise.all([
    cache.append(keysOf(3, 1), Float32Array.of(-1.5, 9)),
    cache.append(keysOf(4), Float32Array.of(0)),
  ]);
  expect(await read()).toEqual([0.5, 2, -1.5, 0]);
  await cache.close();
  expect(await found(3, 4, 2)).toEqual([-1.5, 0, Number.NaN]);
});

test("equal keys are told from those that only begin like them", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 60 }), (numbers) => {
      const bytes = Buffer.alloc(numbers.length * KEY_BYTES);
      // Equal first bytes for all: every look-up has to probe.
      for (const [at, each] of numbers.entries()) bytes.writeUInt8(each, at * KEY_BYTES + 15);
      expect([...new PairKeys(bytes).first]).toEqual(numbers.map((each) => numbers.indexOf(each)));
    }),
  );
});

test("a plan stays as it was written down, until what it took for known is lost or the job is another one", async () => {
  const path = join(folder, "pairs.plan");
  const plan = async (key: string, missing: number[]): Promise<number[]> => [
    ...(await plannedPairs(path, key, 20, Int32Array.from(missing))),
  ];
  expect(await plan("job", [3, 4, 9, 19])).toEqual([3, 4, 9, 19]);
  expect(await plan("job", [9, 19])).toEqual([3, 4, 9, 19]);
  expect(await plan("job", [5, 9])).toEqual([5, 9]);
  expect(await plan("other", [9])).toEqual([9]);
  await writeFile(path, (await readFile(path)).subarray(0, -1));
  expect(await plan("other", [1])).toEqual([1]);
  // As an earlier version wrote it.
  const bits = Buffer.from([0b11, 0, 0]);
  await writeFile(path, JSON.stringify({ key: "other", pairs: bits.toString("base64"), crc: crc32(bits) }));
  expect(await plan("other", [1])).toEqual([1]);
});
