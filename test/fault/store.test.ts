/** The store of vectors on a disk that is full or damages what it holds, with many who open it at once. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { QuarryError } from "../../src/errors.js";
import { openWorkplace, type Workplace } from "../e2e/harness.js";
import { mountSmallDisk, type SmallDisk, whyNoSmallDisk } from "../fixtures/small-disk.js";
import { filled, flipBits, survivors, TEXTS } from "../unit/embeddings/damages.js";
import { abandon, blockOf, keysOf, openStore, readBack } from "../unit/embeddings/stores.js";

let folder = "";
let disk: SmallDisk | null = null;
beforeEach(() => {
  folder = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "quarry-store-"));
});
afterEach(() => {
  disk?.unmount();
  disk = null;
  rmSync(folder, { recursive: true, force: true });
});

test("1,000 flipped bits, none of them silent", async () => {
  expect(await flipBits(folder, 1_000)).toBeGreaterThan(400);
}, 240_000);

test("of several who open the store at once one takes in what a killed writer left", async () => {
  for (let round = 0; round < 20; round += 1) {
    rmSync(join(folder, "embeddings"), { recursive: true, force: true });
    const { store, writer } = await filled(folder);
    abandon(store);
    await writer.close();
    store.close();
    for (const each of await Promise.all(Array.from({ length: 6 }, () => openStore(folder)))) each.close();
    expect(await survivors(folder)).toEqual(TEXTS);
    const left = readdirSync(store.folder).filter((name) => name.startsWith("shard-") || name.startsWith("."));
    expect(left).toHaveLength(1);
  }
});

test.skipIf(whyNoSmallDisk() !== null)(
  "a full disk ends the writing; what was durable is there when space returns",
  async () => {
    disk = mountSmallDisk(2);
    const ballast = join(disk.path, "ballast");
    writeFileSync(ballast, Buffer.alloc(1 << 20));
    const store = await openStore(disk.path);
    const writer = store.writer();
    const durable: number[] = [];
    const failure = await (async () => {
      for (let from = 0; from < 400_000; from += 500) {
        const texts = Array.from({ length: 500 }, (_, at) => from + at);
        await writer.append(new Uint8Array(keysOf(texts).keys.buffer), blockOf(texts, "float32"));
        durable.push(...texts);
      }
    })().catch((thrown: unknown) => thrown);
    expect(failure).toBeInstanceOf(QuarryError);
    expect((failure as QuarryError).code).toBe("ENVIRONMENT");
    expect((failure as QuarryError).message).toContain("No space left");
    expect(durable.length).toBeGreaterThan(1_000);
    // As in a process that ends here: sealing needs space too.
    await writer.close().catch(() => {});
    store.close();
    rmSync(ballast);
    if (readdirSync(store.folder).some((name) => name.startsWith(".building-"))) abandon(store);
    const again = await openStore(disk.path);
    expect(readBack(again, durable)).toEqual(durable);
    again.close();
  },
);

describe("a run over damaged vectors", () => {
  let place: Workplace;
  beforeAll(async () => {
    place = await openWorkplace({ isEachDifferent: true });
  });
  afterAll(() => place.remove());

  test("tells of it, encodes these texts again and gives the same ranking", async () => {
    const run = async (name: string) => {
      await place.experiment(`
        name: "${name}",
        model: biEncoder(${JSON.stringify(place.model)}, { dtype: "float32" }),
        evaluate: { data: source({ corpus: "collection", qrels: "collection/qrels/test.tsv" }), topK: 10, measures: ["nDCG@10"] },
        workers: { count: 1, threads: 1, unitSize: 32, batchSize: 8 },
      `);
      const result = await place.quarry("evaluate", "experiment.ts", "--reporter", "plain");
      expect(result.exitCode).toBe(0);
      const lines = readFileSync(join(place.folder, "runs", name, "evaluate-base/run.trec"), "utf8")
        .trim()
        .split("\n");
      return {
        told: result.stdout + result.stderr,
        ranking: lines.map((line) => line.split(" ").slice(0, 4).join(" ")),
      };
    };
    const sound = await run("sound");
    const store = join(place.folder, "cache/embeddings");
    const shards = readdirSync(store, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".arrow"));
    const sizes = shards.map((name) => readFileSync(join(store, name)).length);
    const path = join(store, shards[sizes.indexOf(Math.max(...sizes))] as string);
    const bytes = readFileSync(path);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 8;
    writeFileSync(path, bytes);
    const mended = await run("mended");
    expect(mended.told).toMatch(/block \d+ is damaged.*encoded again/);
    expect(mended.ranking).toEqual(sound.ranking);
    const events = readFileSync(join(place.folder, "runs/mended/events.jsonl"), "utf8");
    expect(events).toMatch(/"phaseFinished","phase":"evaluate-base\/passages".*"done":32/);
    expect((await run("after")).told).not.toContain("damaged");
  }, 240_000);
});
