/** A batch size that was measured once stays the run's own, for every later verb. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openWorkplace, type Workplace } from "./harness.js";

let place: Workplace;
let cross = "";
beforeAll(async () => {
  place = await openWorkplace({ passages: 40, queries: 8 });
  cross = await place.crossEncoder();
  await place.experiment(`
    name: "auto",
    model: biEncoder(${JSON.stringify(place.model)}, { dtype: "float32" }),
    encode: { data: source({ corpus: "collection" }) },
    mine: { data: source({ corpus: "collection", qrels: "collection/qrels/test.tsv" }), output: "qrels" },
    workers: { count: 1, threads: 1, unitSize: 16, batchSize: "auto" },
    embeddings: { store: false },
  `);
});
afterAll(() => place.remove());

test("auto measures once, and a later call in the run folder takes what was recorded", async () => {
  const file = join(place.folder, "runs/auto/batch-size.json");
  const first = await place.quarry("encode", "experiment.ts");
  expect(first.exitCode, first.stderr).toBe(0);
  expect(JSON.parse(await readFile(file, "utf8"))).toEqual({
    base: { batchSize: expect.any(Number), textsPerSecond: expect.any(Number) },
  });

  const recorded = JSON.stringify({ base: { batchSize: 3, textsPerSecond: 1 } });
  await writeFile(file, recorded);
  const second = await place.quarry("mine", "experiment.ts");
  expect(second.exitCode, second.stderr).toBe(0);
  expect(JSON.parse(await readFile(file, "utf8"))).toEqual(JSON.parse(recorded));
});

test("a cross-encoder is measured on its own pairs, once for all steps that share it", async () => {
  await place.experiment(`
    name: "crossed",
    model: biEncoder(${JSON.stringify(place.model)}, { dtype: "float32" }),
    evaluate: { data: source({ corpus: "collection", qrels: "collection/qrels/test.tsv" }), topK: 10, measures: ["nDCG@10"] },
    rerank: crossEncoder(${JSON.stringify(cross)}, { topK: 4, dtype: "float32" }),
    mine: {
      data: source({ corpus: "collection", qrels: "collection/qrels/train.tsv" }), topK: 20, negativesPerQuery: 4,
      rescore: { model: crossEncoder(${JSON.stringify(cross)}, { dtype: "float32" }) },
    },
    workers: { count: 1, threads: 1, unitSize: 16, batchSize: "auto" },
  `);
  const file = join(place.folder, "runs/crossed/batch-size.json");
  const first = await place.quarry("evaluate", "experiment.ts");
  expect(first.exitCode, first.stderr).toBe(0);
  const recorded = JSON.parse(await readFile(file, "utf8")) as Record<string, { batchSize: number }>;
  const { base, ...others } = recorded;
  expect(base).toBeDefined();
  const [key = ""] = Object.keys(others);
  expect(key).toMatch(/^\S+ [0-9a-f]{16}$/);
  expect(key.startsWith(cross)).toBe(true);
  expect([4, 8, 16]).toContain(recorded[key]?.batchSize);
  const events = await readFile(join(place.folder, "runs/crossed/events.jsonl"), "utf8");
  expect(events).toMatch(/batch size of the cross-encoder \d+ is the fastest one on this machine \(\S+ pairs\/s/);

  const changed = JSON.stringify({ ...recorded, [key]: { batchSize: 3, textsPerSecond: 1 } });
  await writeFile(file, changed);
  const second = await place.quarry("mine", "experiment.ts");
  expect(second.exitCode, second.stderr).toBe(0);
  expect(await readFile(join(place.folder, "runs/crossed/events.jsonl"), "utf8")).toContain("mine-base/rescore/pairs");
  expect(JSON.parse(await readFile(file, "utf8"))).toEqual(JSON.parse(changed));
});
