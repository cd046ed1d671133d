/** A batch size that was measured once stays the run's own, for every later verb. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openWorkplace, type Workplace } from "./harness.js";

let place: Workplace;
beforeAll(async () => {
  place = await openWorkplace({ passages: 40, queries: 8 });
  await place.experiment(`
    name: "auto",
    model: biEncoder(${JSON.stringify(place.model)}, { dtype: "float32" }),
    encode: { data: source({ corpus: "collection" }) },
    mine: { data: source({ corpus: "collection", qrels: "collection/qrels/test.tsv" }), output: "qrels" },
    workers: { count: 1, threads: 1, unitSize: 16, batchSize: "auto" },
    embeddings: { store: false },
  `);
}, 120_000);
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
}, 300_000);
