/** A run folder remembers its training: any step's batch and loss come back from it, and what was changed is noticed. */
import { appendFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { biEncoder, binary, defineExperiment, replayStep, showStep, source, train } from "../../src/index.js";
import { writeCollection } from "../fixtures/collection.js";
import { commandLine } from "../fixtures/command-line.js";
import { writeTinyModel } from "../fixtures/tiny-model.js";

const STEPS = 6;
let folder = "";
let runDir = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-replay-"));
  runDir = join(folder, "run");
  await writeTinyModel(join(folder, "model"));
  await writeCollection(join(folder, "collection"), { passages: 96, queries: 24 });
  await writeFile(join(folder, "own.py"), "LEARNED = 1\n");
  await train(experiment());
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function experiment(more: { miniBatchSize?: number; globalBatchSize?: number } = {}) {
  const judged = source({ corpus: "collection", qrels: "collection/qrels/train.tsv" });
  return defineExperiment(
    {
      ...{ name: "replayed", runDir, cacheDir: join(folder, "cache"), seed: 3 },
      model: biEncoder("./model", { plugins: ["own.py"] }),
      train: {
        data: binary({ positives: judged }),
        ...{ globalBatchSize: 4, queriesPerRank: 2, ranks: 1, threads: 1 },
        args: { maxSteps: STEPS, learningRate: 5e-3, saveSteps: 3, saveTotalLimit: 5 },
        ...more,
      },
      workers: { device: "cpu" },
    },
    { baseDir: folder },
  );
}

interface StepLine {
  readonly step: number;
  readonly loss: number;
  readonly rows: string;
  readonly ranks: number;
  readonly waitShare: number;
}

async function lines(): Promise<StepLine[]> {
  const text = await readFile(join(runDir, "train", "steps.jsonl"), "utf8");
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as StepLine);
}

/** Every file of the run folder with its size and time. */
async function snapshot(): Promise<string[]> {
  const names = (await readdir(runDir, { recursive: true })).sort();
  return Promise.all(
    names.map(async (name) => {
      const { size, mtimeMs, isDirectory } = await stat(join(runDir, name)).then((found) => ({
        ...{ size: found.size, mtimeMs: found.mtimeMs },
        isDirectory: found.isDirectory(),
      }));
      return isDirectory ? name : `${name} ${size} ${mtimeMs}`;
    }),
  );
}

const replay = (...argv: string[]) => commandLine(["replay", runDir, ...argv], { cwd: folder });

test("each step's line names its batch, and the folder alone gives the batch back, micro-step by micro-step", async () => {
  const recorded = await lines();
  expect(recorded.map(({ step, ranks }) => [step, ranks])).toEqual(
    Array.from({ length: STEPS }, (_, at) => [at + 1, 1]),
  );
  expect(new Set(recorded.map(({ rows }) => rows)).size).toBe(STEPS);
  for (const step of [1, 4]) {
    const replayed = await replayStep(runDir, { step });
    expect(replayed).toMatchObject({ rows: recorded[step - 1]?.rows, isSameBatch: true, loss: null });
    expect(replayed.microSteps.map(({ groups }) => groups.length)).toEqual([2, 2]);
    const shown = await showStep(experiment(), step - 1);
    const ids = (groups: typeof shown.groups) => groups.map(({ query, passages }) => [query.id, passages[0]?.id]);
    expect(ids(replayed.microSteps.flatMap(({ groups }) => groups))).toEqual(ids(shown.groups));
    expect(replayed.microSteps[1]?.groups.map(({ place }) => place)).toEqual(
      shown.groups.slice(2).map(({ place }) => place),
    );
  }
});

test("each step's line and the journal say in which share of the time the slowest rank waited", async () => {
  const entries = await readFile(join(runDir, "journal.jsonl"), "utf8");
  const done = entries.split("\n").find((line) => line.includes('"stepDone"')) ?? "";
  const { result } = JSON.parse(done) as { result: { waitShare: number } };
  const shares = [result.waitShare, ...(await lines()).map(({ waitShare }) => waitShare)];
  expect(shares).toHaveLength(1 + STEPS);
  expect(shares.filter((share) => !(share >= 0 && share <= 1))).toEqual([]);
  // The whole lies between the best and the worst of its steps.
  expect(result.waitShare).toBeGreaterThanOrEqual(Math.min(...shares.slice(1)));
  expect(result.waitShare).toBeLessThanOrEqual(Math.max(...shares.slice(1)));
});

test("the seeds of every part and the folder that paths start in are recorded", async () => {
  const environment = JSON.parse(await readFile(join(runDir, "environment.json"), "utf8")) as Record<string, unknown>;
  expect(environment).toMatchObject({ baseDir: "..", seed: 3 });
  expect(environment["seeds"]).toMatchObject({
    "data.order": { generator: "threefry2x32-20", key: [3, "<epoch>", 0] },
    "training.dropout": { key: [3, "<step>", "<micro-step>", "<rank>"] },
    "training.modelInit": { key: [3] },
  });
});

test("the loss comes back from the checkpoint before the step, and the run folder is not touched", async () => {
  const before = await snapshot();
  const { exitCode, stdout } = await replay("--step", "5", "--loss", "--json");
  const found = JSON.parse(stdout) as Awaited<ReturnType<typeof replayStep>> & { isSameLoss: boolean };
  expect(found.editedPlugins).toEqual([]);
  const recorded = (await lines())[4];
  expect(found.loss?.from).toBe(join(runDir, "train", "checkpoint-3"));
  expect(found.loss?.steps.map(({ step }) => step)).toEqual([4, 5]);
  expect(Math.abs((found.loss?.loss ?? Number.NaN) - (recorded?.loss ?? 0))).toBeLessThan(1e-6);
  expect({ exitCode, isSameLoss: found.isSameLoss }).toEqual({ exitCode: 0, isSameLoss: true });
  expect(await snapshot()).toEqual(before);
});

test("the first step's loss comes back from the model as it was; another one than recorded ends with 6, and edited plugins are named", async () => {
  const path = join(runDir, "train", "steps.jsonl");
  const text = await readFile(path, "utf8");
  const [first] = await lines();
  await appendFile(path, `${JSON.stringify({ ...first, loss: (first?.loss ?? 0) + 1e-4 })}\n`);
  await writeFile(join(folder, "own.py"), "LEARNED = 2\n");
  try {
    const { exitCode, stdout } = await replay("--step", "1", "--loss");
    expect(stdout).toContain("plugin own.py was EDITED since: the run was trained with other code");
    expect(stdout).toContain("from the model as it was");
    expect(stdout).toContain("|Δ| 1.00e-4: NOT the same within 0.000001");
    expect(exitCode).toBe(6);
  } finally {
    await writeFile(path, text);
    await writeFile(join(folder, "own.py"), "LEARNED = 1\n");
  }
});

test("other rows than recorded end with 6, other data is refused, and so is a step that cannot be", async () => {
  const path = join(runDir, "train", "steps.jsonl");
  const text = await readFile(path, "utf8");
  const [first] = await lines();
  await appendFile(path, `${JSON.stringify({ ...first, rows: "0000000000000000" })}\n`);
  expect(await replay("--step", "1")).toMatchObject({
    exitCode: 6,
    stdout: expect.stringContaining("NOT as recorded") as string,
  });
  await writeFile(path, text);
  await expect(replayStep(runDir, { step: 0 })).rejects.toMatchObject({ code: "CONFIG" });
  await expect(replayStep(runDir, { step: STEPS + 1, loss: true })).rejects.toMatchObject({
    ...{ code: "CONFIG", hint: `Name a step from 1 to ${STEPS}.` },
  });
  await expect(replayStep(folder, { step: 1 })).rejects.toMatchObject({ code: "CONFIG" });
  const queries = join(folder, "collection", "queries.jsonl");
  const kept = await readFile(queries, "utf8");
  await writeFile(queries, kept.replace('"_id":"q0","text":"', '"_id":"q0","text":"now '));
  await expect(replayStep(runDir, { step: 1 })).rejects.toMatchObject({
    code: "INTEGRITY",
    message: expect.stringContaining("not what") as string,
  });
  await writeFile(queries, kept);
  expect(await replayStep(runDir, { step: 1 })).toMatchObject({ isSameBatch: true });
});

test("a folder whose training has begun takes another size of pieces, which changes no batch, and no other batch", async () => {
  const { checkpoint } = await train(experiment({ miniBatchSize: 1 }));
  expect(checkpoint).toBe(join(runDir, "train", `checkpoint-${STEPS}`));
  await expect(train(experiment({ globalBatchSize: 8 }))).rejects.toMatchObject({
    code: "CONFIG",
    message: expect.stringContaining("globalBatchSize") as string,
  });
  // What the folder holds of the experiment is that of the last start; a step's line knows how it was done.
  const recorded = (await lines())[4];
  expect(recorded).toMatchObject({ miniBatchSize: null, lengthGroups: "auto", fsdp: false });
  const { loss } = await replayStep(runDir, { step: 5, loss: true });
  expect(Math.abs((loss?.loss ?? Number.NaN) - (recorded?.loss ?? 0))).toBeLessThan(1e-6);
});
