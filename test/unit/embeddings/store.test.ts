/** What is put into the store comes out again, whoever wrote it in whatever order; another model's vectors never do. */
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tableFromIPC } from "apache-arrow";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { planMissing } from "../../../src/embeddings/encode-plan.js";
import { KeyTable } from "../../../src/embeddings/key-table.js";
import { lookAtEmbeddings } from "../../../src/embeddings/list.js";
import { modelKey } from "../../../src/embeddings/model-key.js";
import { EmbeddingStore } from "../../../src/embeddings/store.js";
import { keepPlaces, readPlaces } from "../../../src/embeddings/stored-places.js";
import { KEY_WORDS } from "../../../src/embeddings/text-keys.js";
import type { VectorModel } from "../../../src/embeddings/types.js";
import { VectorView } from "../../../src/embeddings/vector-view.js";
import { blockOf, contract, DIMENSION, keysOf, openStore, placesOf, readBack, readPlaced } from "./stores.js";

let cache: string;
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), "quarry-store-"));
});
afterEach(() => rmSync(cache, { recursive: true }));

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, at) => from + at);
const bytesOf = (texts: readonly number[]): Uint8Array => new Uint8Array(keysOf(texts).keys.buffer);

describe.each(["float32", "float16", "bfloat16", "int8"] as const)("%s", (dtype) => {
  test("blocks of two writers, in any order and of any size, are found and read again", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 200, max: 4_000 }),
        async (sizes, shardBytes) => {
          rmSync(join(cache, "embeddings"), { recursive: true, force: true });
          const store = await openStore(cache, dtype);
          const writers = [store.writer(shardBytes), store.writer(shardBytes)];
          let next = 0;
          const blocks = sizes.map((size) => range(next, (next += size)));
          await Promise.all(
            blocks.map((texts, at) => writers[at % 2]?.append(bytesOf(texts), blockOf(texts, dtype))).reverse(),
          );
          for (const writer of writers) await writer.close();
          store.reload();
          expect(readBack(store, range(0, next + 5))).toEqual(range(0, next));
          store.close();
        },
      ),
      { numRuns: 15 },
    );
  });

  test("a shard is an Arrow file with keys, vectors and scales", async () => {
    const store = await openStore(cache, dtype);
    const writer = store.writer();
    await writer.append(bytesOf([3, 4]), blockOf([3, 4], dtype));
    await writer.append(bytesOf([9]), blockOf([9], dtype));
    await writer.close();
    const [shard] = readdirSync(store.folder).filter((name) => name.startsWith("shard-"));
    const table = tableFromIPC(readFileSync(join(store.folder, shard as string, "vectors.arrow")));
    expect(table.numRows).toBe(3);
    expect(Buffer.from(table.getChild("key")?.get(2))).toEqual(Buffer.from(bytesOf([9])));
    expect(table.getChild("vector")?.get(1)?.length).toBe(DIMENSION);
    if (dtype === "int8") expect([...(table.getChild("scale") ?? [])]).toEqual([3 / 8, 0.5, 9 / 8]);
    store.close();
  });
});

test("without a mapping the same vectors are read", async () => {
  const store = await openStore(cache);
  const writer = store.writer(500);
  for (const text of range(0, 40)) await writer.append(bytesOf([text]), blockOf([text], "float32"));
  await writer.close();
  process.env["QUARRY_NO_MMAP"] = "1";
  try {
    store.reload();
    expect(readBack(store, range(0, 40))).toEqual(range(0, 40));
  } finally {
    delete process.env["QUARRY_NO_MMAP"];
    store.close();
  }
});

test("units of a view carry row, rank and vector of each passage, or its place", async () => {
  const store = await openStore(cache, "int8");
  const writer = store.writer();
  await writer.append(bytesOf([5, 6, 7]), blockOf([5, 6, 7], "int8"));
  await writer.close();
  store.reload();
  const rows = Int32Array.of(2, 0);
  const view = new VectorView(store, rows, { ...store.find(keysOf([7, 5])), order: Int32Array.of(1, 0) });
  const units = view.units(Int32Array.of(30, 20, 10), "vectors");
  expect([units.count, units.id(0), units.rowCount(0)]).toEqual([1, "vectors-0", 2]);
  expect([...units.rows(0)]).toEqual([0, 2]);
  const table = tableFromIPC(units.frame(0));
  expect([...(table.getChild("row") ?? [])]).toEqual([0, 2]);
  expect([...(table.getChild("idRank") ?? [])]).toEqual([30, 10]);
  expect([...(table.getChild("scale") ?? [])]).toEqual([5 / 8, 7 / 8]);
  expect([...(table.getChild("vector")?.get(0) ?? [])]).toEqual([...blockOf([5], "int8").bytes]);
  const places = tableFromIPC(units.placed?.frame(0));
  expect(places.schema.fields.map(({ name }) => name)).toEqual(["row", "idRank", "file", "offset", "scaleOffset"]);
  expect([...(places.getChild("row") ?? [])]).toEqual([0, 2]);
  expect([...(places.getChild("idRank") ?? [])]).toEqual([30, 10]);
  expect(readPlaced(units, 0, 5).bytes.equals(blockOf([5, 7], "int8").bytes)).toBe(true);
  store.close();
});

test.each(["float32", "int8"] as const)(
  "units of %s vectors are the same bytes however the store came to hold them",
  async (dtype) => {
    // Text 3 comes twice.
    const texts = [...range(0, 60), 3, ...range(60, 90)];
    const frames: Buffer[][] = [];
    for (const [name, blocks] of [
      ["planned", [[...planned(texts)]]],
      ["in pieces", [range(40, 60).reverse(), range(0, 40), range(60, 90)]],
    ] as const) {
      const store = await openStore(join(cache, name), dtype);
      for (const block of blocks) {
        const writer = name === "planned" ? store.writer() : store.writer(600);
        for (let from = 0; from < block.length; from += 7) {
          const part = block.slice(from, from + 7);
          await writer.append(bytesOf(part), blockOf(part, dtype));
        }
        await writer.close();
      }
      store.reload();
      const places = placesOf(store, texts);
      const order = [...places.order].map((at) => places.rows[at] as number);
      // What was encoded at once is read from its first vector to its last, and what repeats a text after that.
      if (name === "planned") expect(order).toEqual([...range(0, 90), order.at(-1)]);
      const view = new VectorView(store, Int32Array.from(range(0, texts.length)), places);
      const units = view.units(Int32Array.from(range(0, texts.length)), "vectors");
      const rows = range(0, units.count).flatMap((unit) => [...units.rows(unit)]);
      expect([...rows].sort((left, right) => left - right)).toEqual(range(0, texts.length));
      const read = tableFromIPC(units.frame(0)).getChild("vector");
      const expected = blockOf(
        rows.map((row) => texts[row] as number),
        dtype,
      ).bytes;
      const bytes = rows.map((_, at) => Buffer.from(new Uint8Array(read?.get(at).toArray().slice().buffer)));
      expect(Buffer.concat(bytes).equals(expected)).toBe(true);
      expect(readPlaced(units, 0, store.vectorBytes).bytes.equals(expected)).toBe(true);
      frames.push(range(0, units.count).map((unit) => Buffer.from(units.frame(unit))));
      store.close();
    }
    expect(frames[0]).toEqual(frames[1]);
  },
);

/** Texts as a plan encodes them. */
function planned(texts: readonly number[]): number[] {
  const missing = new Int32Array(texts.length).fill(-1);
  const plan = planMissing(keysOf(texts), { shards: missing, rows: missing, missingCount: texts.length });
  return [...plan].map((at) => texts[at] as number);
}

test("kept places are those that a look-up gives, until a shard loses a block or a flip strikes them", async () => {
  const store = await openStore(cache);
  const writer = store.writer(600);
  for (const text of range(0, 40)) await writer.append(bytesOf([text]), blockOf([text], "float32"));
  await writer.close();
  store.reload();
  const texts = range(0, 40).reverse();
  const places = placesOf(store, texts);
  const rows = "0".repeat(32);
  expect(readPlaces(store, rows)).toBeNull();
  keepPlaces(store, rows, places, 1);
  // Another writer's shards shift the numbers of these.
  const other = store.writer(600);
  await other.append(bytesOf([99]), blockOf([99], "float32"));
  await other.close();
  store.reload();
  const kept = readPlaces(store, rows);
  expect([...(kept?.rows ?? [])]).toEqual([...store.find(keysOf(texts)).rows]);
  expect([...(kept?.shards ?? [])]).toEqual([...store.find(keysOf(texts)).shards]);
  expect([...(kept?.order ?? [])]).toEqual([...places.order]);

  const file = readdirSync(store.folder).find((name) => name.endsWith(".bin")) as string;
  const bytes = readFileSync(join(store.folder, file));
  const bad = Buffer.from(bytes);
  bad[17] = (bad[17] as number) ^ 4;
  writeFileSync(join(store.folder, file), bad);
  expect(readPlaces(store, rows)).toBeNull();
  writeFileSync(join(store.folder, file), bytes);
  expect(readPlaces(store, rows)).not.toBeNull();
  const used = store.shards[kept?.shards[0] as number];
  rmSync(join(store.folder, used?.name as string), { recursive: true });
  store.reload();
  expect(readPlaces(store, rows)).toBeNull();
  store.close();
});

const base: VectorModel = { contract, side: "passage", dtype: "float32" };
const others: Record<string, VectorModel> = {
  "another fingerprint": { ...base, contract: { ...contract, fingerprint: `b${"a".repeat(63)}` } },
  "the other side": { ...base, side: "query" },
  "another number format": { ...base, dtype: "float16" },
  "another dimension": { ...base, contract: { ...contract, dimension: 6 } },
};

test.each(Object.keys(others))("vectors of a model do not answer for %s, even in a copied folder", async (name) => {
  const store = await openStore(cache);
  const writer = store.writer();
  await writer.append(bytesOf([1]), blockOf([1], "float32"));
  await writer.close();
  store.close();
  const other = others[name] as VectorModel;
  expect(modelKey(other)).not.toBe(modelKey(base));
  const folder = join(cache, "embeddings", modelKey(other));
  cpSync(store.folder, folder, { recursive: true });
  const warnings: string[] = [];
  const opened = await EmbeddingStore.open(cache, other, (message) => warnings.push(message));
  expect(opened.find(keysOf([1])).missingCount).toBe(1);
  expect(warnings.join()).toContain("encoded again");
  opened.close();
});

test("a table of keys gives what a Map gives", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 3_000 }), (texts) => {
      const { keys } = keysOf(texts);
      const table = new KeyTable();
      const map = new Map<number, number>();
      for (const [at, text] of texts.entries()) {
        expect(table.add(keys, at * KEY_WORDS, at)).toBe(!map.has(text));
        if (!map.has(text)) map.set(text, at);
      }
      expect(table.size).toBe(map.size);
      for (const [at, text] of texts.entries()) expect(table.get(keys, at * KEY_WORDS)).toBe(map.get(text));
      expect(table.get(keysOf([301]).keys, 0)).toBe(-1);
    }),
    { numRuns: 20 },
  );
});

test("a store whose folder is removed while it is open is begun anew, and is known by its model", async () => {
  const store = await openStore(cache);
  const writer = store.writer();
  rmSync(join(cache, "embeddings"), { recursive: true });
  await writer.append(bytesOf([1, 2]), blockOf([1, 2], "float32"));
  await writer.close();
  store.reload();
  expect(readBack(store, [1, 2, 3])).toEqual([1, 2]);
  expect(lookAtEmbeddings(cache)[0]?.entry).toMatchObject({ sources: ["tiny"], state: "complete" });
  store.close();
});

test("vectors whose folder is removed before they are sealed are missing, which is no failure", async () => {
  const store = await openStore(cache);
  const writer = store.writer();
  await writer.append(bytesOf([1, 2]), blockOf([1, 2], "float32"));
  rmSync(join(cache, "embeddings"), { recursive: true });
  await writer.append(bytesOf([3]), blockOf([3], "float32"));
  await writer.close();
  store.reload();
  expect(readBack(store, [1, 2, 3])).toEqual([]);
  store.close();
});

test("a shard that cannot be read now is no damage: its vectors stay, and the error names the way out", async () => {
  const warnings: string[] = [];
  const store = await openStore(cache, "float32", warnings);
  const writer = store.writer();
  await writer.append(bytesOf([1]), blockOf([1], "float32"));
  await writer.close();
  const [shard = ""] = readdirSync(store.folder).filter((name) => name.startsWith("shard-"));
  const manifest = join(store.folder, shard, "manifest.json");
  // In the place of a process without a descriptor left, which would end this one too.
  renameSync(manifest, `${manifest}.kept`);
  symlinkSync(manifest, manifest);
  expect(() => store.reload()).toThrow(/manifest\.json cannot be read \(ELOOP\)/);
  await expect(openStore(cache)).rejects.toMatchObject({ code: "ENVIRONMENT" });
  renameSync(`${manifest}.kept`, manifest);
  store.reload();
  expect(readBack(store, [1])).toEqual([1]);
  expect(warnings).toEqual([]);
  store.close();
});
