/** The loss curve holds each step of its own training once, whatever a crash tears off or others tell the same stream. */
import { appendFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { biEncoder, binary, defineExperiment, EventStream, source, train } from "../../src/index.js";
import { openWorkplace, type Workplace } from "../e2e/harness.js";

let place: Workplace;
beforeAll(async () => {
  place = await openWorkplace({ passages: 64, queries: 16 });
});
afterAll(() => place.remove());

test("a torn last line is cut off, the steps after it stand on lines of their own, and another training's do not count", async () => {
  const runDir = join(place.folder, "run");
  const curve = join(runDir, "train", "steps.jsonl");
  const positives = source({ corpus: "collection", qrels: "collection/qrels/train.tsv" });
  const experiment = defineExperiment(
    {
      ...{ name: "torn", model: biEncoder("./model"), runDir, cacheDir: "./cache", workers: { device: "cpu" } },
      train: { data: binary({ positives }), globalBatchSize: 4, ranks: 1, threads: 1, args: { maxSteps: 6 } },
    },
    { baseDir: place.folder },
  );
  const events = new EventStream();
  const controller = new AbortController();
  events.subscribe((event) => {
    if (event.type === "trainStep" && event.step === 1) events.emit({ ...event, step: 5 });
    if (event.type === "trainStep" && event.step === 2) controller.abort();
  });
  await expect(train(experiment, { events, signal: controller.signal })).rejects.toMatchObject({ code: "INTERRUPTED" });
  await appendFile(curve, '{"step":3,"loss":0.5,"lea');
  await train(experiment);
  const lines = (await readFile(curve, "utf8")).trim().split("\n");
  expect(lines.map((line) => (JSON.parse(line) as { step: number }).step)).toEqual([1, 2, 3, 4, 5, 6]);
});
