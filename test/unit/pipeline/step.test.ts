/** A finished step is not done again as long as what it left is there. */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { biEncoder, binary, defineExperiment, source } from "../../../src/experiment/define.js";
import { RunContext } from "../../../src/pipeline/context.js";
import { prepareTraining } from "../../../src/pipeline/prepare.js";
import { once } from "../../../src/pipeline/step.js";
import { trainStep } from "../../../src/pipeline/train.js";
import { EventStream } from "../../../src/report/events.js";
import { openRunDir, type RunDir } from "../../../src/rundir/directory.js";
import { writeCollection } from "../../fixtures/collection.js";

let folder = "";
let runDir: RunDir;
let told: string[] = [];
let done = 0;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-step-"));
  runDir = await openRunDir({ path: join(folder, "run"), config: {}, bound: () => [] });
  [told, done] = [[], 0];
});
afterEach(async () => {
  await runDir.close();
  await rm(folder, { recursive: true, force: true });
});

function contextOf(signal = new AbortController().signal): RunContext {
  const data = source({ corpus: folder, qrels: join(folder, "qrels/test.tsv") });
  const experiment = defineExperiment({
    ...{ name: "lost", model: biEncoder("m"), evaluate: { data }, train: { data: binary({ positives: data }) } },
    cacheDir: join(folder, "cache"),
  });
  const events = new EventStream();
  events.subscribe((event) => {
    if (event.type === "warning") told.push(event.message);
  });
  return new RunContext(experiment, runDir, events, signal);
}

const files = ["evaluate-base/run.trec", "evaluate-base/per-query.json"];
const step = (context = contextOf()): Promise<object> =>
  once(context, "evaluate-base", "data", {
    work: async () => {
      done += 1;
      await mkdir(runDir.file("evaluate-base"), { recursive: true });
      for (const file of files) await writeFile(runDir.file(file), "1 Q0 d1 1 0.5 quarry\n");
      return { values: {} };
    },
    files: () => files,
  });

test("a finished step is done again, with a warning, once a file of its result is gone; an edited one is kept", async () => {
  for (let time = 0; time < 2; time += 1) await step();
  expect({ done, told }).toEqual({ done: 1, told: [] });
  await rm(runDir.file("evaluate-base/per-query.json"));
  await step();
  await truncate(runDir.file("evaluate-base/run.trec"), 5);
  await step();
  expect({ done, told }).toEqual({
    done: 2,
    told: [
      "evaluate-base has lost evaluate-base/per-query.json; it is done again, and its files are replaced.",
      "evaluate-base/run.trec: of another size than when evaluate-base was done; taken as it is.",
    ],
  });
});

test("a step whose result names files that are not there does not count as done", async () => {
  const told = once(contextOf(), "evaluate-base", "data", { work: () => Promise.resolve({}), files: () => files });
  await expect(told).rejects.toMatchObject({
    code: "INTEGRITY",
    message: `evaluate-base came to its end, but ${files.join(", ")} is not there`,
  });
  expect(runDir.journal.entries).toEqual([]);
});

test("a step of an earlier version that counted without its files has lost them", async () => {
  const entry = { step: "evaluate-base", data: "data", models: {}, plugins: {}, result: {}, files: {} };
  await runDir.journal.append({ type: "stepDone", ...entry });
  await step();
  expect(done).toBe(1);
});

test("a step that begins after a stop says what any work says that is stopped", async () => {
  const stopped = step(contextOf(AbortSignal.abort("enough")));
  await expect(stopped).rejects.toMatchObject({ code: "INTERRUPTED", message: "Stopped on request.", cause: "enough" });
  expect(done).toBe(0);
});

test("files are looked for also where the journal of an earlier version has no sizes", async () => {
  const entry = { step: "evaluate-base", data: "data", models: {}, plugins: {}, result: { values: {} } };
  await runDir.journal.append({ type: "stepDone", ...entry });
  await step();
  expect({ done, told }).toEqual({
    done: 1,
    told: [`evaluate-base has lost ${files.join(", ")}; it is done again, and its files are replaced.`],
  });
});

async function damagedCheckpoint(number: number): Promise<string> {
  const checkpoint = runDir.file(`train/checkpoint-${number}`);
  await mkdir(checkpoint, { recursive: true });
  const listed = [{ path: "optimizer.pt", bytes: 7, xxh3: "a" }];
  const shape = { negativesScope: 4, queriesPerStep: 4, seed: 42, worldSize: 1 };
  const manifest = { version: 1, step: number, ...shape, files: listed };
  await writeFile(join(checkpoint, "quarry-checkpoint.json"), JSON.stringify(manifest));
  return checkpoint;
}

test("a training none of whose checkpoints is complete any more is refused, and nothing is removed", async () => {
  await writeCollection(folder, { passages: 96, queries: 12 });
  const context = contextOf();
  const options = context.config.train as NonNullable<typeof context.config.train>;
  const refused = (lost: string) => ({
    code: "INTEGRITY",
    message: `the training in ${runDir.path} cannot go on: it has lost ${lost}`,
    hint: "Restore the files from a copy, or train anew in another folder with --runDir.",
  });
  const folders = [await damagedCheckpoint(4), await damagedCheckpoint(2)];
  await expect(trainStep(context, options)).rejects.toMatchObject(
    refused("train/checkpoint-4/optimizer.pt, train/checkpoint-2/optimizer.pt"),
  );
  for (const checkpoint of folders) expect(existsSync(checkpoint)).toBe(true);
  for (const checkpoint of folders) await rm(checkpoint, { recursive: true });
  await runDir.journal.append({ type: "checkpointed", step: 2 });
  await writeFile(runDir.file("train/steps.jsonl"), "");
  await expect(trainStep(context, options)).rejects.toMatchObject(refused("all its checkpoints"));
});

test("a finished training without its model is not begun anew; what only a resume needs may be gone", async () => {
  await writeCollection(folder, { passages: 96, queries: 12 });
  const context = contextOf();
  const options = context.config.train as NonNullable<typeof context.config.train>;
  const set = await prepareTraining(context, "train", options.data);
  set.close();
  const result = { checkpoint: "train/checkpoint-3", steps: 3, stepsPerSecond: 1, waitShare: 0 };
  await runDir.journal.append({ type: "stepDone", step: "train", data: set.fingerprint, models: {}, result });
  const checkpoint = runDir.file("train/checkpoint-3");
  await mkdir(checkpoint, { recursive: true });
  await writeFile(join(checkpoint, "model.safetensors"), "weights");
  const listed = ["model.safetensors", "optimizer.pt"].map((path) => ({ path, bytes: 7, xxh3: "a" }));
  const manifest = { version: 1, step: 3, negativesScope: 4, queriesPerStep: 4, seed: 42, worldSize: 1, files: listed };
  await writeFile(join(checkpoint, "quarry-checkpoint.json"), JSON.stringify(manifest));
  expect(await trainStep(context, options)).toEqual({ trained: result });
  await rm(join(checkpoint, "model.safetensors"));
  await expect(trainStep(context, options)).rejects.toMatchObject({
    code: "INTEGRITY",
    message: `the training in ${runDir.path} is done, but has lost train/checkpoint-3/model.safetensors`,
    hint: "Restore the files from a copy, leave train out of the steps, or train again in another folder with --runDir.",
  });
});
