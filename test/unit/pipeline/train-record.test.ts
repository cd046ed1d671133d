/** What a training notes while it goes on: its curve, and that there is a checkpoint to go on from. */
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { biEncoder, binary, defineExperiment, source } from "../../../src/experiment/define.js";
import type { TrainConfig } from "../../../src/experiment/schema.js";
import { RunContext } from "../../../src/pipeline/context.js";
import type { Batches } from "../../../src/pipeline/step-batches.js";
import {
  forgetFirstTry,
  recordedStep,
  recordTraining,
  toldSteps,
  wasCheckpointed,
} from "../../../src/pipeline/train-record.js";
import { EventStream } from "../../../src/report/events.js";
import { openRunDir, type RunDir } from "../../../src/rundir/directory.js";

const positives = source({ corpus: "corpus.jsonl", queries: "queries.jsonl", qrels: "train.tsv" });
const experiment = defineExperiment({
  ...{ name: "a", model: biEncoder("m/m"), train: { data: binary({ positives }) } },
});
const from = { data: "d", plugins: [] };

let folder: string;
let runDir: RunDir;
let context: RunContext;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-record-"));
  runDir = await openRunDir({ path: folder, config: {} });
  context = new RunContext(experiment, runDir, new EventStream(), new AbortController().signal);
  await mkdir(runDir.file("train"));
});
afterEach(async () => {
  await runDir.close();
  await rm(folder, { recursive: true, force: true });
});

const begin = () =>
  recordTraining(context, experiment.config.train as TrainConfig, from, { take: () => null } as unknown as Batches);
const told = (step: number) => {
  const facts = { loss: 1, learningRate: 0.1, gradNorm: 1, stepsPerSecond: 1, waitShare: 0 };
  context.events.emit({ type: "trainStep", step, maxSteps: 9, ...facts });
};
const curve = () => readFile(runDir.file("train/steps.jsonl"), "utf8").catch(() => "");
const steps = async () => (await curve()).split("\n").flatMap((line) => /^\{"step":(\d+)/.exec(line)?.[1] ?? []);

/** A process that tells some steps, and ends. */
async function trained(count: number, isSealed: boolean): Promise<void> {
  await forgetFirstTry(context);
  const record = begin();
  for (let step = 1; step <= count; step += 1) told(step);
  if (isSealed) await record.settle();
  await record.close();
}

test("steps of a first try that came to no checkpoint are forgotten: the next one may have other options", async () => {
  await trained(4, false);
  await trained(2, false);
  expect(await steps()).toEqual(["1", "2"]);
});

test("steps that weights may have learned from stay", async () => {
  await trained(4, true);
  await forgetFirstTry(context);
  expect(await steps()).toEqual(["1", "2", "3", "4"]);
});

test("the first complete checkpoint is noted, once", async () => {
  expect(wasCheckpointed(runDir.journal.entries)).toBe(false);
  for (let process = 0; process < 2; process += 1) {
    const record = begin();
    for (const step of [2, 4]) context.events.emit({ type: "checkpoint", step, path: "" });
    await record.close();
  }
  expect(runDir.journal.entries).toMatchObject([{ type: "checkpointed", step: 2 }]);
});

test("a checkpoint of an earlier version keeps the steps before it", async () => {
  await trained(2, false);
  const path = runDir.file("train/checkpoint-2");
  await mkdir(path);
  const shape = { negativesScope: 4, queriesPerStep: 4, seed: 42, worldSize: 1 };
  await writeFile(join(path, "quarry-checkpoint.json"), JSON.stringify({ version: 1, step: 2, ...shape, files: [] }));
  await forgetFirstTry(context);
  expect(await steps()).toEqual(["1", "2"]);
});

test("an early stop cuts off what was trained beyond its step, and leaves a torn line as it is", async () => {
  await trained(2, true);
  await appendFile(runDir.file("train/steps.jsonl"), '{"ste\n');
  const record = begin();
  for (const step of [3, 4, 2, 3]) told(step);
  await record.endAt(2);
  await record.close();
  expect(await steps()).toEqual(["1", "2", "2"]);
  expect((await curve()).split("\n")[2]).toBe('{"ste');
  expect(await readdir(runDir.file("train"))).toEqual(["steps.jsonl"]);
});

test("what a step's last line says counts, wherever it was torn", async () => {
  const path = runDir.file("train/steps.jsonl");
  expect([await recordedStep(path, 1), await toldSteps(path)]).toEqual([null, 0]);
  await writeFile(path, '{"step":1,"loss":3}\n{"step":2,"lo\n{"step":1,"loss":2}\n{"step":2,"loss":1');
  expect(await recordedStep(path, 1)).toEqual({ step: 1, loss: 2 });
  expect([await recordedStep(path, 2), await toldSteps(path)]).toEqual([null, 2]);
});

test("a record that cannot be read is not taken for one without steps", async () => {
  await mkdir(runDir.file("train/steps.jsonl"));
  const path = runDir.file("train/steps.jsonl");
  await expect(recordedStep(path, 1)).rejects.toThrow("EISDIR");
  await expect(toldSteps(path)).rejects.toThrow("EISDIR");
});
