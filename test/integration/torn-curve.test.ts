/** The loss curve holds each step of its own training once, whatever a crash tears off, somebody deletes or others tell the same stream. */
import { appendFile, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { biEncoder, binary, defineExperiment, EventStream, type QuarryEvent, source, train } from "../../src/index.js";
import { openWorkplace, type Workplace } from "../e2e/harness.js";

/** Ranks may be four steps ahead of what is told of them, and are not to be at the end when they are stopped. */
const STEPS = 12;

let place: Workplace;
beforeAll(async () => {
  place = await openWorkplace({ passages: 64, queries: 16 });
});
afterAll(() => place.remove());

test("a torn last line is cut off, the steps of a first try without a checkpoint are forgotten, another training's steps do not count, and a lost model is trained again from the checkpoint before it", async () => {
  const runDir = join(place.folder, "run");
  const curve = join(runDir, "train", "steps.jsonl");
  const positives = source({ corpus: "collection", qrels: "collection/qrels/train.tsv" });
  const experiment = defineExperiment(
    {
      ...{ name: "torn", model: biEncoder("./model"), runDir, cacheDir: "./cache", workers: { device: "cpu" } },
      train: { data: binary({ positives }), globalBatchSize: 4, ranks: 1, threads: 1, args: { maxSteps: STEPS } },
    },
    { baseDir: place.folder },
  );
  const early = new AbortController();
  const first = new EventStream();
  first.subscribe((event) => event.type === "phaseStarted" && event.phase === "train" && early.abort());
  await expect(train(experiment, { events: first, signal: early.signal })).rejects.toMatchObject({
    message: "Training was stopped before its first checkpoint.",
  });
  // As if that one had come to step 40, with other options.
  await appendFile(curve, '{"step":40,"loss":0.5}\n');
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
  expect(lines.map((line) => (JSON.parse(line) as { step: number }).step)).toEqual(
    Array.from({ length: STEPS }, (_, at) => at + 1),
  );

  const weights = join(runDir, `train/checkpoint-${STEPS}/model.safetensors`);
  const before = await readFile(weights);
  await rm(weights);
  const seen: QuarryEvent[] = [];
  events.subscribe((event) => seen.push(event));
  await train(experiment, { events });
  expect(await readFile(weights)).toEqual(before);
  const message = `train has lost train/checkpoint-${STEPS}/model.safetensors; it is done again, and its files are replaced.`;
  expect(seen).toContainEqual(expect.objectContaining({ type: "warning", message }));
  expect(seen.find(({ type }) => type === "trainStep")).not.toMatchObject({ step: 1 });
});
